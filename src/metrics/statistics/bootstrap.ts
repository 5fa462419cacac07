import { EdgewrightError } from "../../util/errors.ts";
import { seededRandom } from "../../util/random.ts";
import { mean, quantileOfSorted } from "./percentile.ts";

export interface BootstrapOptions {
  /** Default 2000. */
  readonly replicates?: number;
  /** Default 1: the same data give the same interval. */
  readonly seed?: number;
  /** Default 0.95. */
  readonly confidence?: number;
}

export interface BootstrapInterval {
  readonly value: number;
  readonly interval: readonly [number, number];
}

const defaults = { replicates: 2000, seed: 1, confidence: 0.95 };

/** A number that can be computed anew when sample i counts weights[i] times. */
export type Statistic = (weights: Uint32Array) => number;

/**
 * Percentile bootstrap (Efron 1979) of statistics of the same n samples, all from the same draws: each statistic is asked with how
 * often each sample was drawn, first with all ones. Draws that have no value (NaN: a class is missing, say) are left out.
 */
export function bootstrapStatistics(
  n: number,
  statistics: readonly Statistic[],
  options: BootstrapOptions = {},
): BootstrapInterval[] {
  const { replicates, seed, confidence } = { ...defaults, ...options };
  const random = seededRandom(seed);
  const weights = new Uint32Array(n).fill(1);
  const values = statistics.map((statistic) => statistic(weights));
  const draws = statistics.map((): number[] => []);
  for (let replicate = 0; replicate < replicates; replicate++) {
    weights.fill(0);
    for (let i = 0; i < n; i++) {
      const drawn = Math.floor(random() * n);
      weights[drawn] = (weights[drawn] as number) + 1;
    }
    statistics.forEach((statistic, i) => {
      const value = statistic(weights);
      if (!Number.isNaN(value)) draws[i]?.push(value);
    });
  }
  const tail = (1 - confidence) / 2;
  return draws.map((drawn, i) => {
    const sorted = Float64Array.from(drawn).sort();
    return { value: values[i] as number, interval: [quantileOfSorted(sorted, tail), quantileOfSorted(sorted, 1 - tail)] };
  });
}

export const bootstrapStatistic = (n: number, statistic: Statistic, options: BootstrapOptions = {}): BootstrapInterval =>
  bootstrapStatistics(n, [statistic], options)[0] as BootstrapInterval;

/** Bootstrap interval of a mean. */
export const bootstrapMean = (scores: ArrayLike<number>, options: BootstrapOptions = {}): BootstrapInterval =>
  bootstrapStatistic(scores.length, (weights) => weightedMean(scores, weights), options);

function weightedMean(scores: ArrayLike<number>, weights: ArrayLike<number>): number {
  let sum = 0;
  let total = 0;
  for (let i = 0; i < scores.length; i++) {
    sum += (weights[i] as number) * (scores[i] as number);
    total += weights[i] as number;
  }
  return sum / total;
}

/**
 * Interval of candidate − baseline, from per-sample scores of the same samples in the same order: both are resampled together,
 * so what they share cancels out.
 */
export function pairedBootstrap(
  baseline: ArrayLike<number>,
  candidate: ArrayLike<number>,
  options: BootstrapOptions = {},
): BootstrapInterval {
  if (baseline.length !== candidate.length)
    throw new EdgewrightError(
      "BOOTSTRAP_UNPAIRED",
      `A paired comparison needs the same samples on both sides, not ${baseline.length} and ${candidate.length}.`,
    );
  const differences = Float64Array.from(candidate, (score, i) => score - (baseline[i] as number));
  const { interval } = bootstrapMean(differences, options);
  return { value: mean(differences), interval };
}

/** The same for statistics that are no mean (mAP, F1, AUC, perplexity): both are computed anew for every draw. */
export const pairedBootstrapOf = (
  n: number,
  baseline: Statistic,
  candidate: Statistic,
  options: BootstrapOptions = {},
): BootstrapInterval => bootstrapStatistic(n, (weights) => candidate(weights) - baseline(weights), options);
