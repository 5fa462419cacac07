import { SampleCache } from "../data/cache.ts";
import type { Dataset } from "../data/dataset.ts";
import type { ModelInput } from "../data/features/define.ts";
import { openDataset } from "../data/open.ts";
import { type PrepareOptions, prepareSamples } from "../data/prepare.ts";
import { type Preprocess, type PreprocessInput, resolvePreprocess } from "../data/preprocess.ts";
import type { Split, SplitFractions } from "../data/split.ts";
import type { Model, PreparedSample } from "../ir/index.ts";
import { type Device, thisDevice } from "../measure/device.ts";
import { type EvaluationPlugin, findTask, guessTask, type ResolvedTask, resolveTask, type TaskChange } from "../measure/task.ts";
import type { Executor } from "../runtime/executor.ts";
import { loadExecutor } from "../runtime/executors.ts";
import { fileDigest, loadModel } from "../runtime/model-file.ts";
import { findTarget, type TargetDef } from "../targets/index.ts";
import type { RunOptions } from "../util/progress.ts";
import { defaultPreprocess } from "./default-preprocess.ts";

/** What optimize and quantize are asked to work on. */
export interface SetupRequest {
  readonly modelPath: string;
  readonly data: { readonly path: string; readonly options?: Readonly<Record<string, unknown>> };
  /** Default: what the data's labels speak for. */
  readonly task?: string | undefined;
  /** A preset's name or an object; default: the task's, or a guess from the model's input. */
  readonly preprocess?: string | PreprocessInput | undefined;
  readonly metrics?: TaskChange["metrics"];
  readonly postprocess?: TaskChange["postprocess"];
  readonly plugins?: readonly EvaluationPlugin[];
  /** Default "here". */
  readonly target?: string | undefined;
  readonly threads?: number | undefined;
  readonly seed?: number | undefined;
  /** Use at most this many samples of the data. */
  readonly limit?: number | undefined;
}

/** The model, the data and the target, opened and matched with each other. */
export interface Setup {
  readonly request: SetupRequest;
  readonly model: Model;
  readonly digest: string;
  readonly dataset: Dataset;
  readonly preprocess: Preprocess;
  readonly preprocessName: string;
  readonly task: ResolvedTask;
  readonly target: TargetDef;
  readonly measuredHere: boolean;
  readonly executor: Executor;
  readonly device: Device;
  readonly threads: number;
  readonly seed: number;
  readonly warnings: string[];
  samples(split: Split | undefined, options?: RunOptions & { limit?: number }): AsyncGenerator<PreparedSample, void, undefined>;
}

/** 20 % calibration, 40 % selection, 40 % final: choosing and reporting need about equally many samples. */
export const optimizeFractions: SplitFractions = { calibration: 0.2, selection: 0.4, final: 0.4 };

/** Inputs that must be fed: graph inputs that are no initializers. */
export const modelInputs = (model: Model): ModelInput[] =>
  model.graph.inputs
    .filter((value) => !value.constant && value.type)
    .map((value) => ({ name: value.name, type: value.type as ModelInput["type"] }));

export async function openSetup(request: SetupRequest, options: RunOptions = {}): Promise<Setup> {
  const model = await loadModel(request.modelPath, options);
  const digest = await fileDigest(request.modelPath);
  const dataset = await openDataset(request.data.path, request.data.options ?? {});
  const device = thisDevice();
  const machine = { arch: device.arch, instructionSets: device.instructionSets ?? [] };
  const target = findTarget(request.target ?? "here", machine);
  const executor = await loadExecutor(target.executor);
  const inputs = modelInputs(model);
  const seed = request.seed ?? 0;
  const chosen = defaultPreprocess(request.preprocess, request.task, dataset, inputs);
  const preprocess = resolvePreprocess(chosen.spec);
  const cache = new SampleCache();
  const base: PrepareOptions = { seed, fractions: optimizeFractions, cache };
  const samples: Setup["samples"] = (split, more = {}) =>
    prepareSamples(dataset, preprocess, inputs, { ...base, split, limit: request.limit, ...more });
  const task = taskOf(request, dataset);
  const warnings = chosen.guessed ? [`No preprocessing was given; "${chosen.name}" was taken because ${chosen.why}.`] : [];
  return {
    request,
    model,
    digest,
    dataset,
    preprocess,
    task,
    target,
    executor,
    device,
    seed,
    warnings,
    samples,
    preprocessName: chosen.name,
    measuredHere: target.measuredBy(machine),
    threads: request.threads ?? 1,
  };
}

function taskOf(request: SetupRequest, dataset: Dataset): ResolvedTask {
  const change: TaskChange = { metrics: request.metrics, postprocess: request.postprocess, plugins: request.plugins ?? [] };
  if (request.task) return resolveTask(findTask(request.task), change);
  const text = dataset.features.some(({ kind }) => kind === "text" || kind === "tokens");
  return resolveTask(guessTask(dataset.label, text), change);
}
