import { z } from "zod";

const histogram = z.object({
  /** Borders of the outermost bins; all bins are equally wide. */
  low: z.number(),
  high: z.number(),
});

/** Gain in dB: how many times less noise the outputs have with this alone in float; with its standard error. */
const gainSchema = z.object({ db: z.number(), error: z.number().nullable() });

export const layerNoiseSchema = z.object({
  node: z.string(),
  opType: z.string(),
  /** The float value that its result stands for. */
  value: z.string(),
  /** dB: both models from their inputs. */
  sqnr: z.number(),
  /** dB: the integer layer alone, on the float model's values. */
  localSqnr: z.number(),
  /** dB: its stored weights alone, all else float; null without weights. */
  weightSqnr: z.number().nullable(),
  /** dB: the rounding and clipping of its result alone; null where the result is float. */
  resultSqnr: z.number().nullable(),
  /** Share of its accumulated noise that is a constant offset of each channel. */
  offsetShare: z.number().nullable(),
  /** With its weights in float. */
  weightGain: gainSchema.nullable(),
  /** With its result in float, for all that read it; null too where it only passes on the scale that it reads. */
  resultGain: gainSchema.nullable(),
});

export const activationNoiseSchema = z.object({
  value: z.string(),
  /** The node whose result it is; null for inputs. */
  node: z.string().nullable(),
  /** Integer nodes that read it. */
  readers: z.array(z.string()),
  dtype: z.string(),
  /** 1: one scale for all. */
  channels: z.number(),
  /** Of the channel with the largest. */
  scale: z.number(),
  zeroPoint: z.number(),
  /** The reals that the integers stand for. */
  range: z.tuple([z.number(), z.number()]),
  /** Smallest and largest float value that was seen. */
  observed: z.tuple([z.number(), z.number()]),
  /** Between which 99.9 % of the values lie. */
  bulk: z.tuple([z.number(), z.number()]),
  /** Share of values beyond the range. */
  clipped: z.number(),
  /** Share of the squared error that these values have. */
  clipNoise: z.number(),
  /** dB: rounding and clipping alone. */
  sqnr: z.number(),
  gain: gainSchema.nullable(),
  histogram: histogram.extend({ counts: z.array(z.number()), zeros: z.number() }),
});

export const weightNoiseSchema = z.object({
  node: z.string(),
  weight: z.string(),
  dtype: z.string(),
  channels: z.number(),
  perChannel: z.boolean(),
  /** Integers between the smallest and the largest that occur, about the zero point; of the type's, and of the median channel. */
  levels: z.number(),
  availableLevels: z.number(),
  medianChannelLevels: z.number(),
  /** Share of weights beyond the stored integers' range. */
  clipped: z.number(),
  /** dB, weight by weight. */
  sqnr: z.number(),
  /** Of the worst layers. */
  histogram: histogram.extend({ float: z.array(z.number()), stored: z.array(z.number()) }).nullable(),
});

export const adviceKinds = [
  "float",
  "widen",
  "narrow",
  "weights",
  "table",
  "learned-rounding",
  "bias-correction",
  "fine",
  "unmatched",
] as const;

export const adviceSchema = z.object({
  kind: z.enum(adviceKinds),
  /** The node, value or weights in question; null for the whole model. */
  subject: z.string().nullable(),
  /** What to do and why, one sentence. */
  text: z.string(),
  gain: z.number().nullable(),
  error: z.number().nullable(),
});
export type Advice = z.infer<typeof adviceSchema>;

export const explanationSchema = z.object({
  schema: z.literal("edgewright/explanation@1"),
  float: z.object({ path: z.string(), digest: z.string() }),
  quantized: z.object({ path: z.string(), digest: z.string(), bytes: z.number() }),
  /**
   * What the quantized model was compared with: the float model simplified, simplified with its channels rescaled as equalization left
   * them (values count in these scales), or as it is.
   */
  reference: z.enum(["simplified", "rescaled", "original"]),
  target: z.string(),
  samples: z.number(),
  /** Runs of the model: several a sample where a plug-in drives it. */
  runs: z.number(),
  /** dB, of all float outputs together and one by one. */
  sqnr: z.number(),
  outputs: z.array(z.object({ name: z.string(), sqnr: z.number() })),
  /** Ranked: the most worthwhile first. */
  advice: z.array(adviceSchema),
  /** In execution order. */
  layers: z.array(layerNoiseSchema),
  activations: z.array(activationNoiseSchema),
  weights: z.array(weightNoiseSchema),
  tables: z.array(z.object({ node: z.string(), sqnr: z.number(), gain: gainSchema.nullable() })),
  /** Integer nodes that could not be compared, with the reason. */
  unmatched: z.array(z.object({ node: z.string(), opType: z.string(), reason: z.string() })),
  warnings: z.array(z.string()),
  seconds: z.number(),
});
export type Explanation = z.infer<typeof explanationSchema>;
export type Gain = z.infer<typeof gainSchema>;
export type LayerNoise = z.infer<typeof layerNoiseSchema>;
export type ActivationNoise = z.infer<typeof activationNoiseSchema>;
export type WeightNoise = z.infer<typeof weightNoiseSchema>;
