/** What an op is to weight-only quantization: a product with a constant matrix, a table that is read by index, … */
export type WeightKind = "product" | "table" | "convolution" | "transpose";

/** How a target stores weights in 4 or 8 bits that become floats only where they are used. Data, given by a target. */
export interface WeightOnlyRow {
  /**
   * "nbits": com.microsoft.MatMulNBits multiplies the blocks as they are stored. "dequantize": a standard DequantizeLinear with
   * block_size (operator set 21) before the product.
   */
  readonly products: "nbits" | "dequantize";
  /** "blocks": com.microsoft.GatherBlockQuantized. "dequantize": 8-bit rows are gathered, then dequantized by the standard op. */
  readonly tables: "blocks" | "dequantize";
  /** float16 halves what scales take; they are cast once, when the model is loaded. */
  readonly scales: "float32" | "float16";
  /** Value of MatMulNBits' attribute accuracy_level: 4 lets the kernel multiply in 8-bit integers. */
  readonly accuracyLevel: number;
  /** Types of standard ops, and what each is. */
  readonly ops: Readonly<Record<string, WeightKind>>;
  /** Where the facts come from. */
  readonly source: string;
}

const ops = { MatMul: "product", Gemm: "product", Gather: "table", Conv: "convolution", Transpose: "transpose" } as const;

/** For targets that say nothing: standard ops only. */
export const standardWeightOnly: WeightOnlyRow = {
  products: "dequantize",
  tables: "dequantize",
  scales: "float32",
  accuracyLevel: 0,
  ops,
  source: "ONNX operator set 21: DequantizeLinear with block_size; Gather takes no 4-bit types",
};

/** onnxruntime's CPU build, native and WebAssembly. */
export const ortWeightOnly: WeightOnlyRow = {
  products: "nbits",
  tables: "blocks",
  scales: "float16",
  accuracyLevel: 4,
  ops,
  source: "kernels asked of onnxruntime 1.30: blocks of 16 to 256, 4 and 8 bits, with and without zero points",
};
