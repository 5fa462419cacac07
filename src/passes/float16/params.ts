import { z } from "zod";
import type { Emitted, HalfPlan } from "./outcome.ts";
import type { HalfRow } from "./row.ts";
import { halfTypes } from "./types.ts";

const mapOf = <V>() => z.custom<ReadonlyMap<string, V>>((map) => map instanceof Map).default(() => new Map());

export const float16Params = z.object({
  dtype: z.enum(halfTypes).default("float16").describe("The 16-bit type"),
  /** Largest magnitude of each value seen during calibration, by value name; values not listed are trusted. */
  magnitudes: mapOf<number>(),
  /** Largest sum formed inside a node, by the name of its first output; nodes not listed are trusted. */
  sums: mapOf<number>(),
  limit: z.number().positive().optional().describe("Largest activation magnitude allowed; default: half of the type's maximum"),
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float32, weights included"),
  /** Nodes that compute in float32, and why; their weights may still be stored in 16 bits. */
  floatNodes: mapOf<string>(),
  weightsOnly: z.boolean().default(false).describe("Weights in 16 bits behind a Cast each, arithmetic in float32"),
  keepIo: z.boolean().default(true).describe("Inputs and outputs stay float32"),
  /** What the target computes in 16 bits itself; default: whatever ONNX allows, and nothing in bfloat16. */
  row: z.custom<HalfRow>((row) => typeof row === "object" && row !== null).optional(),
  target: z.string().optional().describe("How reasons name the target"),
  onPlan: z.custom<(plan: HalfPlan, emitted: Emitted) => void>((value) => typeof value === "function").optional(),
});
export type Float16Params = z.infer<typeof float16Params>;
