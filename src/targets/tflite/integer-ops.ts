import type { FixedOutput, IntegerOp } from "../../passes/quantize/row.ts";
import { each, follow, move } from "../roles.ts";

const unit: FixedOutput = { scale: 1 / 256, zeroPoint: -128 };
const signedUnit: FixedOutput = { scale: 1 / 128, zeroPoint: 0 };
const fixed = (fixedOutput: FixedOutput): IntegerOp => ({ role: "follow", fixedOutput });

/**
 * The 8-bit specification in ONNX's names: Gemm and MatMul with constant weights are FULLY_CONNECTED (one scale), Sigmoid is LOGISTIC,
 * LpNormalization L2_NORMALIZATION, GlobalAveragePool and ReduceMean MEAN, GlobalMaxPool REDUCE_MAX. Convolutions of one dimension are stretched to two.
 */
export const tfliteIntegerOps: Readonly<Record<string, IntegerOp>> = {
  Conv: { role: "anchor", ranks: [3, 4] },
  ConvTranspose: { role: "anchor", ranks: [3, 4] },
  Gemm: { role: "anchor", perChannel: false },
  MatMul: { role: "anchor", perChannel: false },
  ...each(follow, "Add", "Sub", "Mul", "GlobalAveragePool", "ReduceMean", "ReduceSum"),
  ...each(follow, "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "HardSwish", "Gelu"),
  Softmax: fixed(unit),
  Sigmoid: fixed(unit),
  Tanh: fixed(signedUnit),
  LpNormalization: fixed(signedUnit),
  LogSoftmax: fixed({ scale: 16 / 256, zeroPoint: 127 }),
  AveragePool: { role: "follow", ranks: [3, 4], sameScale: true },
  Concat: follow,
  Where: { role: "follow", sameScale: true },
  MaxPool: { role: "move", ranks: [3, 4] },
  Resize: { role: "move", ranks: [4] },
  ...each(
    move,
    "Max",
    "Min",
    "GlobalMaxPool",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Slice",
  ),
  ...each(move, "Split", "Pad", "Gather", "Tile", "Expand", "DepthToSpace", "SpaceToDepth"),
};

/** A table without some of its ops. */
export const without = (
  table: Readonly<Record<string, IntegerOp>>,
  ...types: readonly string[]
): Readonly<Record<string, IntegerOp>> => Object.fromEntries(Object.entries(table).filter(([type]) => !types.includes(type)));
