import { bindInputs } from "../bind.ts";
import type { Dataset } from "../dataset.ts";
import type { Feature } from "../define.ts";
import type { ModelInput } from "../features/define.ts";
import { featureKinds } from "../features/index.ts";
import { imageInputForm } from "../image-tensor.ts";
import { lookupTables } from "../pixel-values.ts";
import {
  audioPreprocessSchema,
  imagePreprocessSchema,
  type Preprocess,
  type PreprocessInput,
  resolvePreprocess,
  textPreprocessSchema,
} from "../preprocess.ts";
import { openTextEncoder } from "../vocabulary.ts";

/** A prepared picture. Values of a byte b: black + (white − black)·b/255, for each channel. */
export interface ImageForm {
  readonly kind: "image";
  readonly layout: "nchw" | "nhwc";
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** What the bytes 0 and 255 became, for each channel. */
  readonly black: readonly number[];
  readonly white: readonly number[];
  /** Share of each channel in the brightness; adds up to 1. */
  readonly luma: readonly number[];
}

/** A prepared recording: `steps` in time of `bins` values each. */
export interface AudioForm {
  readonly kind: "audio";
  readonly content: "waveform" | "frames" | "bands";
  readonly steps: number;
  readonly bins: number;
  /** Elements from one step to the next, and from one bin to the next. */
  readonly stepStride: number;
  readonly binStride: number;
}

/** Token numbers. */
export interface TokenForm {
  readonly kind: "tokens";
  readonly length: number;
  /** Tokens that carry no text: padding, begin, end. */
  readonly special: readonly number[];
  /** Stands for a word that the vocabulary does not hold. */
  readonly unknown: number | undefined;
}

/** Numbers of no known meaning. */
export interface TensorForm {
  readonly kind: "tensor";
}

/** What a model input holds, as far as augmentation must know it. */
export type InputForm = ImageForm | AudioForm | TokenForm | TensorForm;
/** The form once the shape of a prepared sample (its batch axis of 1 included) is known. */
export type FormOfShape = (shape: readonly number[]) => InputForm;

function imageForm(input: ModelInput, preprocess: Preprocess): FormOfShape {
  const spec = preprocess.image ?? imagePreprocessSchema.parse({});
  const layout = imageInputForm(input.type, spec.layout)?.layout ?? "nchw";
  const luma = { rgb: [0.299, 0.587, 0.114], bgr: [0.114, 0.587, 0.299], gray: [1], luma: [1] }[spec.color];
  const tables = lookupTables(spec, luma.length);
  const black = tables.map((table) => table[0] as number);
  const white = tables.map((table) => table[255] as number);
  return (shape) => {
    const [channels, height, width] = (layout === "nchw" ? shape.slice(1) : [shape[3], shape[1], shape[2]]) as [
      number,
      number,
      number,
    ];
    return { kind: "image", layout, channels, height, width, black, white, luma };
  };
}

function audioForm(preprocess: Preprocess): FormOfShape {
  const { feature, layout } = preprocess.audio ?? audioPreprocessSchema.parse({});
  const waveform = feature === "waveform";
  const content = waveform || feature === "frames" ? feature : "bands";
  const rank = waveform ? 1 : 2;
  return (shape) => {
    // extra axes of size 1 stand before or after
    const after = shape.length > rank + 1 && shape.at(-1) === 1;
    const body = after ? shape.slice(1, 1 + rank) : shape.slice(-rank);
    const [first = 1, second = 1] = body;
    if (layout === "time-first" || waveform)
      return { kind: "audio", content, steps: first, bins: second, stepStride: second, binStride: 1 };
    return { kind: "audio", content, steps: second, bins: first, stepStride: 1, binStride: second };
  };
}

async function tokenForm(feature: Feature, preprocess: Preprocess, dataset: Dataset): Promise<FormOfShape> {
  const spec = preprocess.text ?? textPreprocessSchema.parse({});
  const encoder = feature.kind === "text" ? await openTextEncoder(spec, dataset) : undefined;
  const special = encoder?.special ?? (typeof spec.pad === "number" ? [spec.pad] : []);
  return (shape) => ({ kind: "tokens", length: shape[1] as number, special, unknown: encoder?.unknown });
}

/** Model input → its form, for the inputs that features feed; all others are plain tensors. */
export async function inputForms(
  dataset: Dataset,
  spec: string | PreprocessInput | Preprocess,
  inputs: readonly ModelInput[],
): Promise<ReadonlyMap<string, FormOfShape>> {
  const preprocess = resolvePreprocess(spec);
  const offered = dataset.features.map((feature) => {
    const { names, companions = [] } = featureKinds[feature.kind];
    return { feature, names: names(feature), companions };
  });
  const bound = bindInputs(offered, inputs, preprocess.inputs, preprocess.constants).inputs;
  const forms = new Map<string, FormOfShape>();
  for (const { feature, names } of offered)
    for (const name of names) {
      const input = bound.get(name);
      if (!input || feature.kind === "tensor") continue;
      if (feature.kind === "image") forms.set(input.name, imageForm(input, preprocess));
      else if (feature.kind === "waveform") forms.set(input.name, audioForm(preprocess));
      else forms.set(input.name, await tokenForm(feature, preprocess, dataset));
    }
  return forms;
}
