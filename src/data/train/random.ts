import { seededRandom } from "../../util/random.ts";

/** Stirs one 32-bit word into a hash (one round and the finaliser of MurmurHash3, Appleby, public domain). */
function stirred(hash: number, word: number): number {
  let mixed = Math.imul(word, 0xcc9e2d51);
  mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
  let result = hash ^ mixed;
  result = Math.imul((result << 13) | (result >>> 19), 5) + 0xe6546b64;
  result = Math.imul(result ^ (result >>> 16), 0x85ebca6b);
  return result ^ (result >>> 13);
}

/** What a stream of random numbers is for: streams of different purposes never run in step. */
const purposes = { order: 1, sample: 2, batch: 3 } as const;

/** Uniform numbers in [0, 1) that depend on whole numbers alone: on the seed, the epoch and a position, say. */
export function uniformAt(purpose: keyof typeof purposes, ...parts: readonly number[]): () => number {
  let hash = stirred(0, purposes[purpose]);
  for (const part of parts) hash = stirred(stirred(hash, part >>> 0), Math.floor(part / 2 ** 32) >>> 0);
  return seededRandom(hash >>> 0);
}

/** Positions 0..length − 1 in random order (Fisher and Yates). */
export function randomOrder(length: number, uniform: () => number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    const swapped = order[i] as number;
    order[i] = order[j] as number;
    order[j] = swapped;
  }
  return order;
}

/** A whole number from `least` to `most`, both included. */
export const wholeBetween = (least: number, most: number, uniform: () => number): number =>
  least + Math.floor(uniform() * (most - least + 1));
export const between = (least: number, most: number, uniform: () => number): number => least + uniform() * (most - least);

/** One standard normal number (Box–Muller). */
export const normal = (uniform: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** log of a Gamma(shape, 1) draw (Marsaglia and Tsang, 2000), raised by one and corrected below 1; logarithms keep tiny draws apart from 0. */
function logGamma(shape: number, uniform: () => number): number {
  if (shape < 1) return logGamma(shape + 1, uniform) + Math.log(1 - uniform()) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(uniform);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d * v);
  }
}

/** A draw from Beta(a, b). */
export function beta(a: number, b: number, uniform: () => number): number {
  const left = logGamma(a, uniform);
  const right = logGamma(b, uniform);
  return 1 / (1 + Math.exp(right - left));
}
