import type { z } from "zod";
import type { Outputs, PreparedSample, Target } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

export type TargetKind = Target["kind"];

/** How often each sample counts in a resampled evaluation; one entry per sample, in update order. */
export type Weights = ArrayLike<number>;

/** A running evaluation: bounded memory (numbers per sample, never whole outputs). */
export interface MetricState {
  /** One sample's outputs (batch axis 1). `reference` holds the original model's raw outputs, for metrics against "reference". */
  update(outputs: Outputs, sample: PreparedSample, reference?: Outputs): void;
  /** Over all samples so far, in the metric's unit. */
  value(): number;
  /** One score a sample, where the value is their mean. */
  readonly perSample?: readonly number[];
  /** The value when sample i counts weights[i] times: what the bootstrap asks. Default: the weighted mean of `perSample`. */
  weighted?(weights: Weights): number;
}

export interface MetricDef<Options = unknown> {
  /** kebab-case, as in `--metric` and configuration files. */
  readonly name: string;
  /** What it says, in one line. */
  readonly summary: string;
  /** "%" values run from 0 to 100. */
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Kinds of target that it can read; empty: it needs no label. */
  readonly needs: readonly TargetKind[];
  /** "reference": compares with the raw outputs of the original model instead of a label. */
  readonly against?: "label" | "reference";
  /** Every sample scores 0 or 100: intervals by Wilson, differences by McNemar. */
  readonly binary?: boolean;
  /** false: resampling says nothing about it (a maximum, say), so that it comes without an interval. */
  readonly interval?: boolean;
  /** Whether the metric says anything about such outputs; where a task only suggests a metric, it is then left out. */
  readonly applies?: (outputs: Outputs) => boolean;
  /** Checks and completes the options of a configuration file; absent: the metric has none. */
  readonly options?: z.ZodType<Options>;
  readonly start: (options: Options) => MetricState;
}

/** Declares a metric; see docs/plugins.md for one of your own. */
export const defineMetric = <Options = Record<string, never>>(definition: MetricDef<Options>): MetricDef<Options> => definition;

export interface PostprocessDef<Options = unknown> {
  readonly name: string;
  readonly summary: string;
  readonly options?: z.ZodType<Options>;
  /** Pure: new outputs from one sample's outputs; names that it does not make are gone afterwards. */
  readonly apply: (outputs: Outputs, sample: PreparedSample, options: Options) => Outputs;
}

/** Declares a step between a model's raw outputs and the metrics: decoding boxes, softmax, … */
export const definePostprocess = <Options = Record<string, never>>(
  definition: PostprocessDef<Options>,
): PostprocessDef<Options> => definition;

/** Options as the definition wants them: checked and with defaults filled in. */
export function parseOptions<Options>(
  definition: { readonly name: string; readonly options?: z.ZodType<Options> },
  options: unknown,
): Options {
  if (!definition.options) return (options ?? {}) as Options;
  const parsed = definition.options.safeParse(options ?? {});
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new EdgewrightError(
    "OPTION_INVALID",
    `${definition.name} does not take ${issue?.path.join(".") || "these options"}: ${issue?.message ?? "invalid"}.`,
    { subject: definition.name },
  );
}

/** A metric whose value is the mean of one score a sample. */
export function meanState(
  score: (outputs: Outputs, sample: PreparedSample, reference: Outputs | undefined) => number,
): MetricState {
  const perSample: number[] = [];
  return {
    perSample,
    update(outputs, sample, reference) {
      perSample.push(score(outputs, sample, reference));
    },
    value: () => perSample.reduce((sum, one) => sum + one, 0) / perSample.length,
  };
}

/** A metric made of two sums over the samples, e.g. their quotient. */
export function ratioState(
  parts: (outputs: Outputs, sample: PreparedSample, reference: Outputs | undefined) => readonly [above: number, below: number],
  finish: (above: number, below: number) => number,
): MetricState {
  const above: number[] = [];
  const below: number[] = [];
  const weighted = (weights?: Weights): number => {
    let a = 0;
    let b = 0;
    for (let i = 0; i < above.length; i++) {
      const weight = weights ? (weights[i] as number) : 1;
      a += weight * (above[i] as number);
      b += weight * (below[i] as number);
    }
    return finish(a, b);
  };
  return {
    update(outputs, sample, reference) {
      const [a, b] = parts(outputs, sample, reference);
      above.push(a);
      below.push(b);
    },
    value: () => weighted(),
    weighted,
  };
}

/** The weighted value of any metric state. */
export function weightedValue(state: MetricState, weights: Weights): number {
  if (state.weighted) return state.weighted(weights);
  const scores = state.perSample;
  if (!scores) throw new EdgewrightError("METRIC_NOT_RESAMPLED", "A metric needs perSample or weighted for an interval.");
  let sum = 0;
  let total = 0;
  for (let i = 0; i < scores.length; i++) {
    sum += (weights[i] as number) * (scores[i] as number);
    total += weights[i] as number;
  }
  return sum / total;
}

/** The target of a metric that needs this kind; says which sample lacks it. */
export function targetOf<Kind extends TargetKind>(sample: PreparedSample, kind: Kind): Extract<Target, { kind: Kind }> {
  if (sample.target?.kind === kind) return sample.target as Extract<Target, { kind: Kind }>;
  throw new EdgewrightError(
    "TARGET_MISSING",
    `Sample "${sample.origin}" has ${sample.target ? `a label of kind "${sample.target.kind}"` : "no label"}, but the metric needs "${kind}".`,
    {
      subject: sample.origin,
      hint: "Choose a metric that fits the labels, or measure fidelity against the original model only.",
    },
  );
}
