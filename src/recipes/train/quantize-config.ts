import { z } from "zod";

/** Quantization-aware training: what the integer model is to look like, and how scales are found. */
export const quantizeSchema = z.strictObject({
  target: z.string().default("ort-x64").describe("Row of the target table that decides signedness and granularity"),
  weightBits: z
    .int()
    .min(2)
    .max(8)
    .default(8)
    .describe("Bits of weights; below 8 they stay in 8-bit containers on a coarser grid"),
  weightScale: z
    .enum(["max", "learned"])
    .default("max")
    .describe("Scale from the largest magnitude of each channel at every step, or learned with the weights (LSQ)"),
  activationRange: z
    .enum(["observed", "learned"])
    .default("observed")
    .describe("Ranges by moving averages of what is seen, or learned with the weights"),
  calibrationSamples: z.int().positive().default(256).describe("Training samples that ranges begin from"),
  freezeAfter: z.number().min(0).max(1).default(0.5).describe("Share of the run after which observed ranges stay"),
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float"),
});
export type QuantizeConfig = z.infer<typeof quantizeSchema>;
