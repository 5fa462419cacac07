import type { Dataset } from "../data/dataset.ts";
import { openDataset } from "../data/open.ts";
import type { PrepareOptions } from "../data/prepare.ts";
import type { PreprocessInput } from "../data/preprocess.ts";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import type { EvalConfig } from "./evaluate-config.ts";
import { loadPlugin } from "./evaluate-plugin.ts";
import { checkPreprocess, tryPresets } from "./evaluate-preprocess.ts";
import { type EvaluationPlugin, findTask, guessTask, type ResolvedTask, type TaskDef } from "./task.ts";

export async function loadPlugins(config: EvalConfig): Promise<EvaluationPlugin[]> {
  const plugins: EvaluationPlugin[] = [];
  for (const plugin of config.plugins)
    plugins.push(typeof plugin === "string" ? await loadPlugin(plugin) : await loadPlugin(plugin.path, plugin.options));
  return plugins;
}

/** The data of a configuration; undefined where a plug-in makes the samples. */
export async function openData({ data }: EvalConfig, plugins: readonly EvaluationPlugin[]): Promise<Dataset | undefined> {
  if (plugins.some(({ samples }) => samples)) return undefined;
  if (data === undefined)
    throw new EdgewrightError("DATA_NOT_GIVEN", "There are no data to work on.", {
      hint: "Name them with --data, or in the configuration.",
    });
  if (typeof data === "string") return openDataset(data);
  return openDataset(data.path, { ...data.options, ...(data.kind === undefined ? {} : { kind: data.kind }) });
}

/** What was asked for, else what labels or a plug-in's own samples speak for. */
export async function taskFor(
  config: EvalConfig,
  dataset: Dataset | undefined,
  plugins: readonly EvaluationPlugin[],
): Promise<TaskDef> {
  if (config.task) return findTask(config.task);
  if (dataset)
    return guessTask(
      dataset.label,
      dataset.features.some(({ kind }) => kind === "text" || kind === "tokens"),
    );
  const own = plugins.find(({ samples }) => samples)?.samples;
  if (own) for await (const sample of own()) return guessTask(sample.target?.kind);
  return guessTask(undefined);
}

export interface ChosenPreprocess {
  readonly preprocess: string | PreprocessInput;
  readonly warnings: readonly string[];
}

export interface PreprocessSetting {
  readonly config: EvalConfig;
  readonly dataset: Dataset | undefined;
  readonly prepare: PrepareOptions;
}

/** What was given, checked against the presets; else the preset that scores best on a few samples. */
export async function preprocessFor(
  { config, dataset, prepare }: PreprocessSetting,
  session: Session,
  { task, resolved }: { readonly task: TaskDef; readonly resolved: ResolvedTask },
  options: RunOptions,
): Promise<ChosenPreprocess> {
  const given = config.preprocess as string | PreprocessInput | undefined;
  if (!dataset) return { preprocess: given ?? {}, warnings: [] };
  const search = { dataset, session, task: resolved, prepare, first: task.preprocess };
  // presets are only told apart by labels, and a plug-in's own inputs are not theirs to fill
  const comparable = resolved.metrics.length > 0 && !resolved.run;
  if (given !== undefined) {
    const check = config.check && comparable ? await checkPreprocess(search, given, options) : undefined;
    return { preprocess: given, warnings: check?.warnings ?? [] };
  }
  const [best, next] = await tryPresets(search, options);
  if (!best)
    throw new EdgewrightError("PREPROCESS_NEEDED", "No preprocessing preset fits these data and this model.", {
      hint: "Say with --preprocess (or in the configuration) how samples become inputs; docs/data.md shows how.",
    });
  const score = (trial: typeof best): string =>
    `${trial.result.scores[0]?.value.toFixed(1)} ${trial.result.scores[0]?.unit}`.trim();
  const against = next ? `, next "${next.preset}" with ${score(next)}` : "";
  const how =
    best.result.scores.length > 0
      ? `it scores best on ${best.result.n} samples (${score(best)}${against})`
      : "it fits the model's input";
  return { preprocess: best.preset, warnings: [`No preprocessing was given; "${best.preset}" was taken because ${how}.`] };
}
