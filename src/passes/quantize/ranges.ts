import type { ActivationStatistics } from "./statistics.ts";

/** Real-valued bounds that quantized integers will cover; always holds zero. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Ways to choose a range from one sweep's statistics. */
export const rangeMethods = ["minmax", "average", "percentile", "mse", "entropy"] as const;
export type RangeMethod = (typeof rangeMethods)[number];

const withZero = (min: number, max: number): Range => ({ min: Math.min(0, min), max: Math.max(0, max) });

/** `percentile`: share of values kept, in percent, used by "percentile" only. `levels`: quantization steps, 255 for 8 bits. */
export function chooseRange(
  statistics: ActivationStatistics,
  method: RangeMethod,
  options: { percentile?: number; levels?: number; symmetric?: boolean } = {},
): Range {
  if (statistics.count === 0) return { min: 0, max: 0 };
  const full = withZero(statistics.min, statistics.max);
  if (method === "minmax" || statistics.reach === 0) return full;
  if (method === "average") return withZero(statistics.averageMin, statistics.averageMax);
  if (method === "percentile") return percentileRange(statistics, options.percentile ?? 99.99, full);
  if (method === "entropy") return entropyRange(statistics, options.symmetric ?? false, full);
  return mseRange(statistics, options.levels ?? 255, options.symmetric ?? false, full);
}

/** Leaves half of the given rest outside at each end; interpolates inside a bin. */
function percentileRange(statistics: ActivationStatistics, percentile: number, full: Range): Range {
  const outside = (statistics.count * (1 - percentile / 100)) / 2;
  const { bins, binWidth, reach } = statistics;
  const edge = (from: number, step: 1 | -1): number => {
    let passed = 0;
    for (let i = from; i >= 0 && i < bins.length; i += step) {
      const inside = bins[i] as number;
      if (passed + inside > outside) {
        const fraction = inside > 0 ? (outside - passed) / inside : 0;
        return -reach + (step === 1 ? i + fraction : i + 1 - fraction) * binWidth;
      }
      passed += inside;
    }
    return 0;
  };
  const low = edge(0, 1);
  const high = edge(bins.length - 1, -1);
  return withZero(Math.max(full.min, low), Math.min(full.max, high));
}

/** Prefix sums over bin centres: O(1) error of any range. */
function moments(statistics: ActivationStatistics): { count: Float64Array; first: Float64Array; second: Float64Array } {
  const n = statistics.bins.length;
  const count = new Float64Array(n + 1);
  const first = new Float64Array(n + 1);
  const second = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) {
    const centre = -statistics.reach + (i + 0.5) * statistics.binWidth;
    const inside = statistics.bins[i] as number;
    count[i + 1] = (count[i] as number) + inside;
    first[i + 1] = (first[i] as number) + inside * centre;
    second[i + 1] = (second[i] as number) + inside * centre * centre;
  }
  return { count, first, second };
}

/**
 * The range with the least expected squared error: step²/12 inside (uniform rounding error), squared distance to the border outside.
 * Searched by shrinking each end in turn over 128 fractions of its extreme until neither improves.
 */
function mseRange(statistics: ActivationStatistics, levels: number, symmetric: boolean, full: Range): Range {
  const sums = moments(statistics);
  const { binWidth, reach, bins } = statistics;
  const at = (x: number): number => Math.min(bins.length, Math.max(0, Math.round((x + reach) / binWidth)));
  const between = (prefix: Float64Array, i: number, j: number): number => (prefix[j] as number) - (prefix[i] as number);
  const beyond = (border: number, i: number, j: number): number =>
    between(sums.second, i, j) - 2 * border * between(sums.first, i, j) + border * border * between(sums.count, i, j);
  const error = (min: number, max: number): number => {
    const low = at(min);
    const high = at(max);
    const step = (max - min) / levels;
    return (between(sums.count, low, high) * step * step) / 12 + beyond(min, 0, low) + beyond(max, high, bins.length);
  };
  const fractions = Array.from({ length: 128 }, (_, i) => (i + 1) / 128);
  const best = (candidates: readonly Range[]): Range =>
    candidates.reduce((kept, range) => (error(range.min, range.max) < error(kept.min, kept.max) ? range : kept));
  if (symmetric) {
    const magnitude = Math.max(-full.min, full.max);
    return best(fractions.map((f) => ({ min: -f * magnitude, max: f * magnitude })));
  }
  let range = full;
  for (let round = 0; round < 4; round++) {
    const before = range;
    range = best([range, ...fractions.map((f) => ({ min: before.min, max: f * full.max }))]);
    range = best([range, ...fractions.map((f) => ({ min: f * full.min, max: range.max }))]);
    if (range.min === before.min && range.max === before.max) break;
  }
  return range;
}

