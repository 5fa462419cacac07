/** Seeded uniform numbers in [0, 1) (mulberry32), so that every machine draws the same pictures. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const between = (random: () => number, low: number, high: number): number => low + (high - low) * random();

/** Close enough to a normal distribution for noise: the sum of four uniform numbers, standard deviation 1. */
export const roughlyNormal = (random: () => number): number => (random() + random() + random() + random() - 2) * Math.sqrt(3);
