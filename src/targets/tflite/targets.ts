import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { defineTarget } from "../define.ts";
import { tfliteIntegerOps, without } from "./integer-ops.ts";

const specification = "TensorFlow Lite 8-bit quantization specification (lite/performance/quantization_spec)";

const row = (fields: Pick<QuantizationRow, "name" | "summary" | "source"> & Partial<QuantizationRow>): QuantizationRow => ({
  activation: { dtype: "int8", symmetric: false },
  weight: { dtype: "int8", perChannel: true, reduceRange: false, narrowRange: true },
  bias: "int32",
  fixedScales: true,
  ops: tfliteIntegerOps,
  dynamic: {},
  ...fields,
});

const elsewhere = { executor: "ort-node", measuredBy: () => false } as const;

export const tflite = defineTarget({
  name: "tflite",
  aliases: ["litert"],
  summary: "TensorFlow Lite (LiteRT) on CPUs of phones and boards",
  ...elsewhere,
  quantization: row({
    name: "tflite",
    summary: "int8 activations, int8 weights in ±127 per channel (one scale in matrices), tied and fixed scales",
    source: `${specification}; trait SameOperandsAndResultsScale of the converter's op definitions`,
  }),
});

export const tflm = defineTarget({
  name: "tflm",
  aliases: ["tflite-micro", "cortex-m", "mcu"],
  summary: "TensorFlow Lite for Microcontrollers, CMSIS-NN kernels included",
  ...elsewhere,
  quantization: row({
    name: "tflm",
    summary: "as tflite, with static shapes and integers only: no float unit is taken for granted",
    ops: without(tfliteIntegerOps, "Gelu", "Tile"),
    floatOps: {},
    staticShapes: true,
    source: `${specification}; tflite-micro, kernels and micro_mutable_op_resolver.h`,
  }),
});

export const edgetpu = defineTarget({
  name: "edgetpu",
  aliases: ["coral", "edge-tpu"],
  summary: "Google Coral Edge TPU, through its compiler",
  ...elsewhere,
  quantization: row({
    name: "edgetpu",
    summary: "as tflite, integers only, static shapes, and no more than the three innermost axes longer than 1",
    ops: without(
      tfliteIntegerOps,
      ...["Gelu", "LeakyRelu", "Elu", "HardSwish", "LogSoftmax", "Where", "Gather", "Tile", "Expand", "DepthToSpace"],
    ),
    // the compiler leaves the first op that it lacks, and all after it, to the CPU
    floatOps: {},
    staticShapes: true,
    innermostAxes: 3,
    source: `${specification}; Coral documentation, edgetpu/models-intro (model requirements, supported operations)`,
  }),
});
