import { SampleCache } from "../data/cache.ts";
import type { Dataset } from "../data/dataset.ts";
import type { ModelInput } from "../data/features/define.ts";
import { type PrepareOptions, prepareSamples } from "../data/prepare.ts";
import { type PreprocessInput, resolvePreprocess } from "../data/preprocess.ts";
import { type Split, type SplitFractions, splitOf } from "../data/split.ts";
import type { Model, PreparedSample } from "../ir/index.ts";
import { type Device, thisDevice } from "../measure/device.ts";
import { type EvalConfig, toChoice } from "../measure/evaluate-config.ts";
import { type ChosenPreprocess, loadPlugins, openData, preprocessFor, taskFor } from "../measure/evaluate-setup.ts";
import { type EvaluationPlugin, type ResolvedTask, resolveTask, type TaskDef } from "../measure/task.ts";
import type { Executor } from "../runtime/executor.ts";
import { loadExecutor } from "../runtime/executors.ts";
import { fileDigest, loadModel } from "../runtime/model-file.ts";
import { findTarget, type TargetDef } from "../targets/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";

/** What optimize and quantize are asked to work on: an evaluation (docs/plugins.md) and a target. */
export interface SetupRequest {
  readonly evaluation: EvalConfig;
  /** Default "here". */
  readonly target?: string | undefined;
}

/** The model, the data and the target, opened and matched with each other. */
export interface Setup {
  readonly evaluation: EvalConfig;
  readonly modelPath: string;
  readonly model: Model;
  readonly digest: string;
  /** Undefined where a plug-in makes the samples. */
  readonly dataset: Dataset | undefined;
  readonly preprocess: string | PreprocessInput;
  readonly task: ResolvedTask;
  readonly target: TargetDef;
  /** False: this machine stands in for the target when latency is measured. */
  readonly measuredHere: boolean;
  readonly executor: Executor;
  readonly device: Device;
  readonly threads: number;
  readonly seed: number;
  readonly warnings: string[];
  /** Whether every split had samples of its own so far. */
  readonly splits: { heldOut: boolean };
  /** A fresh sweep in the same order each time; whoever consumes it reports the progress. */
  samples(split: Split | undefined, options?: Pick<RunOptions, "signal"> & { limit?: number }): AsyncIterable<PreparedSample>;
}

/** 20 % calibration, 40 % selection, 40 % final: choosing and reporting need about equally many samples. */
export const optimizeFractions: SplitFractions = { calibration: 0.2, selection: 0.4, final: 0.4 };

/** Inputs that must be fed: graph inputs that are no initializers. */
export const modelInputs = (model: Model): ModelInput[] =>
  model.graph.inputs
    .filter((value) => !value.constant && value.type)
    .map((value) => ({ name: value.name, type: value.type as ModelInput["type"] }));

export async function openSetup(
  { evaluation, target: targetName = "here" }: SetupRequest,
  options: RunOptions = {},
): Promise<Setup> {
  const plugins = await loadPlugins(evaluation);
  const modelPath = evaluation.model;
  const model = await loadModel(modelPath, options);
  const device = thisDevice();
  const machine = { arch: device.arch, instructionSets: device.instructionSets ?? [] };
  const target = findTarget(targetName, machine);
  const executor = await loadExecutor(target.executor);
  const dataset = await openData(evaluation, plugins);
  const task = await taskFor(evaluation, dataset, plugins);
  const resolved = resolveTask(task, {
    metrics: evaluation.metrics?.map(toChoice),
    postprocess: evaluation.postprocess?.map(toChoice),
    plugins,
  });
  const inputs = plugins.find((plugin) => plugin.inputs)?.inputs ?? modelInputs(model);
  const { preprocess, warnings: remarks } = await choosePreprocess({ evaluation, dataset, task, resolved, executor }, options);
  const warnings = [...remarks];
  const splits = { heldOut: true };
  return {
    evaluation,
    modelPath,
    model,
    dataset,
    preprocess,
    task: resolved,
    target,
    executor,
    device,
    warnings,
    splits,
    digest: await fileDigest(modelPath),
    measuredHere: target.measuredBy(machine),
    threads: evaluation.threads ?? 1,
    seed: evaluation.seed,
    samples: withFallback(sampleSource(evaluation, dataset, preprocess, inputs, plugins), warnings, splits),
  };
}

/** A fresh sweep each call, in the same order; decoded samples are shared between sweeps. */
function sampleSource(
  evaluation: EvalConfig,
  dataset: Dataset | undefined,
  preprocess: string | PreprocessInput,
  inputs: readonly ModelInput[],
  plugins: readonly EvaluationPlugin[],
): Setup["samples"] {
  const base: PrepareOptions = {
    seed: evaluation.seed,
    fractions: optimizeFractions,
    limit: evaluation.limit,
    cache: new SampleCache(),
  };
  if (dataset)
    return (split, more = {}) =>
      prepareSamples(dataset, preprocess, inputs, { ...base, limit: more.limit ?? base.limit, signal: more.signal, split });
  const made = plugins.find(({ samples }) => samples)?.samples as NonNullable<EvaluationPlugin["samples"]>;
  return async function* (split, { limit = evaluation.limit ?? Number.POSITIVE_INFINITY } = {}) {
    let count = 0;
    for await (const sample of made()) {
      if (split !== undefined && splitOf(sample.id, evaluation.seed, optimizeFractions) !== split) continue;
      if (count++ >= limit) return;
      yield sample;
    }
  };
}

/** A data set too small to leave every split a sample is used whole for each, and the report says that nothing was held out. */
function withFallback(source: Setup["samples"], warnings: string[], splits: Setup["splits"]): Setup["samples"] {
  return async function* (split, options = {}) {
    let count = 0;
    try {
      for await (const sample of source(split, options)) {
        count++;
        yield sample;
      }
      if (count > 0 || split === undefined) return;
    } catch (error) {
      if (!(error instanceof EdgewrightError && error.code === "DATA_EMPTY" && count === 0 && split !== undefined)) throw error;
    }
    splits.heldOut = false;
    const warning = `There are too few samples for a ${split} split of their own: all of them are used, so nothing is held out.`;
    if (!warnings.includes(warning)) warnings.push(warning);
    yield* source(undefined, options);
  };
}

interface PreprocessContext {
  readonly evaluation: EvalConfig;
  readonly dataset: Dataset | undefined;
  readonly task: TaskDef;
  readonly resolved: ResolvedTask;
  readonly executor: Executor;
}

/** As `edgewright eval` decides it; the model is loaded only where presets have to be tried. */
async function choosePreprocess(
  { evaluation, dataset, task, resolved, executor }: PreprocessContext,
  options: RunOptions,
): Promise<ChosenPreprocess> {
  const given = evaluation.preprocess as string | PreprocessInput | undefined;
  if (given !== undefined) resolvePreprocess(given);
  if (!dataset || (given !== undefined && !evaluation.check)) return { preprocess: given ?? {}, warnings: [] };
  const session = await executor.load(evaluation.model, { threads: evaluation.threads ?? 1 });
  try {
    const prepare = { seed: evaluation.seed, limit: evaluation.limit };
    return await preprocessFor({ config: evaluation, dataset, prepare }, session, { task, resolved }, options);
  } finally {
    await session.release();
  }
}
