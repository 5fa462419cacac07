import type { PreparedSample } from "../ir/index.ts";
import { type AccuracyResult, evaluateAccuracy } from "../measure/accuracy.ts";
import type { Reference } from "../measure/accuracy-reference.ts";
import { compareLatency, type Feeds } from "../measure/latency.ts";
import { measureProcess } from "../measure/memory.ts";
import type { Session } from "../runtime/executor.ts";
import type { RunOptions } from "../util/progress.ts";
import { mainMetric } from "./accuracy.ts";
import type { Candidate } from "./manifest.ts";
import type { Setup } from "./setup.ts";

/** The original, loaded and measured: what every candidate is compared with. */
export interface Baseline {
  readonly session: Session;
  readonly digest: string;
  readonly result: AccuracyResult;
  readonly reference: Reference;
  /** Real inputs for timing. */
  readonly feeds: readonly Feeds[];
}

export const circumstances = (setup: Setup, digest: string) => ({
  subject: digest,
  device: setup.device.summary,
  versions: { node: process.versions.node, [setup.executor.name]: setup.executor.version },
});

/** Accuracy on a split with intervals; with `reference`, closeness to the original too. */
export function accuracyOf(
  setup: Setup,
  session: Session,
  digest: string,
  samples: AsyncIterable<PreparedSample>,
  reference: Reference | undefined,
  options: RunOptions,
): Promise<AccuracyResult> {
  return evaluateAccuracy(
    { ...circumstances(setup, digest), session, samples, task: setup.task, reference, bootstrap: { seed: setup.seed } },
    options,
  );
}

type Figures = Pick<
  Candidate,
  "accuracy" | "accuracyChange" | "others" | "latency" | "latencyP95" | "latencyRatio" | "latencyVerdict"
>;

export interface TimingOptions extends RunOptions {
  readonly timeMs: number;
}

/** Loads a candidate's file in the target's runtime and measures it beside the baseline: same samples, interleaved runs. */
export async function measureCandidate(
  setup: Setup,
  baseline: Baseline,
  file: { readonly path: string; readonly digest: string },
  options: TimingOptions,
): Promise<Figures> {
  await survives(setup, baseline, file, options);
  const session = await setup.executor.load(file.path, { threads: setup.threads });
  try {
    const samples = setup.samples("selection", { signal: options.signal });
    const result = await accuracyOf(setup, session, file.digest, samples, baseline.reference, options);
    const main = mainMetric(baseline.result, result, setup.seed);
    return {
      accuracy: main.accuracy,
      accuracyChange: main.change,
      others: [...main.others],
      ...(await latencyAgainst(setup, baseline, { session, digest: file.digest }, options)),
    };
  } finally {
    await session.release();
  }
}

/**
 * Loads and runs the file once in a process of its own: a runtime that crashes on it (onnxruntime 1.30 does on some float16 graphs with
 * GRU) then costs one candidate, not the run.
 */
async function survives(
  setup: Setup,
  baseline: Baseline,
  file: { readonly path: string; readonly digest: string },
  { signal }: RunOptions,
): Promise<void> {
  const executorName = setup.target.executor;
  await measureProcess(file.path, baseline.feeds[0] as Feeds, {
    signal,
    executorName,
    threads: setup.threads,
    digest: file.digest,
    processes: 1,
    runs: 1,
  });
}

async function latencyAgainst(
  setup: Setup,
  baseline: Baseline,
  candidate: { readonly session: Session; readonly digest: string },
  options: TimingOptions,
): Promise<Pick<Figures, "latency" | "latencyP95" | "latencyRatio" | "latencyVerdict">> {
  const common = { feeds: baseline.feeds, threads: setup.threads, executor: setup.executor };
  const { results, ratios } = await compareLatency(
    {
      baseline: { ...common, session: baseline.session, digest: baseline.digest },
      candidate: { ...common, session: candidate.session, digest: candidate.digest },
    },
    { signal: options.signal, timeMs: options.timeMs, seed: setup.seed },
  );
  const own = results[1];
  const ratio = ratios[0];
  return {
    latency: own?.p50 ?? null,
    latencyP95: own?.p95 ?? null,
    latencyRatio: ratio?.ratio ?? null,
    latencyVerdict: ratio?.verdict ?? null,
  };
}
