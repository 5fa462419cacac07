import type { IntegerOp } from "../../passes/quantize/row.ts";
import { defineTarget } from "../define.ts";
import { each, follow, move } from "../roles.ts";

/** A kernel ends in float wherever nothing quantizes its result: dequantization travels on through the graph. */
const open: IntegerOp = { role: "anchor", floatOutput: true };

const ops: Readonly<Record<string, IntegerOp>> = {
  ...each(open, "Conv", "ConvTranspose", "MatMul", "Gemm"),
  ...each(follow, "Add", "Sub", "Mul", "Div", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "LpNormalization"),
  ...each({ role: "follow", freeScales: true }, "Max", "Min"),
  // all inputs of a concatenation share one scale
  Concat: follow,
  ...each(
    move,
    "MaxPool",
    "GlobalMaxPool",
    "ReduceMax",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Split",
    "Slice",
    "Tile",
  ),
  ...each(move, "Expand", "Pad", "Resize"),
};

export const openvino = defineTarget({
  name: "openvino",
  aliases: ["intel", "ov"],
  summary: "OpenVINO on Intel CPUs and GPUs, and Arm CPUs",
  executor: "ort-node",
  measuredBy: () => false,
  quantization: {
    name: "openvino",
    summary: "uint8 activations, symmetric int8 weights per channel without -128, float biases",
    activation: { dtype: "uint8", symmetric: false },
    weight: { dtype: "int8", perChannel: true, reduceRange: false, narrowRange: true },
    bias: "float32",
    fixedScales: false,
    ops,
    dynamic: {},
    source: "OpenVINO documentation, low precision transformations; NNCF, common/hardware/setups/cpu.py and qspaces.py",
  },
});
