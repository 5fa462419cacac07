import type { IntegerOp } from "../../passes/quantize/row.ts";

const follow: IntegerOp = { role: "follow" };
const move: IntegerOp = { role: "move" };

/**
 * What onnxruntime 1.30's CPU provider turns from DequantizeLinear → op → QuantizeLinear into one integer kernel. Each line is proved by
 * `integer-ops.test.ts`, which asks the installed onnxruntime. Absent on purpose, because the runtime keeps them in float: ConvTranspose,
 * Sub, Div, Min, Max, Pow, Relu and Clip on their own, Tanh, HardSigmoid, HardSwish, Elu, Gelu, PRelu, ReduceMean, ReduceSum, Pad,
 * SpaceToDepth, Resize other than nearest, the normalizations.
 */
export const ortIntegerOps: Readonly<Record<string, IntegerOp>> = {
  Conv: { role: "anchor", ranks: [3, 4, 5] },
  MatMul: { role: "anchor", floatOutput: true },
  Gemm: { role: "anchor", floatOutput: true },
  Add: follow,
  Mul: follow,
  LeakyRelu: follow,
  Sigmoid: follow,
  Softmax: follow,
  AveragePool: follow,
  GlobalAveragePool: follow,
  Where: follow,
  // QLinearConcat could rescale each input, but copies where scales agree: measured, equal scales are worth more than finer ones
  Concat: follow,
  MaxPool: { role: "move", ranks: [3, 4, 5] },
  ReduceMax: move,
  ReduceMin: move,
  Split: move,
  Reshape: move,
  Flatten: move,
  Transpose: move,
  Squeeze: move,
  Unsqueeze: move,
  Slice: move,
  Tile: move,
  Expand: move,
  DepthToSpace: move,
};

/** Constant matrices that dynamic quantization may store as integers. */
export const ortDynamicOps = { MatMul: "matmul", Gemm: "gemm", Conv: "conv" } as const;

/**
 * onnxruntime 1.30 rounds the float weights of these ops to int8, one scale for all channels, when they stand between
 * DequantizeLinear and QuantizeLinear. LeakyRelu with a slope of 1 is the identity, is fused into the op, and is no part of the pattern.
 */
export const ortGuard = {
  ops: { Conv: true, ConvTranspose: true, Gemm: true },
  opType: "LeakyRelu",
  attributes: { alpha: { type: "float", value: 1 } },
} as const;
