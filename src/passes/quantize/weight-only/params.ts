import { z } from "zod";
import type { QuantizationRow } from "../row.ts";
import type { WeightBits } from "./blocks.ts";
import type { InputMoments } from "./moments.ts";
import { weightAlgorithms } from "./solve.ts";

/**
 * Moments of named values over the calibration samples, [columns] being their last extent. Supplied by whoever runs the pass, as
 * `Evaluate` is.
 */
export type MeasureMoments = (inputs: ReadonlyMap<string, number>) => Promise<ReadonlyMap<string, InputMoments>>;

/** What became of one matrix. */
export interface WeightReport {
  /** Name of the constant. */
  readonly name: string;
  /** Keys of the nodes that read it. */
  readonly nodes: readonly string[];
  /** A matrix that is also read as a table (tied) counts as a product. */
  readonly kind: "product" | "table" | "convolution";
  readonly shape: readonly number[];
  readonly algorithm: string;
  readonly bits: WeightBits;
  readonly block: number;
  /** Squared output error relative to the squared output on calibration rows; of the weights themselves where there were none. */
  readonly error: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

const bits = z.union([z.literal(4), z.literal(8)]);
const functionOf = <T>() => z.custom<T>((value) => typeof value === "function");

export const weightOnlyParams = z.object({
  row: z.custom<QuantizationRow>((row) => typeof row === "object" && row !== null),
  bits: bits.default(4).describe("Bits of a weight"),
  block: z
    .literal([16, 32, 64, 128, 256])
    .default(32)
    .describe("Weights that share a scale, along the inner dimension; less where rows would not fill blocks"),
  asymmetric: z.boolean().default(false).describe("A zero point for each block"),
  algorithm: z
    .enum(weightAlgorithms)
    .default("auto")
    .describe("How codes are found; auto takes the one with the least output error"),
  scales: z.enum(["float32", "float16"]).optional().describe("Type in which scales are stored; default: the target's"),
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float"),
  convolutions: z.boolean().default(false).describe("Convolutions too, dequantized before they run"),
  tables: z.boolean().default(true).describe("Tables that are read by index (embeddings) too"),
  // errors of embeddings meet no average over an inner dimension: at 4 bits they drown those of all products
  tableBits: bits.default(8).describe("Bits of tables, except those that a product reads too"),
  headBits: bits.optional().describe("Bits of matrices after which no other follows"),
  threshold: z
    .number()
    .positive()
    .default(0.04)
    .describe("Matrices whose squared output error at 4 bits exceeds this share of the squared output get 8 bits"),
  averageBits: z
    .number()
    .positive()
    .optional()
    .describe("Raise the worst matrices of products to 8 bits while their average, scales included, stays within this"),
  damping: z.number().positive().default(0.01).describe("GPTQ: part of the Hessian's mean diagonal that is added to it"),
  momentsLimit: z
    .number()
    .positive()
    .default(2 ** 29)
    .describe(
      "Bytes of input moments held at once; further inputs take further sweeps over the samples; a single input above this gets none",
    ),
  moments: functionOf<MeasureMoments>().optional(),
  onWeight: functionOf<(report: WeightReport) => void>().optional(),
});
export type WeightOnlyParams = z.infer<typeof weightOnlyParams>;
