import { resolve } from "node:path";
import { type EvalConfig, folderOf, parseEvalConfig, readEvalConfig } from "../measure/evaluate-config.ts";
import { tasks } from "../measure/task.ts";
import { EdgewrightError } from "../util/errors.ts";
import { type Command, InvalidArgumentError } from "./command-line.ts";

/** Flags that say what is measured on which samples, the same for every verb that needs them. */
export interface EvaluationFlags {
  readonly data?: string;
  readonly kind?: string;
  readonly task?: string;
  readonly preprocess?: string;
  readonly metric?: string[];
  readonly postprocess?: string[];
  readonly plugin?: string[];
  readonly limit?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly config?: string;
  readonly check: boolean;
}

export const integer = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError("It must be a whole number.");
  return value;
};
export const collect = (text: string, before: string[] = []): string[] => [...before, text];

export function addEvaluationFlags(command: Command): Command {
  return command
    .option("--data <path>", "folder or file with samples")
    .option("--kind <kind>", "kind of data, where the path does not tell")
    .option("--task <task>", `one of ${tasks.map(({ name }) => name).join(", ")}; default: what the labels say`)
    .option(
      "--preprocess <preset|json>",
      "how samples become inputs: a preset's name or a JSON object; default: the best preset on a few samples",
    )
    .option("--metric <name>", "measure this instead of the task's metrics; may be repeated", collect)
    .option("--postprocess <name>", "step between outputs and metrics; may be repeated", collect)
    .option("--plugin <file>", "JavaScript module with metrics, post-processing or a run function; may be repeated", collect)
    .option("--limit <n>", "at most this many samples", integer)
    .option("--seed <n>", "seed of order and splits (default 0)", integer)
    .option("--threads <n>", "threads of the runtime (default 1)", integer)
    .option("--config <file>", "JSON file with all of this; flags win over it")
    .option("--no-check", "do not try other preprocessing presets on a few samples");
}

/** A preset's name, or JSON where it begins like an object. */
function preprocessOf(text: string): unknown {
  if (!text.trimStart().startsWith("{")) return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EdgewrightError("OPTION_INVALID", `--preprocess is not valid JSON: ${(cause as Error).message}.`, { cause });
  }
}

const defined = (values: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** What the flags say, in the shape of a configuration; paths are the shell's, so they start here. */
function fromFlags(model: string | undefined, flags: EvaluationFlags): Record<string, unknown> {
  const path = flags.data === undefined ? undefined : resolve(flags.data);
  return defined({
    model: model === undefined ? undefined : resolve(model),
    data: path !== undefined && flags.kind !== undefined ? { path, kind: flags.kind } : path,
    preprocess: flags.preprocess === undefined ? undefined : preprocessOf(flags.preprocess),
    task: flags.task,
    metrics: flags.metric,
    postprocess: flags.postprocess,
    plugins: flags.plugin?.map((file) => resolve(file)),
    limit: flags.limit,
    seed: flags.seed,
    threads: flags.threads,
    check: flags.check ? undefined : false,
  });
}

/** Configuration file and flags together, checked; `more` are flags of one verb. */
export async function readEvaluation(
  model: string | undefined,
  flags: EvaluationFlags,
  more: Readonly<Record<string, unknown>> = {},
): Promise<EvalConfig> {
  const file = flags.config === undefined ? {} : await readEvalConfig(flags.config);
  const merged = { ...file, ...fromFlags(model, flags), ...defined(more) };
  if (!("model" in merged))
    throw new EdgewrightError("MODEL_NOT_GIVEN", "There is no model to work on.", {
      hint: "Name an .onnx file, or a --config that does.",
    });
  const folder = flags.config === undefined ? process.cwd() : folderOf(flags.config);
  return parseEvalConfig(merged, folder, flags.config);
}
