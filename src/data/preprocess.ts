import { z } from "zod";
import { EdgewrightError, fail } from "../util/errors.ts";
import { interpolations } from "./image.ts";
import { describeIssues } from "./issues.ts";
import { presets } from "./presets.ts";

const positive = z.int().positive().max(65_536);
/** A side, [height, width], or "input": the model's own size. */
const size = z.union([positive, z.tuple([positive, positive]), z.literal("input")]);
const interpolation = z.enum(interpolations).default("bilinear");
const perChannel = z.union([z.number(), z.array(z.number()).min(1)]);

export const imagePreprocessSchema = z.strictObject({
  /** Exactly one of `size` and `shortSide`. `timesInput` makes the short side a multiple of the model's input (256/224 as usual). */
  resize: z
    .strictObject({
      size: size.optional(),
      shortSide: z.union([positive, z.strictObject({ timesInput: z.number().positive().max(16) })]).optional(),
      fit: z.enum(["stretch", "cover", "contain"]).default("stretch"),
      interpolation,
      /** Fill beside a contained image, 0..255. */
      pad: z.number().min(0).max(255).default(0),
    })
    .refine((resize) => (resize.size === undefined) !== (resize.shortSide === undefined), "needs either size or shortSide")
    .optional(),
  /** Cuts this size from the centre. */
  crop: size.optional(),
  /** Scales the whole image into `size` and fills the rest. */
  letterbox: z
    .strictObject({
      size: size.default("input"),
      pad: z.number().min(0).max(255).default(114),
      position: z.enum(["top-left", "center"]).default("center"),
      interpolation,
    })
    .optional(),
  /** The input is the image made smaller by this factor; the label keeps the full size (super-resolution). */
  downscale: z
    .strictObject({ factor: z.int().min(2).max(16), interpolation: z.enum(interpolations).default("bicubic") })
    .optional(),
  /** "luma" and "gray" are both Y of YCbCr (BT.601: 0.299 R + 0.587 G + 0.114 B). */
  color: z.enum(["rgb", "bgr", "gray", "luma"]).default("rgb"),
  /** "auto": read from the model's input shape. */
  layout: z.enum(["auto", "nchw", "nhwc"]).default("auto"),
  /** (pixel * scale - mean) / std, in this order; mean and std follow the channel order of `color`. */
  scale: z.number().default(1),
  mean: perChannel.default(0),
  std: perChannel.default(1),
});

export const textPreprocessSchema = z.strictObject({
  /** "words": white-space words by vocabulary line; "tokenizer": a tokenizer.json. "auto": whatever lies beside the data. */
  tokenizer: z.enum(["auto", "words", "tokenizer"]).default("auto"),
  /** Vocabulary file (one token a line) or tokenizer.json; relative to the data's folder. Default: vocab.txt or tokenizer.json there. */
  vocabulary: z.string().optional(),
  lowercase: z.boolean().default(false),
  /** Tokens per sample; default: the model's fixed length, else as long as the text. */
  maxLength: z.int().positive().max(1_000_000).optional(),
  /** Token written before and after the text, by name or id; null: none. Word vocabularies only. */
  cls: z.union([z.string(), z.int().nonnegative(), z.null()]).default(null),
  sep: z.union([z.string(), z.int().nonnegative(), z.null()]).default(null),
  pad: z.union([z.string(), z.int().nonnegative()]).default(0),
  unknown: z.union([z.string(), z.int().nonnegative()]).default("[UNK]"),
});

