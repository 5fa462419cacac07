import { z } from "zod";
import type { Dataset } from "../data/dataset.ts";
import { type PrepareOptions, prepareSamples } from "../data/prepare.ts";
import type { PreprocessInput } from "../data/preprocess.ts";
import type { PreparedSample } from "../ir/index.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import { fileDigest } from "../runtime/model-file.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { type AccuracyResult, collectReference, evaluateAccuracy } from "./accuracy.ts";
import { type AccuracyComparison, compareAccuracy } from "./accuracy-compare.ts";
import type { Reference } from "./accuracy-reference.ts";
import { thisDevice } from "./device.ts";
import { type EvalConfig, toChoice } from "./evaluate-config.ts";
import { chanceWarning } from "./evaluate-preprocess.ts";
import { loadPlugins, openData, preprocessFor, taskFor } from "./evaluate-setup.ts";
import { measurementSchema } from "./measurement.ts";
import { type EvaluationPlugin, findTask, guessTask, type ResolvedTask, resolveTask, type TaskDef } from "./task.ts";

/** A measurement, with the number of samples that it is about. */
const countedSchema = measurementSchema.extend({ n: z.number() });
const intervalSchema = z.tuple([z.number(), z.number()]).optional();

export const evalReportSchema = z.object({
  model: z.object({ path: z.string(), digest: z.string() }),
  data: z.object({ path: z.string(), summary: z.string() }),
  task: z.string(),
  /** As asked for, or the preset that was chosen; null where a plug-in makes the samples. */
  preprocess: z.unknown(),
  n: z.number(),
  threads: z.number(),
  seconds: z.number(),
  measurements: z.array(countedSchema),
  /** Against the baseline, sample by sample. */
  baseline: z
    .object({
      model: z.object({ path: z.string(), digest: z.string() }),
      measurements: z.array(countedSchema),
      differences: z.array(
        z.object({
          metric: z.string(),
          unit: z.string(),
          n: z.number(),
          baseline: z.number(),
          candidate: z.number(),
          difference: z.number(),
          interval: intervalSchema,
          mcNemar: z.object({ lost: z.number(), gained: z.number(), p: z.number() }).optional(),
        }),
      ),
    })
    .optional(),
  expectations: z.array(
    z.object({ metric: z.string(), expected: z.number(), within: z.number(), measured: z.number().nullable(), met: z.boolean() }),
  ),
  warnings: z.array(z.string()),
});
export type EvalReport = z.infer<typeof evalReportSchema>;

interface Subject {
  readonly path: string;
  readonly digest: string;
  readonly session: Session;
}

/** Everything that is known before the sweep. */
interface Setting {
  readonly config: EvalConfig;
  readonly executor: Executor;
  readonly plugins: readonly EvaluationPlugin[];
  readonly dataset: Dataset | undefined;
  readonly prepare: PrepareOptions;
}

/** Evaluates a model as a configuration says (paths absolute already: `parseEvalConfig`). */
export async function evaluate(config: EvalConfig, executor: Executor, options: RunOptions = {}): Promise<EvalReport> {
  const started = performance.now();
  const plugins = await loadPlugins(config);
  const model = await openSubject(config.model, executor, config);
  try {
    const dataset = await openData(config, plugins);
    const prepare = { seed: config.seed, split: config.split, limit: config.limit, signal: options.signal };
    const setting: Setting = { config, executor, plugins, dataset, prepare };
    const report = await evaluateIn(setting, model, options);
    return { ...report, seconds: (performance.now() - started) / 1000 };
  } finally {
    await model.session.release();
  }
}

async function openSubject(path: string, executor: Executor, { threads }: EvalConfig): Promise<Subject> {
  const digest = await fileDigest(path);
  return { path, digest, session: await executor.load(path, { threads: threads ?? 1 }) };
}

/** Model inputs as data preparation sees them: a plug-in that drives the session itself may ask for others. */
const preparedInputs = ({ plugins }: Setting, { session }: Subject) =>
  plugins.find(({ inputs }) => inputs)?.inputs ?? session.inputs;

/** A fresh sweep over the same samples in the same order. */
function samplesFor(setting: Setting, subject: Subject, preprocess: string | PreprocessInput): AsyncIterable<PreparedSample> {
  const own = setting.plugins.find(({ samples }) => samples)?.samples;
  if (own) return limited(own(), setting.config.limit);
  return prepareSamples(setting.dataset as Dataset, preprocess, preparedInputs(setting, subject), setting.prepare);
}

