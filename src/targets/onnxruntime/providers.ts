import type { IntegerOp, QuantizationRow } from "../../passes/quantize/row.ts";
import { defineTarget } from "../define.ts";
import { each, follow, move } from "../roles.ts";
import { ortIntegerOps } from "./integer-ops.ts";
import { cpuRow, ortOpset } from "./targets.ts";

/** Runs on a device's accelerator: onnxruntime's CPU provider stands in when the file is executed here. */
const elsewhere = { executor: "ort-node", measuredBy: () => false } as const;

export const xnnpack = defineTarget({
  name: "xnnpack",
  aliases: ["ort-xnnpack"],
  summary: "onnxruntime with the XNNPACK provider on phones and in WebAssembly",
  ...elsewhere,
  quantization: cpuRow({
    name: "xnnpack",
    summary: "int8 activations and weights: the only pair that XNNPACK takes with a scale per channel",
    activation: { dtype: "int8", symmetric: false },
    weight: { dtype: "int8", perChannel: true, reduceRange: false },
    // what XNNPACK leaves (Gemm, Concat, 1-D convolutions) the CPU provider runs in integers
    ops: { ...ortIntegerOps, ConvTranspose: { role: "anchor", ranks: [4], perChannel: false } },
    source: "onnxruntime documentation, execution-providers/Xnnpack-ExecutionProvider, supported ops; CPU provider for the rest",
  }),
});

/** The QDQ groups that the provider takes; everything else would cut its partition. */
const nnapiOps: Readonly<Record<string, IntegerOp>> = {
  Conv: { role: "anchor", ranks: [4] },
  // one scale only: per-channel weights are a type of NNAPI's convolutions
  MatMul: { role: "anchor", ranks: [2], perChannel: false },
  Gemm: { role: "anchor", perChannel: false },
  ...each(follow, "Add", "Mul", "Concat"),
  AveragePool: { role: "follow", ranks: [4], sameScale: true },
  Softmax: { role: "follow", fixedOutput: { scale: 1 / 256, zeroPoint: 0 } },
  Resize: { role: "move", ranks: [4] },
  ...each(move, "Transpose", "Reshape"),
};

export const nnapi = defineTarget({
  name: "nnapi",
  aliases: ["android-nnapi"],
  summary: "onnxruntime with the NNAPI provider on Android (deprecated since Android 15)",
  ...elsewhere,
  quantization: {
    name: "nnapi",
    summary: "uint8 activations (int8 ones are refused), int8 weights, per channel in convolutions; static shapes",
    activation: { dtype: "uint8", symmetric: false },
    weight: { dtype: "int8", perChannel: true, reduceRange: false },
    fixedScales: false,
    ops: nnapiOps,
    staticShapes: true,
    maxRank: 4,
    maxOpset: ortOpset,
    dynamic: {},
    source:
      "onnxruntime documentation, execution-providers/NNAPI-ExecutionProvider; its nnapi_builtin/builders (QDQ groups, types); Android NeuralNetworks.h (scales of AVERAGE_POOL_2D and SOFTMAX)",
  },
});

const qnnOps: Readonly<Record<string, IntegerOp>> = {
  Conv: { role: "anchor", ranks: [3, 4, 5] },
  ConvTranspose: { role: "anchor", ranks: [4, 5] },
  Gemm: { role: "anchor", perChannel: false },
  // (uint8, uint8) is the only pair of 8-bit types
  MatMul: { role: "anchor", perChannel: false, weightDtype: "uint8" },
  ...each(follow, "Add", "Sub", "Mul", "Div", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Concat"),
  ...each(follow, "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "HardSwish", "Gelu", "Sigmoid", "Tanh", "Softmax", "LogSoftmax"),
  ...each(move, "MaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
  ...each(move, "Slice", "Split", "Tile", "Expand", "DepthToSpace", "SpaceToDepth", "Gather", "Pad", "Resize"),
};

export const qnn = defineTarget({
  name: "qnn",
  aliases: ["htp", "hexagon", "snapdragon"],
  summary: "onnxruntime with the QNN provider on Qualcomm's HTP (Snapdragon NPU)",
  ...elsewhere,
  quantization: {
    name: "qnn",
    summary: "uint8 activations, int8 weights, per channel in convolutions, uint8 in MatMul; all integer, static shapes",
    activation: { dtype: "uint8", symmetric: false },
    weight: { dtype: "int8", perChannel: true, reduceRange: false },
    fixedScales: false,
    ops: qnnOps,
    // a float node would leave the NPU
    floatOps: {},
    staticShapes: true,
    maxRank: 5,
    maxOpset: ortOpset,
    dynamic: {},
    source:
      "onnxruntime documentation, execution-providers/QNN-ExecutionProvider (model requirements, supported operators); its quantization/execution_providers/qnn",
  },
});

const coremlRow: QuantizationRow = {
  name: "coreml-ep",
  summary: "float16 throughout: the provider has neither QuantizeLinear nor DequantizeLinear, each one would cut the graph",
  quantizable: false,
  floatScheme: "fp16",
  activation: { dtype: "int8", symmetric: true },
  weight: { dtype: "int8", perChannel: true, reduceRange: false },
  fixedScales: false,
  ops: {},
  maxRank: 5,
  maxOpset: ortOpset,
  dynamic: {},
  source:
    "onnxruntime documentation, execution-providers/CoreML-ExecutionProvider; tools/ci_build/github/apple/coreml_supported_mlprogram_ops.md",
};

export const coremlEp = defineTarget({
  name: "coreml-ep",
  aliases: ["ort-coreml"],
  summary: "onnxruntime with the Core ML provider on iPhones, iPads and Macs",
  ...elsewhere,
  quantization: coremlRow,
});