/** Groups of bins that stand for the integers while the entropy is computed; 128 as usual for 8 bits. */
const entropyLevels = 128;
/** Probability that stands for zero where the divergence would be infinite. */
const smoothed = 1e-4;

/**
 * The range whose quantized histogram has the least Kullback-Leibler divergence from the clipped one (Migacz, "8-bit Inference with
 * TensorRT", 2017), each end searched over 64 fractions of its extreme. Values outside count as the border's.
 */
function entropyRange(statistics: ActivationStatistics, symmetric: boolean, full: Range): Range {
  const { bins, binWidth, reach } = statistics;
  const at = (x: number): number => Math.min(bins.length, Math.max(0, Math.round((x + reach) / binWidth)));
  const divergence = ({ min, max }: Range): number => klOf(bins, at(min), Math.max(at(max), at(min) + 1));
  const fractions = Array.from({ length: 64 }, (_, i) => (i + 1) / 64);
  const best = (candidates: readonly Range[]): Range => {
    const scored = candidates.map((range) => ({ range, score: divergence(range) }));
    return scored.reduce((kept, next) => (next.score < kept.score ? next : kept)).range;
  };
  if (symmetric) {
    const magnitude = Math.max(-full.min, full.max);
    return best(fractions.map((f) => ({ min: -f * magnitude, max: f * magnitude })));
  }
  const upper = best(fractions.map((f) => ({ min: full.min, max: f * full.max })));
  return full.min < 0 ? best(fractions.map((f) => ({ min: f * full.min, max: upper.max }))) : upper;
}

/** KL divergence of bins [low, high), outliers added to the border bins, from the same bins averaged over groups of equal width. */
function klOf(bins: Float64Array, low: number, high: number): number {
  const width = high - low;
  const clipped = bins.slice(low, high);
  let total = 0;
  for (let i = 0; i < bins.length; i++) {
    const inside = bins[i] as number;
    total += inside;
    if (i < low) clipped[0] = (clipped[0] as number) + inside;
    else if (i >= high) clipped[width - 1] = (clipped[width - 1] as number) + inside;
  }
  const levels = Math.min(entropyLevels, width);
  let [divergence, kept, explained] = [0, 0, 0];
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * width) / levels);
    const to = Math.floor(((level + 1) * width) / levels);
    let sum = 0;
    let filled = 0;
    for (let i = from; i < to; i++) {
      // the quantized distribution knows nothing of the outliers
      const inside = bins[low + i] as number;
      sum += inside;
      if (inside > 0) filled++;
    }
    kept += sum;
    if (sum === 0) continue;
    for (let i = from; i < to; i++) {
      const p = (clipped[i] as number) / total;
      if ((bins[low + i] as number) === 0) continue;
      divergence += p * Math.log(p / (sum / filled));
      explained += p;
    }
  }
  if (kept === 0) return Number.POSITIVE_INFINITY;
  // outliers in a border bin that has nothing of its own
  const rest = Math.max(0, 1 - explained);
  if (rest > 1e-12) divergence += rest * Math.log(rest / smoothed);
  // q was left unnormalised above: Σ p·log(p/(q/kept)) = Σ p·log(p/q) + log(kept)·Σp
  return divergence + Math.log(kept) * explained;
}
