import { usualHalf } from "../../passes/float16/row.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { ortWeightOnly } from "../../passes/quantize/weight-only/row.ts";
import { defineTarget } from "../define.ts";
import { ortHalf } from "./half-ops.ts";
import { ortDynamicOps, ortGuard, ortIntegerOps } from "./integer-ops.ts";

/** The youngest operator set that onnxruntime 1.30 loads. */
export const ortOpset = 26;

/** A row of onnxruntime's CPU provider. */
export const cpuRow = (
  fields: Pick<QuantizationRow, "name" | "summary" | "source"> & Partial<QuantizationRow>,
): QuantizationRow => ({
  activation: { dtype: "uint8", symmetric: false },
  weight: { dtype: "int8", perChannel: true, reduceRange: false },
  fixedScales: false,
  ops: ortIntegerOps,
  dynamic: ortDynamicOps,
  guard: ortGuard,
  weightOnly: ortWeightOnly,
  half: ortHalf,
  maxOpset: ortOpset,
  ...fields,
});

const vnni = (sets: readonly string[]): boolean => sets.some((set) => /vnni/i.test(set));

export const ortX64 = defineTarget({
  name: "ort-x64",
  aliases: ["ort-x64-vnni", "x64", "server", "edge-server"],
  summary: "onnxruntime on x86-64 with AVX-512 VNNI or AVX-VNNI",
  executor: "ort-node",
  quantization: cpuRow({
    name: "ort-x64",
    summary: "uint8 activations, int8 weights per channel: the pair VNNI multiplies without loss",
    weight: { dtype: "int8", wideDtype: "uint8", perChannel: true, reduceRange: false },
    source: "onnxruntime documentation, model-optimizations/quantization; kernels asked of onnxruntime 1.30",
  }),
  saturates: "some",
  measuredBy: ({ arch, instructionSets }) => arch === "x64" && vnni(instructionSets),
});

export const ortX64NoVnni = defineTarget({
  name: "ort-x64-novnni",
  aliases: ["x64-avx2", "desktop"],
  summary: "onnxruntime on x86-64 without VNNI (AVX2)",
  executor: "ort-node",
  quantization: cpuRow({
    name: "ort-x64-novnni",
    summary: "uint8 activations, 7-bit weights: VPMADDUBSW adds two products in 16 bits and would saturate with 8",
    weight: { dtype: "int8", wideDtype: "uint8", perChannel: true, reduceRange: true },
    source: 'onnxruntime documentation, model-optimizations/quantization, "reduce_range"',
  }),
  saturates: "all",
  measuredBy: ({ arch, instructionSets }) => arch === "x64" && !vnni(instructionSets),
});

export const ortArm64 = defineTarget({
  name: "ort-arm64",
  aliases: ["android-arm64", "raspberry-pi", "arm64", "ios"],
  summary: "onnxruntime on 64-bit Arm (phones, Raspberry Pi 3 and later, Apple silicon)",
  executor: "ort-node",
  quantization: cpuRow({
    name: "ort-arm64",
    summary: "int8 activations and weights: the pair that SDOT and SMMLA multiply",
    activation: { dtype: "int8", symmetric: false },
    source: "onnxruntime documentation, model-optimizations/quantization: S8S8 on ARM64",
  }),
  measuredBy: ({ arch }) => arch === "arm64",
});

export const ortWebWasm = defineTarget({
  name: "ort-web-wasm",
  aliases: ["ort-web", "web", "browser", "wasm"],
  summary: "onnxruntime-web, WebAssembly with SIMD, in browsers and Node",
  executor: "ort-web",
  quantization: cpuRow({
    name: "ort-web-wasm",
    summary: "uint8 activations, int8 weights; portable standard ops only",
    source: "onnxruntime documentation and measurements on onnxruntime-web 1.30 (WebAssembly)",
  }),
  measuredBy: () => true,
});

export const ortWebWebgpu = defineTarget({
  name: "ort-web-webgpu",
  aliases: ["web-gpu", "webgpu"],
  summary: "onnxruntime-web on a browser's GPU through WebGPU",
  executor: "ort-web",
  quantization: cpuRow({
    name: "ort-web-webgpu",
    summary: "float16 throughout: no integer kernels, and quantize nodes only cost time there",
    quantizable: false,
    floatScheme: "fp16",
    ops: {},
    dynamic: {},
    half: usualHalf,
    source:
      "onnxruntime-web documentation, tutorials/web/ep-webgpu; microsoft/onnxruntime#21535 (INT8 no faster), #32578 (wrong numbers in the default entry)",
  }),
  measuredBy: () => false,
});