async function* limited<T>(source: AsyncIterable<T>, limit = Number.POSITIVE_INFINITY): AsyncGenerator<T> {
  let count = 0;
  for await (const item of source) {
    if (count++ >= limit) return;
    yield item;
  }
}

async function evaluateIn(setting: Setting, model: Subject, options: RunOptions): Promise<Omit<EvalReport, "seconds">> {
  const { config, dataset } = setting;
  const task = await taskFor(config, dataset, setting.plugins);
  const resolved = resolveTask(task, {
    metrics: config.metrics?.map(toChoice),
    postprocess: config.postprocess?.map(toChoice),
    plugins: setting.plugins,
  });
  if (resolved.metrics.length === 0 && !config.baseline)
    throw new EdgewrightError(
      "LABELS_MISSING",
      "The data have no labels, so that only closeness to another model can be measured.",
      {
        hint: "Name the original model with --baseline.",
      },
    );
  const choice = await preprocessFor(setting, model.session, { task, resolved }, options);
  const before = config.baseline ? await baselineRun(setting, config.baseline, resolved, choice.preprocess, options) : undefined;
  const result = await sweep(setting, model, resolved, choice.preprocess, options, before?.result.reference);
  const chance = chanceWarning(result, result.classes);
  return {
    model: { path: model.path, digest: model.digest },
    data: { path: dataset?.path ?? "", summary: dataset?.summary ?? "samples made by a plug-in" },
    task: task.name,
    preprocess: dataset ? choice.preprocess : null,
    n: result.n,
    threads: config.threads ?? 1,
    measurements: counted(result),
    ...(before ? { baseline: describeBaseline(before, compareAccuracy(before.result, result)) } : {}),
    expectations: config.expect.map((expected) => expectation(expected, result)),
    warnings: [...choice.warnings, ...(chance ? [chance] : []), ...result.warnings],
  };
}

const sweep = (
  setting: Setting,
  subject: Subject,
  task: ResolvedTask,
  preprocess: string | PreprocessInput,
  options: RunOptions,
  reference?: Reference,
): Promise<AccuracyResult> => evaluateAccuracy({ ...inputFor(setting, subject, task, preprocess), reference }, options);

const inputFor = (setting: Setting, subject: Subject, task: ResolvedTask, preprocess: string | PreprocessInput) => ({
  session: subject.session,
  samples: samplesFor(setting, subject, preprocess),
  total:
    setting.config.split || !setting.dataset
      ? undefined
      : Math.min(setting.dataset.length, setting.config.limit ?? Number.POSITIVE_INFINITY),
  task,
  batch: setting.config.batch,
  subject: subject.digest,
  device: thisDevice().summary,
  versions: { node: process.versions.node, [setting.executor.name]: setting.executor.version },
});

const counted = ({ measurements, scores, n }: AccuracyResult): EvalReport["measurements"] =>
  measurements.map((one) => ({ ...one, n: scores.find(({ metric }) => metric === one.metric)?.n ?? n }));

interface BaselineRun {
  readonly path: string;
  readonly digest: string;
  readonly result: AccuracyResult & { readonly reference: Reference };
}

async function baselineRun(
  setting: Setting,
  path: string,
  task: ResolvedTask,
  preprocess: string | PreprocessInput,
  options: RunOptions,
): Promise<BaselineRun> {
  const original = await openSubject(path, setting.executor, setting.config);
  try {
    const result = await collectReference(inputFor(setting, original, task, preprocess), options);
    return { path, digest: original.digest, result };
  } finally {
    await original.session.release();
  }
}

const describeBaseline = ({ path, digest, result }: BaselineRun, comparison: AccuracyComparison): EvalReport["baseline"] => ({
  model: { path, digest },
  measurements: counted(result),
  differences: comparison.differences.map(({ metric, unit, n, baseline, candidate, difference, interval, mcNemar }) => ({
    metric,
    unit,
    n,
    baseline,
    candidate,
    difference,
    ...(interval ? { interval: [...interval] as [number, number] } : {}),
    ...(mcNemar ? { mcNemar: { lost: mcNemar.lost, gained: mcNemar.gained, p: mcNemar.exact } } : {}),
  })),
});

function expectation(expected: EvalConfig["expect"][number], result: AccuracyResult): EvalReport["expectations"][number] {
  const measured = result.scores.find(({ metric }) => metric === expected.metric)?.value ?? Number.NaN;
  // half a unit in the sixth digit, so that a difference of exactly `within` is not lost to rounding
  const met = Math.abs(measured - expected.value) <= expected.within + 1e-6;
  return {
    metric: expected.metric,
    expected: expected.value,
    within: expected.within,
    measured: Number.isFinite(measured) ? measured : null,
    met,
  };
}
