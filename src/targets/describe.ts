import { z } from "zod";
import type { IntegerOp, QuantizationRow } from "../passes/quantize/row.ts";
import type { TargetDef } from "./define.ts";

const integerOpSchema = z.object({
  role: z.enum(["anchor", "follow", "move"]),
  floatOutput: z.boolean().optional(),
  perChannel: z.boolean().optional(),
  weightDtype: z.enum(["int8", "uint8"]).optional(),
  sameScale: z.boolean().optional(),
  freeScales: z.boolean().optional(),
  fixedOutput: z.object({ scale: z.number().positive(), zeroPoint: z.int() }).optional(),
  ranks: z.array(z.int()).optional(),
});

const gridSchema = {
  dtype: z.enum(["uint8", "int8"]),
  powerOfTwo: z.boolean().optional(),
  bits: z.int().min(2).max(8).optional(),
};

/** A quantization row as data; fields that later versions add pass through. */
export const quantizationRowSchema = z.looseObject({
  name: z.string(),
  summary: z.string(),
  quantizable: z.boolean().optional(),
  floatScheme: z.enum(["fp16", "int8-weights"]).optional(),
  activation: z.object({ ...gridSchema, symmetric: z.boolean() }),
  weight: z.object({
    ...gridSchema,
    wideDtype: z.literal("uint8").optional(),
    perChannel: z.boolean(),
    reduceRange: z.boolean(),
    symmetric: z.boolean().optional(),
    narrowRange: z.boolean().optional(),
  }),
  bias: z.enum(["int32", "float32"]).optional(),
  fixedScales: z.boolean(),
  ops: z.record(z.string(), integerOpSchema),
  floatOps: z.record(z.string(), z.literal(true)).optional(),
  staticShapes: z.boolean().optional(),
  maxRank: z.int().positive().optional(),
  innermostAxes: z.int().positive().optional(),
  maxOpset: z.int().positive().optional(),
  dynamic: z.record(z.string(), z.enum(["matmul", "gemm", "conv"])),
  source: z.string(),
});

export const targetSchema = z.object({
  name: z.string(),
  aliases: z.array(z.string()),
  summary: z.string(),
  scheme: z.string().describe("How tensors are stored, in short"),
  executor: z.enum(["ort-node", "ort-web"]).describe("The runtime that executes the target's files here"),
  measuredHere: z.boolean().describe("Whether latency measured on this machine speaks for the target"),
  quantization: quantizationRowSchema,
});
export type TargetDescription = z.infer<typeof targetSchema>;

export const targetListSchema = z.object({ targets: z.array(targetSchema) });

/** Activations × weights: "uint8 × int8 per channel", or what stands in for integers. */
export function schemeOf({ quantizable, floatScheme, activation, weight }: QuantizationRow): string {
  if (quantizable === false) return floatScheme === "int8-weights" ? "float × int8 weights" : "float16";
  const activations = `${activation.dtype}${activation.symmetric ? " symmetric" : ""}${activation.powerOfTwo ? " 2^n" : ""}`;
  const bits = weight.reduceRange ? 7 : (weight.bits ?? 8);
  const weights = `${bits === 8 ? weight.dtype : `${bits}-bit ${weight.dtype}`}${weight.powerOfTwo ? " 2^n" : ""}`;
  return `${activations} × ${weights} per ${weight.perChannel ? "channel" : "tensor"}`;
}

/** What an op's entry says beside its role, in words. */
export function remarksOf(op: IntegerOp): string {
  return [
    op.ranks && `rank ${op.ranks.join(", ")}`,
    op.weightDtype && `${op.weightDtype} weights`,
    op.perChannel === false && "one weight scale",
    op.sameScale && "input and output share a scale",
    op.freeScales && "inputs have scales of their own",
    op.fixedOutput && `output scale 1/${Math.round(1 / op.fixedOutput.scale)}, zero point ${op.fixedOutput.zeroPoint}`,
    op.floatOutput && "may end in float",
  ]
    .filter(Boolean)
    .join("; ");
}

/** A target as data. */
export const describeTarget = (
  target: TargetDef,
  machine: { readonly arch: string; readonly instructionSets: readonly string[] },
): TargetDescription =>
  targetSchema.parse({
    ...target,
    scheme: schemeOf(target.quantization),
    measuredHere: target.measuredBy(machine),
  });
