import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, resolve } from "node:path";
import { z } from "zod";
import { augmentSchema } from "../../data/train/index.ts";
import { expandVariables } from "../../measure/evaluate-config.ts";
import { featureMatchSchema } from "../../train/feature-matching.ts";
import { lossSchema } from "../../train/losses.ts";
import { optimizerSchema } from "../../train/optimizers.ts";
import { scheduleSchema } from "../../train/schedules.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { quantizeSchema } from "./quantize-config.ts";

const patterns = z.array(z.string().min(1)).describe('Names of initializers; "*" stands for any characters');
const positive = z.int().positive();

export const teacherSchema = z.strictObject({
  model: z.string().describe("ONNX file whose answers the student learns"),
  output: z.string().optional().describe("Its output with class scores; default: the first (a softmax is undone)"),
  temperature: z.number().positive().default(4).describe("Softens both distributions"),
  weight: z.number().nonnegative().default(0.9).describe("Share of the teacher's answers in the loss; the labels have the rest"),
  features: z.array(featureMatchSchema).default([]).describe("Pairs of values to bring together by a learned projection"),
  cache: z
    .string()
    .optional()
    .describe("File for the teacher's logits of every sample: asked once, for data without augmentation"),
  threads: positive.max(256).default(1),
});
export type TeacherConfig = z.infer<typeof teacherSchema>;

/** What `edgewright train` reads. Paths are relative to the file. */
export const trainConfigSchema = z.strictObject({
  model: z
    .union([z.string(), z.looseObject({ architecture: z.string(), seed: z.int().optional() })])
    .describe("ONNX file to go on from, or an architecture of the zoo with its options"),
  data: z.string().describe("Training data: folder or file"),
  kind: z.string().optional().describe("Kind of data, where the path does not tell"),
  validation: z
    .union([z.string(), z.number().min(0).max(0.9)])
    .default(0.1)
    .describe("Validation data, or the share of the training data (by content) that is kept for it"),
  limit: positive.optional().describe("At most this many training samples"),
  validationLimit: positive.optional().describe("At most this many validation samples"),
  preprocess: z
    .unknown()
    .optional()
    .describe("Preset's name or a preprocessing object; default: unit for images, else by the data"),
  losses: z.array(lossSchema).default([]).describe("Weighted sum; default: what the labels ask for"),
  optimizer: optimizerSchema.prefault({ name: "sgd", momentum: 0.9 }),
  schedule: scheduleSchema.prefault({ name: "cosine" }),
  epochs: positive.max(100_000).default(3),
  batch: positive.max(65_536).default(64),
  accumulate: positive.max(4096).default(1).describe("Batches to one optimizer step"),
  augment: augmentSchema.optional(),
  batchNormalization: z.enum(["train", "frozen", "fold"]).default("train"),
  trainable: patterns.optional(),
  frozen: patterns.optional(),
  noDecay: patterns.optional(),
  clipNorm: z.number().positive().optional().describe("Largest Euclidean norm of the gradient"),
  average: z.number().min(0).max(1).optional().describe("Keep a moving average of the weights with this decay, and use it"),
  earlyStopping: z
    .strictObject({ patience: positive })
    .optional()
    .describe("Stop after this many epochs without a better validation"),
  quantize: quantizeSchema.optional().describe("Quantization-aware training: the result is an integer model"),
  teacher: teacherSchema.optional().describe("Distillation: learn from another model too"),
  seed: z.int().default(0),
  threads: positive.max(256).default(1),
  runtime: z.enum(["ort-node", "ort-web"]).default("ort-node"),
  tune: z.boolean().default(true).describe("Measure which formulation of each convolution gradient is fastest here"),
  checkpointSteps: positive.default(200).describe("Steps between checkpoints; one is written after every epoch too"),
  output: z.string().optional().describe("Folder for model, checkpoint, logs and report"),
});
export type TrainConfig = z.output<typeof trainConfigSchema>;
export type TrainConfigInput = z.input<typeof trainConfigSchema>;

const at = (folder: string, path: string): string => {
  const expanded = expandVariables(path);
  return isAbsolute(expanded) ? expanded : resolve(folder, expanded);
};

/** Checks a configuration and makes its paths absolute. Throws TRAIN_CONFIG naming the setting. */
export function parseTrainConfig(value: unknown, folder: string, subject = "the configuration"): TrainConfig {
  const parsed = trainConfigSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".");
    throw new EdgewrightError("TRAIN_CONFIG", `${subject}: ${where ? `"${where}": ` : ""}${issue?.message}.`, {
      subject,
      hint: "docs/training.md lists every setting.",
    });
  }
  const config = parsed.data;
  const { teacher } = config;
  return {
    ...config,
    data: at(folder, config.data),
    model: typeof config.model === "string" ? at(folder, config.model) : config.model,
    validation: typeof config.validation === "string" ? at(folder, config.validation) : config.validation,
    ...(config.output === undefined ? {} : { output: at(folder, config.output) }),
    ...(teacher
      ? {
          teacher: {
            ...teacher,
            model: at(folder, teacher.model),
            ...(teacher.cache ? { cache: at(folder, teacher.cache) } : {}),
          },
        }
      : {}),
  };
}

/** Reads a configuration file (JSON) as it stands. */
export async function readTrainConfig(
  path: string,
): Promise<{ readonly value: Record<string, unknown>; readonly folder: string }> {
  const text = await readFile(path, "utf8");
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return { value: value as Record<string, unknown>, folder: dirname(resolve(path)) };
  } catch (cause) {
    throw new EdgewrightError("TRAIN_CONFIG", `"${path}" is no valid JSON: ${(cause as Error).message}.`, {
      subject: path,
      cause,
    });
  }
  throw new EdgewrightError("TRAIN_CONFIG", `"${path}" holds no JSON object.`, { subject: path });
}
