import { type BootstrapOptions, pairedBootstrap, pairedBootstrapOf } from "../metrics/statistics/bootstrap.ts";
import { type McNemar, mcNemar } from "../metrics/statistics/mcnemar.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { AccuracyResult, Scores } from "./accuracy.ts";

/** One metric of two models on the same samples. */
export interface MetricDifference {
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly n: number;
  readonly baseline: number;
  readonly candidate: number;
  /** candidate − baseline, with the 95 % interval of the paired bootstrap. */
  readonly difference: number;
  readonly interval: readonly [number, number] | undefined;
  /** How much worse the candidate is (negative: better), in the metric's unit: what a budget is compared with. */
  readonly drop: number;
  readonly mcNemar: McNemar | undefined;
}

export interface AccuracyComparison {
  readonly n: number;
  readonly differences: readonly MetricDifference[];
  /** Agreement, KL, cosine, SQNR, … of the candidate with the original's outputs. */
  readonly fidelity: readonly Scores[];
}

/** Candidate against baseline, sample by sample. Both must have seen the same samples in the same order. */
export function compareAccuracy(
  baseline: AccuracyResult,
  candidate: AccuracyResult,
  options: BootstrapOptions = {},
): AccuracyComparison {
  const paired = baseline.n === candidate.n && baseline.ids.every((id, i) => id === candidate.ids[i]);
  if (!paired)
    throw new EdgewrightError(
      "ACCURACY_UNPAIRED",
      `The two models were not measured on the same samples in the same order (${baseline.n} and ${candidate.n} samples).`,
    );
  const labelled = candidate.scores.filter(({ against }) => against === "label");
  return {
    n: candidate.n,
    differences: labelled.flatMap((scores) => {
      const before = baseline.scores.find(({ metric, against }) => metric === scores.metric && against === "label");
      return before ? [differenceOf(before, scores, options)] : [];
    }),
    fidelity: candidate.scores.filter(({ against }) => against === "reference"),
  };
}

function differenceOf(before: Scores, after: Scores, options: BootstrapOptions): MetricDifference {
  const difference = after.value - before.value;
  return {
    metric: after.metric,
    unit: after.unit,
    better: after.better,
    n: after.n,
    baseline: before.value,
    candidate: after.value,
    difference,
    interval: intervalOf(before, after, options),
    drop: after.better === "higher" ? -difference : difference,
    mcNemar: after.binary && before.perSample && after.perSample ? mcNemar(before.perSample, after.perSample) : undefined,
  };
}

function intervalOf(before: Scores, after: Scores, options: BootstrapOptions): readonly [number, number] | undefined {
  if (after.n < 2) return undefined;
  const interval =
    before.perSample && after.perSample
      ? pairedBootstrap(before.perSample, after.perSample, options).interval
      : before.weighted && after.weighted && pairedBootstrapOf(after.n, before.weighted, after.weighted, options).interval;
  return interval?.every(Number.isFinite) ? interval : undefined;
}
