import type { Outputs, PreparedSample, Target } from "../ir/index.ts";
import { type MetricDef, type PostprocessDef, parseOptions, type TargetKind } from "../metrics/define.ts";
import { type DistanceDef, distances } from "../metrics/distance.ts";
import { type AnyMetric, type AnyPostprocess, findDefinition, metrics, postprocesses } from "../metrics/registry.ts";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";

/** A metric or post-process by name, with options. */
export interface Choice {
  readonly name: string;
  readonly options?: unknown;
  /** Left out where it says nothing about the model's outputs (top-5 of three classes). */
  readonly optional?: boolean | undefined;
}

/** What is measured for a kind of model when nothing else is asked for. */
export interface TaskDef {
  readonly name: string;
  readonly summary: string;
  /** Kinds of target that say that a data set is of this task. */
  readonly targets: readonly TargetKind[];
  /** The first is the one that budgets ("--max-drop") are about. */
  readonly metrics: readonly Choice[];
  /** Against the original model, without labels. */
  readonly fidelity: readonly Choice[];
  readonly postprocess: readonly Choice[];
  /** Name of the distance between post-processed outputs that searches without labels go by; absent: that of the raw numbers. */
  readonly distance?: string;
  /** Name of the preprocessing preset to start from. */
  readonly preprocess?: string;
}

const classFidelity: readonly Choice[] = [{ name: "agreement" }, { name: "kl" }, { name: "cosine" }, { name: "sqnr" }];
const tensorFidelity: readonly Choice[] = [{ name: "sqnr" }, { name: "cosine" }, { name: "max-abs-difference" }];

/** Every task, as data. The order decides which one a data set is taken for. */
export const tasks: readonly TaskDef[] = [
  {
    name: "classification",
    summary: "one of several classes an image, a recording or a row",
    targets: ["class"],
    metrics: [{ name: "top-1" }, { name: "top-5", optional: true }],
    fidelity: classFidelity,
    postprocess: [],
    preprocess: "imagenet",
  },
  {
    name: "text-classification",
    summary: "one of several classes a text",
    targets: ["class"],
    metrics: [{ name: "top-1" }, { name: "f1" }],
    fidelity: classFidelity,
    postprocess: [],
    preprocess: "words",
  },
  {
    name: "detection",
    summary: "boxes with classes in an image",
    targets: ["boxes"],
    metrics: [{ name: "mAP50-95" }, { name: "mAP50" }],
    fidelity: tensorFidelity,
    postprocess: [{ name: "yolox" }],
    distance: "detections",
    preprocess: "yolox",
  },
  {
    name: "super-resolution",
    summary: "a larger image from a small one",
    targets: ["tensor"],
    metrics: [{ name: "psnr" }, { name: "ssim" }],
    fidelity: tensorFidelity,
    postprocess: [],
    preprocess: "super-resolution-x3",
  },
  {
    name: "language",
    summary: "the right token at every position",
    targets: ["tokens"],
    metrics: [{ name: "token-accuracy" }, { name: "sequence-accuracy" }, { name: "perplexity" }],
    fidelity: classFidelity,
    postprocess: [],
  },
  {
    name: "regression",
    summary: "numbers close to the true ones",
    targets: ["tensor"],
    metrics: [{ name: "mse" }, { name: "mae" }],
    fidelity: tensorFidelity,
    postprocess: [],
  },
  {
    name: "fidelity",
    summary: "no labels: only closeness to the original model",
    targets: [],
    metrics: [],
    fidelity: [{ name: "agreement", optional: true }, { name: "kl", optional: true }, ...tensorFidelity],
    postprocess: [],
  },
];

export function findTask(name: string): TaskDef {
  const found = tasks.find((task) => task.name === name);
  if (found) return found;
  throw new EdgewrightError("TASK_UNKNOWN", `There is no task called "${name}".`, {
    subject: name,
    hint: `Tasks: ${tasks.map((task) => task.name).join(", ")}.`,
  });
}

const taskOfTarget = {
  class: "classification",
  boxes: "detection",
  tensor: "regression",
  image: "super-resolution",
  tokens: "language",
} as const;

/** The task that a label speaks for ("image": a picture is the right answer). */
export function guessTask(label: Target["kind"] | "image" | undefined, textInput = false): TaskDef {
  if (label === undefined) return findTask("fidelity");
  return findTask(label === "class" && textInput ? "text-classification" : taskOfTarget[label]);
}

/** Drives a session for one sample where a single run does not do: greedy decoding, state carried along a recording, … */
export type RunSample = (context: {
  readonly session: Session;
  readonly sample: PreparedSample;
  readonly signal: AbortSignal | undefined;
}) => Promise<Outputs>;

/** What a plug-in file may add; all parts are optional. */
export interface EvaluationPlugin {
  readonly metrics?: readonly AnyMetric[];
  readonly postprocess?: readonly AnyPostprocess[];
  readonly run?: RunSample;
  /** What data preparation shall feed where `run` makes the model's inputs itself (a waveform, say). */
  readonly inputs?: Session["inputs"];
  /** Samples of its own making, in place of a data set: the same ones at every call. */
  readonly samples?: () => AsyncIterable<PreparedSample>;
}

export interface Chosen<D> {
  readonly definition: D;
  readonly options: unknown;
  readonly optional: boolean;
}

/** A task with every name looked up and every option checked. */
export interface ResolvedTask {
  readonly name: string;
  readonly metrics: readonly Chosen<MetricDef>[];
  readonly fidelity: readonly Chosen<MetricDef>[];
  readonly postprocess: readonly Chosen<PostprocessDef>[];
  readonly distance: DistanceDef | undefined;
  readonly run: RunSample | undefined;
}

export interface TaskChange {
  /** In place of the task's own. Metrics against the reference go to the fidelity metrics. */
  readonly metrics?: readonly Choice[] | undefined;
  readonly postprocess?: readonly Choice[] | undefined;
  readonly plugins?: readonly EvaluationPlugin[];
}

/** Looks a task's metrics and post-processes up, with a configuration's changes and plug-ins. */
export function resolveTask(task: TaskDef, change: TaskChange = {}): ResolvedTask {
  const plugins = change.plugins ?? [];
  const pluggedMetrics = plugins.flatMap((plugin) => plugin.metrics ?? []);
  const pluggedPostprocesses = plugins.flatMap((plugin) => plugin.postprocess ?? []);
  const metric = (choice: Choice) => choose(choice, findDefinition("metric", choice.name, metrics, pluggedMetrics));
  const asked = (change.metrics ?? task.metrics).map(metric);
  const against = asked.filter(({ definition }) => definition.against === "reference");
  const runs = plugins.flatMap((plugin) => (plugin.run ? [plugin.run] : []));
  if (runs.length > 1) throw new EdgewrightError("PLUGIN_CONFLICT", "Two plug-ins both want to run the model; only one can.");
  return {
    name: task.name,
    metrics: asked.filter(({ definition }) => definition.against !== "reference"),
    fidelity: against.length > 0 ? against : task.fidelity.map(metric),
    postprocess: (change.postprocess ?? task.postprocess).map((choice) =>
      choose(choice, findDefinition("post-process", choice.name, postprocesses, pluggedPostprocesses)),
    ),
    distance: task.distance === undefined ? undefined : distances.get(task.distance),
    run: runs[0],
  };
}

const choose = <D extends AnyMetric | AnyPostprocess>(choice: Choice, definition: D): Chosen<D> => ({
  definition,
  options: parseOptions(definition, choice.options),
  optional: choice.optional ?? false,
});
