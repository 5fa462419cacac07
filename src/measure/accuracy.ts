import type { Outputs, PreparedSample } from "../ir/index.ts";
import { type MetricDef, type MetricState, type Weights, weightedValue } from "../metrics/define.ts";
import { type BootstrapOptions, bootstrapStatistics } from "../metrics/statistics/bootstrap.ts";
import { wilsonInterval } from "../metrics/statistics/wilson.ts";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { Reference, type ReferenceLimits } from "./accuracy-reference.ts";
import { type Ran, runSamples } from "./accuracy-run.ts";
import type { Measurement } from "./measurement.ts";
import type { Chosen, ResolvedTask } from "./task.ts";

/** Who is measured where; goes into every measurement. */
export interface Circumstances {
  /** Content digest of the model file. */
  readonly subject: string;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
}

export interface AccuracyInput extends Circumstances {
  readonly session: Session;
  readonly samples: AsyncIterable<PreparedSample>;
  /** For progress only. */
  readonly total?: number | undefined;
  readonly task: ResolvedTask;
  /** Outputs of the original model: then the task's fidelity metrics are measured too. */
  readonly reference?: Reference | undefined;
  /** Keeps this model's outputs, to compare others with. */
  readonly keep?: boolean | ReferenceLimits;
  /** Samples in one run, where the model's batch axis is free. Default 1. */
  readonly batch?: number | undefined;
  readonly bootstrap?: BootstrapOptions;
}

/** One metric's result; enough to compare it with another model's. */
export interface Scores {
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly value: number;
  readonly interval: readonly [number, number] | undefined;
  /** Samples that it is about. */
  readonly n: number;
  /** Every sample is right (100) or wrong (0). */
  readonly binary: boolean;
  readonly against: "label" | "reference";
  readonly perSample: readonly number[] | undefined;
  readonly weighted: ((weights: Weights) => number) | undefined;
}

export interface AccuracyResult {
  readonly n: number;
  /** Sample ids in the order of every `perSample`. */
  readonly ids: readonly string[];
  readonly scores: readonly Scores[];
  readonly measurements: readonly Measurement[];
  readonly warnings: readonly string[];
  readonly reference: Reference | undefined;
  /** Elements of the first sample's first output, after post-processing: the number of classes, for a classifier. */
  readonly classes: number | undefined;
}

interface Running {
  readonly definition: MetricDef;
  readonly state: MetricState;
  count: number;
}

/** One sweep over the samples: any number of metrics at once, memory for numbers per sample and at most one batch of outputs. */
export async function evaluateAccuracy(input: AccuracyInput, options: RunOptions = {}): Promise<AccuracyResult> {
  const sweep = new Sweep(input);
  for await (const ran of runSamples(input.session, input.samples, { run: input.task.run, batch: input.batch }, options)) {
    sweep.update(ran);
    options.onProgress?.({ step: "evaluate", done: sweep.ids.length, total: input.total });
  }
  return sweep.result();
}

/** The original model's result with its outputs kept: `evaluateAccuracy` of every candidate takes them as `reference`. */
export async function collectReference(
  input: AccuracyInput,
  options: RunOptions = {},
): Promise<AccuracyResult & { readonly reference: Reference }> {
  const result = await evaluateAccuracy({ ...input, keep: input.keep || true }, options);
  return { ...result, reference: result.reference as Reference };
}

class Sweep {
  readonly ids: string[] = [];
  readonly #input: AccuracyInput;
  readonly #kept: Reference | undefined;
  #labelled: Running[] | undefined;
  #fidelity: Running[] | undefined;
  #classes: number | undefined;

  constructor(input: AccuracyInput) {
    this.#input = input;
    this.#kept = input.keep ? new Reference(input.keep === true ? {} : input.keep) : undefined;
  }

