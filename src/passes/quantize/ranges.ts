import type { ActivationStatistics } from "./statistics.ts";

/** Real-valued bounds that quantized integers will cover; always holds zero. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Ways to choose a range from one sweep's statistics. */
export const rangeMethods = ["minmax", "average", "percentile", "mse"] as const;
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
