import { seededRandom } from "../util/random.ts";

/** Linear interpolation between order statistics (Hyndman and Fan 1996, definition 7); `sorted` ascending and not empty. */
export function quantileOfSorted(sorted: ArrayLike<number>, q: number): number {
  const position = (sorted.length - 1) * q;
  const low = Math.floor(position);
  const a = sorted[low] as number;
  const b = sorted[Math.min(low + 1, sorted.length - 1)] as number;
  return a + (b - a) * (position - low);
}

export const quantile = (values: ArrayLike<number>, q: number): number => quantileOfSorted(Float64Array.from(values).sort(), q);
export const median = (values: ArrayLike<number>): number => quantile(values, 0.5);

const resamples = 1000;

/**
 * Draws rounds with replacement in runs of neighbours (circular block bootstrap, Politis and Romano 1992; block length n^(1/3)):
 * a disturbance on a busy machine lasts longer than a round, so single draws would make the interval too narrow.
 */
function blockResampler(rounds: number, uniform: () => number): (indices: Int32Array) => void {
  const block = Math.max(1, Math.round(Math.cbrt(rounds)));
  return (indices) => {
    for (let i = 0; i < rounds; ) {
      const start = Math.floor(uniform() * rounds);
      for (let j = 0; j < block && i < rounds; j++) indices[i++] = (start + j) % rounds;
    }
  };
}

function bootstrap(rounds: number, seed: number, statistic: (indices: Int32Array) => number): [number, number] {
  const resample = blockResampler(rounds, seededRandom(seed));
  const indices = new Int32Array(rounds);
  const values = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    resample(indices);
    values[i] = statistic(indices);
  }
  values.sort();
  return [quantileOfSorted(values, 0.025), quantileOfSorted(values, 0.975)];
}

function medianAt(values: readonly number[], indices: Int32Array, scratch: Float64Array): number {
  for (let i = 0; i < indices.length; i++) scratch[i] = values[indices[i] as number] as number;
  return quantileOfSorted(scratch.sort(), 0.5);
}

/** 95 % bootstrap interval of a median. */
export function medianInterval(values: readonly number[], seed = 1): [number, number] {
  const scratch = new Float64Array(values.length);
  return bootstrap(values.length, seed, (indices) => medianAt(values, indices, scratch));
}

export const verdicts = ["faster", "slower", "not distinguishable"] as const;
export type Verdict = (typeof verdicts)[number];

export interface PairedRatio {
  /** median(subject) / median(baseline): 0.5 is half the time. */
  readonly ratio: number;
  /** 95 %. */
  readonly interval: readonly [number, number];
  /** The smallest relative difference that this comparison can claim. */
  readonly noiseFloor: number;
  readonly verdict: Verdict;
}

/**
 * How far a subject is from itself, as |ratio - 1|: every second pair of rounds against the others. Pairs, because the two orders of a
 * pair differ in what the caches hold.
 */
export function selfDifference(values: readonly number[]): number {
  if (values.length < 4) return 0;
  const half = (which: number) => median(values.filter((_, i) => (i >> 1) % 2 === which));
  return Math.abs(half(1) / half(0) - 1);
}

/**
 * Ratio of medians over paired rounds (`subject[i]` and `baseline[i]` were measured next to each other), with a bootstrap interval
 * that resamples whole rounds. No difference is claimed when the interval holds 1, or when the effect is below the noise floor: the
 * larger of `minimumEffect` and what either side shows against itself.
 */
export function pairedRatio(
  subject: readonly number[],
  baseline: readonly number[],
  options: { seed?: number; minimumEffect?: number } = {},
): PairedRatio {
  const rounds = Math.min(subject.length, baseline.length);
  const scratch = new Float64Array(rounds);
  const interval = bootstrap(
    rounds,
    options.seed ?? 1,
    (indices) => medianAt(subject, indices, scratch) / medianAt(baseline, indices, scratch),
  );
  const ratio = median(subject) / median(baseline);
  const noiseFloor = Math.max(options.minimumEffect ?? 0.01, selfDifference(subject), selfDifference(baseline));
  const inside = interval[0] <= 1 && interval[1] >= 1;
  // the same limit in both directions: 1/(1+f) mirrors 1+f
  const small = Math.max(ratio, 1 / ratio) < 1 + noiseFloor;
  const verdict = inside || small || rounds < 3 ? "not distinguishable" : ratio < 1 ? "faster" : "slower";
  return { ratio, interval, noiseFloor, verdict };
}
