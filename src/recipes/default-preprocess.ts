import type { Dataset } from "../data/dataset.ts";
import type { ModelInput } from "../data/features/define.ts";
import type { PreprocessInput } from "../data/preprocess.ts";
import { findTask } from "../measure/task.ts";

export interface ChosenPreprocess {
  readonly spec: string | PreprocessInput;
  readonly name: string;
  readonly guessed: boolean;
  readonly why: string;
}

/** What was asked for; else the task's own preset; else a plain guess from the kind of data and the model's input. */
export function defaultPreprocess(
  asked: string | PreprocessInput | undefined,
  task: string | undefined,
  dataset: Dataset,
  inputs: readonly ModelInput[],
): ChosenPreprocess {
  if (asked !== undefined)
    return { spec: asked, name: typeof asked === "string" ? asked : (asked.preset ?? "custom"), guessed: false, why: "" };
  const preset = task ? findTask(task).preprocess : undefined;
  if (preset) return { spec: preset, name: preset, guessed: true, why: `it is the usual one for ${task}` };
  const image = dataset.features.some(({ kind }) => kind === "image");
  if (!image) return { spec: {}, name: "as stored", guessed: false, why: "" };
  const large =
    Math.max(...inputs.flatMap(({ type }) => type.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 0))) >= 112;
  return large
    ? { spec: "imagenet", name: "imagenet", guessed: true, why: "the model takes photographs of that size" }
    : { spec: "unit", name: "unit", guessed: true, why: "the model takes small images" };
}
