import { z } from "zod";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import { thisDevice } from "./device.ts";
import { type Measurement, measurementSchema } from "./measurement.ts";
import { median, medianInterval, pairedRatio, quantileOfSorted, verdicts } from "./ratio.ts";
import { type Feeds, type RoundOptions, type RoundTimes, timeRounds } from "./rounds.ts";

export type { Feeds } from "./rounds.ts";

/** What a measurement says about the thing that was measured, beside its numbers. */
export interface SubjectFacts {
  /** Content digest (sha256) of the model file; default: its name. */
  readonly digest?: string | undefined;
  /** Threads the session was loaded with; default 1. */
  readonly threads?: number | undefined;
  readonly executor?: { readonly name: string; readonly version: string } | undefined;
}
export interface LatencySubject extends SubjectFacts {
  readonly session: Session;
  /** One set of inputs, or several that are used in turn. */
  readonly feeds: Feeds | readonly Feeds[];
}

export interface LatencyOptions extends RoundOptions {
  /** Which subject the others are compared with; default: the first. */
  readonly baseline?: string | undefined;
  /** Relative differences under this are never claimed; default 0.01. */
  readonly minimumEffect?: number | undefined;
  /** Default: this machine. */
  readonly device?: string | undefined;
}

export const latencyResultSchema = z.object({
  name: z.string(),
  /** Milliseconds of one run; `samples` holds the rounds in order, `interval` is the median's. */
  p50: measurementSchema,
  p95: measurementSchema,
  min: measurementSchema,
  /** (p75 - p25) / p50 of the rounds. */
  spread: measurementSchema,
  threads: z.number(),
  rounds: z.number(),
  runsPerRound: z.number(),
});
export type LatencyResult = z.infer<typeof latencyResultSchema>;

export const latencyRatioSchema = z.object({
  name: z.string(),
  baseline: z.string(),
  /** Time of `name` over time of `baseline`: 0.5 is half the time; with its interval. */
  ratio: measurementSchema,
  /** 1 / ratio: 2 is twice as fast. */
  speedup: z.number(),
  verdict: z.enum(verdicts),
  /** The smallest relative difference that this comparison could claim. */
  noiseFloor: z.number(),
});
export type LatencyRatio = z.infer<typeof latencyRatioSchema>;

export const latencyComparisonSchema = z.object({
  results: z.array(latencyResultSchema),
  /** One for each subject that is not the baseline. */
  ratios: z.array(latencyRatioSchema),
});
export type LatencyComparison = z.infer<typeof latencyComparisonSchema>;

const protocolOf = (times: RoundTimes, subjects: number, threads: number): string =>
  [
    `session.run from JavaScript, batch as fed, ${threads} thread${threads === 1 ? "" : "s"}`,
    `${times.warmupRuns} warm-up runs`,
    `${times.rounds.length} rounds of ${times.batch} run${times.batch === 1 ? "" : "s"}${times.timedSingly ? "" : " (timed together)"}`,
    subjects > 1 ? `${subjects} subjects interleaved in one process, order reversed every second round` : "one subject",
  ].join("; ");

function resultOf(
  name: string,
  subject: LatencySubject,
  times: RoundTimes,
  count: number,
  options: LatencyOptions,
): LatencyResult {
  const threads = subject.threads ?? 1;
  const protocol = protocolOf(times, count, threads);
  const common = measurementFrame(name, subject, options);
  const make = (metric: string, value: number, how: string, extra: Partial<Measurement> = {}): Measurement => ({
    metric,
    unit: "ms",
    value,
    ...common,
    protocol: `${protocol}; ${how}`,
    ...extra,
  });
  const runs = Float64Array.from(times.runs).sort();
  const rounds = Float64Array.from(times.rounds).sort();
  const p50 = median(times.rounds);
  const spread = (quantileOfSorted(rounds, 0.75) - quantileOfSorted(rounds, 0.25)) / p50;
  return {
    name,
    p50: make("latency p50", p50, "median over rounds, each the median of its runs; 95 % block bootstrap interval", {
      samples: [...times.rounds],
      interval: medianInterval(times.rounds, options.seed),
    }),
    p95: make("latency p95", quantileOfSorted(runs, 0.95), "95th percentile over all runs"),
    min: make("latency min", runs[0] as number, "shortest run"),
    spread: make("latency spread", spread, "interquartile range of the rounds over their median", { unit: "1" }),
    threads,
    rounds: times.rounds.length,
    runsPerRound: times.batch,
  };
}

export function measurementFrame(name: string, facts: SubjectFacts, options: { readonly device?: string | undefined } = {}) {
  return {
    subject: facts.digest ?? name,
    device: options.device ?? thisDevice().summary,
    versions: {
      node: process.versions.node,
      ...(facts.executor ? { [facts.executor.name]: facts.executor.version } : {}),
    },
    at: new Date().toISOString(),
  };
}

function ratioOf(subject: LatencyResult, baseline: LatencyResult, options: LatencyOptions): LatencyRatio {
  const paired = pairedRatio(subject.p50.samples ?? [], baseline.p50.samples ?? [], {
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    ...(options.minimumEffect === undefined ? {} : { minimumEffect: options.minimumEffect }),
  });
  return {
    name: subject.name,
    baseline: baseline.name,
    ratio: {
      ...subject.p50,
      metric: "latency ratio",
      unit: "1",
      value: paired.ratio,
      samples: undefined,
      interval: [...paired.interval],
      protocol: `${subject.p50.protocol}; ratio of medians to ${baseline.p50.subject} over paired rounds, 95 % block bootstrap interval`,
      versions: { ...baseline.p50.versions, ...subject.p50.versions },
    },
    speedup: 1 / paired.ratio,
    verdict: paired.verdict,
    noiseFloor: paired.noiseFloor,
  };
}

/**
 * Times several sessions against each other in this process: warm-up, then rounds that run every subject once in alternating order.
 * The ratios come from paired rounds, so that what slows the machine down for a while slows both sides.
 */
export async function compareLatency(
  subjects: Readonly<Record<string, LatencySubject>>,
  options: LatencyOptions = {},
): Promise<LatencyComparison> {
  const names = Object.keys(subjects);
  const baselineName = options.baseline ?? names[0];
  if (baselineName === undefined || !(baselineName in subjects))
    throw new EdgewrightError("LATENCY_BASELINE", `There is no subject '${baselineName ?? ""}' to compare with.`);
  const list = Object.values(subjects);
  const times = await timeRounds(list, options);
  const results = names.map((name, i) =>
    resultOf(name, list[i] as LatencySubject, times[i] as RoundTimes, names.length, options),
  );
  const baseline = results[names.indexOf(baselineName)] as LatencyResult;
  const ratios = results.filter((result) => result !== baseline).map((result) => ratioOf(result, baseline, options));
  return { results, ratios };
}

/** Times one session; compare two only with `compareLatency`, which interleaves them. */
export async function measureLatency(
  session: Session,
  feeds: Feeds | readonly Feeds[],
  options: LatencyOptions & SubjectFacts & { readonly name?: string } = {},
): Promise<LatencyResult> {
  const { digest, threads, executor } = options;
  const { results } = await compareLatency(
    { [options.name ?? "model"]: { session, feeds, digest, threads, executor } },
    { ...options, baseline: undefined },
  );
  return results[0] as LatencyResult;
}
