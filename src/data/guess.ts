import type { Dataset } from "./dataset.ts";
import type { Feature } from "./define.ts";
import type { ModelInput } from "./features/define.ts";
import { imageInputForm } from "./image-tensor.ts";
import { type Preprocess, resolvePreprocess } from "./preprocess.ts";
import { presets } from "./presets.ts";

export interface PreprocessGuess {
  /** The preset, when one part covers everything. */
  readonly preset: string;
  readonly preprocess: Preprocess;
  /** One clause for people: what was concluded from what. */
  readonly why: string;
}

type Choice = readonly [preset: string, why: string];

function guessImage(inputs: readonly ModelInput[], dataset: Dataset): Choice {
  const input = inputs.find(({ type }) => imageInputForm(type) !== undefined);
  const form = input && imageInputForm(input.type);
  if (!input || !form) return ["unit", "the model fixes no image shape"];
  const side = form.size ? Math.min(...form.size) : undefined;
  if (form.channels === 1) return ["mnist-unit", `"${input.name}" has one channel`];
  if (input.type.dtype === "uint8") return ["raw-255", `"${input.name}" takes bytes`];
  if (dataset.label === "boxes") return ["yolo", "the labels are boxes"];
  if (side === undefined) return ["unit", `"${input.name}" takes any size`];
  return side >= 96
    ? ["imagenet", `"${input.name}" takes photographs of ${side} pixels`]
    : ["unit", `"${input.name}" takes images of ${side} pixels`];
}

function guessWaveform(inputs: readonly ModelInput[]): Choice {
  const flat = inputs.some(({ type }) => type.shape !== undefined && type.shape.filter((dim) => dim !== 1).length <= 1);
  return flat ? ["waveform", "the model takes a row of samples"] : ["log-mel", "the model takes a table of frames"];
}

const guessers: Readonly<Record<Feature["kind"], (inputs: readonly ModelInput[], dataset: Dataset) => Choice>> = {
  image: guessImage,
  text: () => ["words", "the data are texts"],
  tokens: () => ["tokens", "the data are token numbers"],
  waveform: guessWaveform,
  tensor: () => ["raw", "the data are numbers"],
};

/**
 * A default preprocessing from the model's inputs and the kind of data. It is a guess: value ranges cannot be read from a model, so
 * accuracy must be checked against other presets (`presetsFor`).
 */
export function guessPreprocess(inputs: readonly ModelInput[], dataset: Dataset): PreprocessGuess {
  const kinds = [...new Set(dataset.features.map((feature) => feature.kind))];
  const choices = kinds.map((kind) => guessers[kind](inputs, dataset));
  const merged = Object.assign({}, ...choices.map(([preset]) => presets[preset]?.preprocess));
  const [first] = choices as [Choice];
  return { preset: first[0], preprocess: resolvePreprocess(merged), why: choices.map(([, why]) => why).join(", ") };
}

/** Names of the presets that could serve this data: those for its first kind of feature whose channels fit the model. */
export function presetsFor(inputs: readonly ModelInput[], dataset: Dataset): readonly string[] {
  const kind = dataset.features[0]?.kind;
  const channels = inputs.map(({ type }) => imageInputForm(type)?.channels).find((count) => count !== undefined);
  const gray = (name: string): boolean => ["gray", "luma"].includes(presets[name]?.preprocess.image?.color ?? "rgb");
  return Object.keys(presets).filter(
    (name) => presets[name]?.feature === kind && (kind !== "image" || channels === undefined || gray(name) === (channels === 1)),
  );
}
