import type { IntegerOp } from "../../passes/quantize/row.ts";
import { defineTarget } from "../define.ts";
import { each, follow, move } from "../roles.ts";

/** TensorRT fuses what follows (bias, activation) in float, so a layer without a quantize node behind it simply ends in float. */
const layer: IntegerOp = { role: "anchor", floatOutput: true };

const ops: Readonly<Record<string, IntegerOp>> = {
  Conv: { ...layer, ranks: [4, 5] },
  ConvTranspose: { ...layer, ranks: [4, 5] },
  MatMul: layer,
  Gemm: layer,
  ...each(follow, "Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat"),
  MaxPool: { role: "move", ranks: [4, 5] },
  ...each(move, "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice"),
};

export const tensorrt = defineTarget({
  name: "tensorrt",
  aliases: ["trt", "jetson"],
  summary: "TensorRT on NVIDIA GPUs and Jetson, explicit quantization",
  executor: "ort-node",
  measuredBy: () => false,
  quantization: {
    name: "tensorrt",
    summary: "int8 activations with zero point 0, symmetric int8 weights per channel, float biases",
    activation: { dtype: "int8", symmetric: true },
    weight: { dtype: "int8", perChannel: true, reduceRange: false, narrowRange: true },
    bias: "float32",
    fixedScales: false,
    ops,
    maxOpset: 25,
    dynamic: {},
    source:
      "TensorRT documentation, quantized types and explicit quantization, ONNX opset guide (11.x); NVIDIA Model Optimizer, onnx/quantization (op types, QuantizeBias false)",
  },
});
