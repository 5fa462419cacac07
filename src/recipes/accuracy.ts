import type { AccuracyResult } from "../measure/accuracy.ts";
import { compareAccuracy } from "../measure/accuracy-compare.ts";
import type { Measurement } from "../measure/measurement.ts";

/** The main metric and how it moved; for unlabelled data closeness to the original stands in. */
export interface MainMetric {
  readonly accuracy: Measurement | null;
  /** Candidate minus baseline; negative is worse whatever the metric's own direction. */
  readonly change: Measurement | null;
  readonly others: readonly Measurement[];
}

/** Fidelity metrics that can stand in for accuracy, in points: agreement of the answers, else cosine of the outputs. */
const standIns: Readonly<Record<string, (value: number) => number>> = {
  agreement: (value) => value - 100,
  cosine: (value) => 100 * (value - 1),
};

export function mainMetric(baseline: AccuracyResult, candidate: AccuracyResult, seed: number): MainMetric {
  const [first] = compareAccuracy(baseline, candidate, { seed }).differences;
  if (!first) return standIn(candidate);
  const accuracy = candidate.measurements.find(({ metric }) => metric === first.metric);
  const sign = first.better === "higher" ? 1 : -1;
  const interval = first.interval && ([...first.interval].map((x) => sign * x).sort((a, b) => a - b) as [number, number]);
  const frame = accuracy ?? candidate.measurements[0];
  const p = first.mcNemar ? `; McNemar p=${first.mcNemar.exact.toPrecision(2)}` : "";
  const change: Measurement | null = frame
    ? {
        ...frame,
        metric: `${first.metric} change`,
        value: -first.drop,
        ...(interval ? { interval } : {}),
        protocol: `paired on the same ${first.n} samples; 95 % interval: paired bootstrap${p}`,
      }
    : null;
  return { accuracy: accuracy ?? null, change, others: candidate.measurements.filter(({ metric }) => metric !== first.metric) };
}

function standIn(candidate: AccuracyResult): MainMetric {
  for (const [name, toChange] of Object.entries(standIns)) {
    const found = candidate.measurements.find(({ metric }) => metric === name);
    if (!found) continue;
    const { interval, ...frame } = found;
    const change: Measurement = {
      ...frame,
      metric: `${name} change`,
      unit: "%",
      value: toChange(found.value),
      ...(interval ? { interval: [toChange(interval[0]), toChange(interval[1])] } : {}),
    };
    return { accuracy: found, change, others: candidate.measurements.filter((m) => m !== found) };
  }
  return { accuracy: null, change: null, others: candidate.measurements };
}