const audioFeatures = ["waveform", "frames", "power", "log-power", "mel", "log-mel", "mfcc"] as const;
export const audioPreprocessSchema = z.strictObject({
  /** Hz the model was trained on; other recordings are refused, or resampled with `resample: true`. */
  sampleRate: z.number().positive().default(16_000),
  resample: z.boolean().default(false),
  feature: z.enum(audioFeatures).default("log-mel"),
  /** Samples per frame and from one frame to the next. */
  frame: z.int().min(2).max(65_536).default(400),
  hop: z.int().min(1).max(65_536).default(160),
  /** Points of the Fourier transform; default: `frame`. Frames are filled with zeros. */
  fftSize: z.int().min(2).max(65_536).optional(),
  window: z.enum(["hann", "sqrt-hann", "hamming", "rectangular"]).default("hann"),
  /** Mirror half a frame at both ends, so that frame t is centred on sample t*hop. */
  center: z.boolean().default(false),
  mels: z.int().min(1).max(1024).default(40),
  lowHz: z.number().nonnegative().default(20),
  highHz: z.number().positive().optional(),
  coefficients: z.int().min(1).max(1024).default(13),
  /** Smallest value that a logarithm sees. */
  floor: z.number().positive().default(1e-10),
  log: z.enum(["log10", "ln", "db"]).default("ln"),
  /** "time-first": [frames, bins]; "bins-first": [bins, frames]. */
  layout: z.enum(["time-first", "bins-first"]).default("time-first"),
  /** Frames (or samples of a waveform) per example: longer ones are cut, shorter ones filled with zeros. Default: the model's own. */
  length: z.int().positive().optional(),
  mean: perChannel.default(0),
  std: perChannel.default(1),
  /** Mixes in white noise at this signal-to-noise ratio, seeded by the sample's digest; the clean waveform becomes the label. */
  noise: z.strictObject({ snrDb: z.number(), seed: z.int().default(0) }).optional(),
});

export const tensorPreprocessSchema = z.strictObject({
  /** (x * scale - mean) / std; lists run along the last axis. */
  scale: z.number().default(1),
  mean: perChannel.default(0),
  std: perChannel.default(1),
  /** Order of the axes, the batch axis not counted. */
  transpose: z.array(z.int().nonnegative()).optional(),
  /** Shape without the batch axis; default: the model's own where the count of elements fits. */
  reshape: z.array(z.int().positive()).optional(),
});

/**
 * How raw samples become a model's inputs, as data. Each part serves the samples that have that feature.
 * The element type is the model input's own.
 */
export const preprocessSchema = z.strictObject({
  image: imagePreprocessSchema.optional(),
  text: textPreprocessSchema.optional(),
  audio: audioPreprocessSchema.optional(),
  tensor: tensorPreprocessSchema.optional(),
  /** Feature name → model input name, where names alone do not tell. */
  inputs: z.record(z.string(), z.string()).default({}),
  /** Model inputs that always get the same number, filled to the input's shape. */
  constants: z.record(z.string(), z.number()).default({}),
});
export type Preprocess = z.output<typeof preprocessSchema>;
/** What people write: defaults may be left out, a preset may be named and then changed. */
export type PreprocessInput = z.input<typeof preprocessSchema> & { readonly preset?: string };
export type ImagePreprocess = z.output<typeof imagePreprocessSchema>;
export type TextPreprocess = z.output<typeof textPreprocessSchema>;
export type AudioPreprocess = z.output<typeof audioPreprocessSchema>;
export type TensorPreprocess = z.output<typeof tensorPreprocessSchema>;

function presetByName(name: string): PreprocessInput {
  const preset = presets[name];
  if (!preset)
    fail("PREPROCESS_PRESET", `There is no preprocessing preset "${name}".`, {
      hint: `Presets: ${Object.keys(presets).join(", ")}.`,
    });
  return preset.preprocess;
}

const parts = ["image", "text", "audio", "tensor"] as const;

/** A preset's name, or an object (with `preset` to start from): checked, with every default filled in. */
export function resolvePreprocess(spec: string | PreprocessInput | Preprocess): Preprocess {
  if (typeof spec === "string") return parsePreprocess(presetByName(spec));
  if (typeof spec !== "object" || spec === null || Array.isArray(spec))
    fail("PREPROCESS_INVALID", `Preprocessing must be a preset's name or an object, not ${JSON.stringify(spec)}.`);
  const { preset, ...own } = spec as PreprocessInput;
  if (preset === undefined) return parsePreprocess(own);
  const base = presetByName(preset);
  const merged: Record<string, unknown> = { ...base, ...own };
  for (const part of parts) if (base[part] && own[part]) merged[part] = { ...base[part], ...own[part] };
  return parsePreprocess(merged);
}

function parsePreprocess(value: unknown): Preprocess {
  const parsed = preprocessSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new EdgewrightError("PREPROCESS_INVALID", `The preprocessing is not valid: ${describeIssues(parsed.error)}.`, {
    hint: "docs/data.md lists every field; a preset's name alone is enough for the usual cases.",
  });
}