  update({ sample, outputs }: Ran): void {
    const { task, reference } = this.#input;
    this.ids.push(sample.id);
    this.#kept?.keep(sample.id, outputs);
    const processed = postprocess(task, outputs, sample);
    this.#labelled ??= start(task.metrics, processed);
    feed(this.#labelled, processed, sample);
    this.#classes ??= Object.values(processed)[0]?.size;
    const original = reference?.get(sample.id);
    if (!reference || !original) return;
    this.#fidelity ??= start(task.fidelity, outputs);
    feed(this.#fidelity, reference.reduce(outputs), sample, original);
  }

  result(): AccuracyResult {
    if (this.ids.length === 0)
      throw new EdgewrightError("DATA_EMPTY", "There is no sample to evaluate.", {
        hint: "Check --data, --limit and the split.",
      });
    const running = [...(this.#labelled ?? []), ...(this.#fidelity ?? [])];
    const scores = intervals(running, this.#input.bootstrap);
    const broken = scores.filter(({ value }) => !Number.isFinite(value));
    return {
      n: this.ids.length,
      ids: this.ids,
      scores,
      measurements: scores.filter(({ value }) => Number.isFinite(value)).map((score) => toMeasurement(score, this.#input)),
      warnings: broken.map(
        ({ metric, value }) => `${metric} is ${value}: the outputs hold NaN or infinity, or the labels leave it undefined.`,
      ),
      reference: this.#kept,
      classes: this.#classes,
    };
  }
}

const postprocess = (task: ResolvedTask, outputs: Outputs, sample: PreparedSample): Outputs =>
  task.postprocess.reduce((made, { definition, options }) => definition.apply(made, sample, options), outputs);

const start = (choices: readonly Chosen<MetricDef>[], outputs: Outputs): Running[] =>
  choices
    .filter(({ definition, optional }) => !optional || (definition.applies?.(outputs) ?? true))
    .map(({ definition, options }) => ({ definition, state: definition.start(options), count: 0 }));

function feed(running: readonly Running[], outputs: Outputs, sample: PreparedSample, reference?: Outputs): void {
  for (const one of running) {
    one.state.update(outputs, sample, reference);
    one.count++;
  }
}

/** Wilson's interval for right-or-wrong scores, bootstrap for all others: those over the same samples share their draws. */
function intervals(running: readonly Running[], options: BootstrapOptions = {}): Scores[] {
  const resampled = running.filter(({ definition }) => !definition.binary && definition.interval !== false);
  const found = new Map<Running, readonly [number, number]>();
  for (const count of new Set(resampled.map((one) => one.count))) {
    // one sample says nothing about the spread
    if (count < 2) continue;
    const group = resampled.filter((one) => one.count === count);
    const statistics = group.map(
      ({ state }) =>
        (weights: Uint32Array) =>
          weightedValue(state, weights),
    );
    bootstrapStatistics(count, statistics, options).forEach(({ interval }, i) => {
      found.set(group[i] as Running, interval);
    });
  }
  return running.map((one) => toScores(one, found.get(one)));
}

function toScores(one: Running, bootstrapped: readonly [number, number] | undefined): Scores {
  const { definition, state, count } = one;
  const value = state.value();
  const wilson = (): readonly [number, number] => {
    const [low, high] = wilsonInterval(Math.round((value * count) / 100), count);
    return [100 * low, 100 * high];
  };
  const interval = definition.binary ? wilson() : bootstrapped;
  return {
    metric: definition.name,
    unit: definition.unit,
    better: definition.better,
    value,
    interval: interval?.every(Number.isFinite) ? interval : undefined,
    n: count,
    binary: definition.binary ?? false,
    against: definition.against ?? "label",
    perSample: state.perSample,
    weighted: definition.interval === false ? undefined : (weights) => weightedValue(state, weights),
  };
}

function toMeasurement(scores: Scores, { subject, device, versions, task }: AccuracyInput): Measurement {
  const how =
    scores.interval === undefined ? "no interval" : `95 % interval: ${scores.binary ? "Wilson" : "percentile bootstrap"}`;
  return {
    metric: scores.metric,
    unit: scores.unit,
    value: scores.value,
    ...(scores.interval ? { interval: [...scores.interval] as [number, number] } : {}),
    subject,
    protocol: `task ${task.name}, n=${scores.n}${scores.against === "reference" ? ", against the original model's outputs" : ""}; ${how}`,
    device,
    versions: { ...versions },
    at: new Date().toISOString(),
  };
}
