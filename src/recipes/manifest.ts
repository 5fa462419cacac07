import { z } from "zod";
import { measurementSchema } from "../measure/measurement.ts";

/** One step of a recipe: a pass by name with its parameters, enough to do it again. */
export const stepSchema = z.object({ pass: z.string(), params: z.record(z.string(), z.unknown()) });
export type Step = z.infer<typeof stepSchema>;

export const noteSchema = z.object({
  pass: z.string(),
  subject: z.string(),
  kind: z.enum(["did", "skipped", "warning"]),
  message: z.string(),
});

export const fileSchema = z.object({ path: z.string(), bytes: z.number(), digest: z.string(), role: z.string() });

/** What is known of one variant of the model. Optional measurements are absent where they were not taken, never guessed. */
export const candidateSchema = z.object({
  name: z.string(),
  title: z.string(),
  steps: z.array(stepSchema),
  file: fileSchema.nullable(),
  /** The task's main metric, on the selection split. */
  accuracy: measurementSchema.nullable(),
  /** Main metric minus the baseline's, same samples, points or the metric's unit; negative is worse. */
  accuracyChange: measurementSchema.nullable(),
  /** Further accuracy and fidelity figures. */
  others: z.array(measurementSchema),
  latency: measurementSchema.nullable(),
  latencyP95: measurementSchema.nullable(),
  /** Time over the baseline's, interleaved; below 1 is faster. */
  latencyRatio: measurementSchema.nullable(),
  latencyVerdict: z.enum(["faster", "slower", "not distinguishable"]).nullable(),
  outcome: z.enum(["baseline", "chosen", "pareto", "rejected", "failed"]),
  /** One sentence: why this outcome. */
  reason: z.string(),
  notes: z.array(noteSchema),
});
export type Candidate = z.infer<typeof candidateSchema>;

/** How much one node's quantization alone moves the outputs. */
export const sensitivitySchema = z.object({
  node: z.string(),
  opType: z.string(),
  /** Signal to quantization noise of the model outputs when only this node is quantized, dB; lower is worse. */
  sqnr: z.number(),
  /** Distance of the outputs when only this node is quantized: KL in nats for class scores, else squared error over squared signal. */
  divergence: z.number(),
  /** Of the sum over all nodes, 0 … 1. */
  share: z.number(),
  /** Divergence with only its weights rounded, and what is left for its activations; null where not told apart. */
  weightsOnly: z.number().nullable(),
  activationsOnly: z.number().nullable(),
  samples: z.number(),
});
export type Sensitivity = z.infer<typeof sensitivitySchema>;

/** How the integer candidates were found: every way of quantizing that took part, compared on calibration inputs. */
export const quantizationSchema = z.object({
  recipe: z.string(),
  /** What divergences are: "KL (nats)" or "relative error". */
  measure: z.string(),
  divergence: z.number(),
  trials: z.array(
    z.object({
      name: z.string(),
      divergence: z.number().nullable(),
      samples: z.number(),
      seconds: z.number(),
      kept: z.boolean(),
    }),
  ),
  /** How often each estimator was chosen, for activations and weights. */
  estimators: z.record(z.string(), z.number()),
  /**
   * Layers whose sums would do harm by saturating on x86-64 without VNNI, and what they got against it: coarser weight scales, or the same
   * weights as uint8. null where the target has no such machines.
   */
  saturating: z
    .array(z.object({ node: z.string(), share: z.number(), noise: z.number(), remedy: z.enum(["scales", "uint8"]) }))
    .nullable(),
});
export type QuantizationSearch = z.infer<typeof quantizationSchema>;

export const layerSchema = z.object({
  node: z.string(),
  opType: z.string(),
  output: z.string(),
  macs: z.number(),
  parameters: z.number(),
  baselineMs: z.number().nullable(),
});

export const manifestSchema = z.object({
  schema: z.literal("edgewright/manifest@1"),
  tool: z.object({ name: z.string(), version: z.string() }),
  createdAt: z.string(),
  /** Digest of everything that decides the results; --resume goes on only where it is equal. */
  runKey: z.string(),
  status: z.enum(["running", "interrupted", "done"]),
  /** The command line that repeats the run. */
  command: z.string(),
  model: z.object({
    path: z.string(),
    bytes: z.number(),
    digest: z.string(),
    opset: z.number(),
    nodes: z.number(),
    parameters: z.number(),
    macs: z.number().nullable(),
    peakActivationBytes: z.number().nullable(),
    inputs: z.array(z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.union([z.number(), z.string()])) })),
    outputs: z.array(z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.union([z.number(), z.string()])) })),
  }),
  target: z.object({
    name: z.string(),
    summary: z.string(),
    executor: z.string(),
    measuredHere: z.boolean(),
    threads: z.number(),
  }),
  data: z.object({
    path: z.string(),
    summary: z.string(),
    task: z.string(),
    metric: z.string(),
    metricUnit: z.string(),
    preprocess: z.unknown(),
    calibration: z.number(),
    selection: z.number(),
    final: z.number(),
    /** False when the data were too few to split, so that the final samples are not unseen. */
    heldOut: z.boolean(),
    seed: z.number(),
  }),
  budget: z.object({
    maxDrop: z.number().nullable(),
    maxSizeBytes: z.number().nullable(),
    maxLatencyMs: z.number().nullable(),
    timeBudgetMs: z.number().nullable(),
  }),
  device: z.string(),
  versions: z.record(z.string(), z.string()),
  candidates: z.array(candidateSchema),
  chosen: z.string().nullable(),
  pareto: z.array(z.string()),
  verdict: z.object({ budgetMet: z.boolean(), recommendation: z.string(), reasons: z.array(z.string()) }),
  /** On the final split, which no choice has seen. */
  final: z.object({ baseline: z.array(measurementSchema), chosen: z.array(measurementSchema) }).nullable(),
  memory: z.array(measurementSchema),
  energy: z.array(measurementSchema),
  quantization: quantizationSchema.nullable(),
  /** What became of every node of the chosen integer file, in one line, and the pairs that the runtime did not fuse. */
  coverage: z.object({ line: z.string(), unfused: z.array(z.string()) }).nullable(),
  /** The chosen integer file's accuracy on this machine and as simulated on x86-64 without VNNI; null where that is no question. */
  withoutVnni: z.object({ metric: z.string(), with: z.number(), without: z.number(), samples: z.number() }).nullable(),
  sensitivity: z.array(sensitivitySchema),
  layers: z.array(layerSchema),
  warnings: z.array(z.string()),
  files: z.array(fileSchema),
  wallSeconds: z.number(),
});
export type Manifest = z.infer<typeof manifestSchema>;
