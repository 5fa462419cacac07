import { fed, type OpCase, type OpCases, opCases, random, scalar, weight } from "./define.ts";

const microsoft = (type: string, cases: readonly OpCase[]): OpCases =>
  opCases(type, cases, { domain: "com.microsoft", opset: 1 });
const x = random([2, 5, 8]);

export const fused = [
  microsoft("FusedConv", [
    { name: "Relu", inputs: [random([1, 4, 6, 6]), weight([5, 4, 3, 3]), weight([5])], attributes: { activation: "Relu" } },
    {
      name: "sum",
      inputs: [random([1, 4, 6, 6]), weight([5, 4, 3, 3]), weight([5]), random([1, 5, 3, 3])],
      attributes: { activation: "Relu", strides: [2, 2], pads: [1, 1, 1, 1] },
    },
  ]),
  microsoft("FusedGemm", [
    { name: "Relu", inputs: [random([4, 5]), weight([3, 5]), weight([3])], attributes: { transB: 1, activation: "Relu" } },
  ]),
  microsoft("FusedMatMul", [
    { name: "transB and alpha", inputs: [random([2, 4, 5]), random([2, 3, 5])], attributes: { transB: 1, alpha: 0.5 } },
    { name: "transA", inputs: [random([5, 4]), weight([5, 3])], attributes: { transA: 1 } },
    { name: "batch axes moved", inputs: [random([4, 2, 5]), random([2, 5, 3])], attributes: { transBatchA: 1 } },
  ]),
  microsoft("Gelu", [{ name: "3-D", inputs: [x] }]),
  microsoft("QuickGelu", [{ name: "3-D", inputs: [x] }]),
  microsoft("BiasGelu", [{ name: "3-D", inputs: [x, weight([8])] }]),
  microsoft("FastGelu", [
    { name: "bias", inputs: [x, weight([8])] },
    { name: "no bias", inputs: [x] },
  ]),
  microsoft("SkipLayerNormalization", [
    { name: "bias", inputs: [x, random([2, 5, 8]), weight([8]), weight([8]), weight([8])] },
    { name: "sum", inputs: [x, random([2, 5, 8]), weight([8])], outputs: [true, false, false, true] },
  ]),
  microsoft("SkipSimplifiedLayerNormalization", [
    { name: "sum", inputs: [x, random([2, 5, 8]), weight([8])], outputs: [true, false, false, true] },
  ]),
  opCases("SimplifiedLayerNormalization", [{ name: "last axis", inputs: [x, weight([8])] }]),
  microsoft("EmbedLayerNormalization", [
    {
      name: "segments and mask",
      inputs: [
        random([2, 5], { dtype: "int32", low: 0, high: 9 }),
        random([2, 5], { dtype: "int32", low: 0, high: 1 }),
        weight([10, 8]),
        weight([6, 8]),
        weight([2, 8]),
        weight([8]),
        weight([8]),
        fed("int32", [2, 5], [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]),
      ],
      outputs: 2,
    },
  ]),
  microsoft("MatMulNBits", [
    {
      name: "4 bits",
      inputs: [random([2, 3, 32]), weight([8, 2, 8], { dtype: "uint8", high: 255 }), weight([8, 2])],
      attributes: { K: 32, N: 8, bits: 4, block_size: 16 },
    },
  ]),
];

const u8 = { dtype: "uint8", high: 255 } as const;
const s8 = { dtype: "int8", low: -127, high: 127 } as const;
const scale = scalar("float32", 0.05);
const zero = scalar("uint8", 128);
const zeroPointStays = "a removed column of A leaves its zero point behind, not zero";

export const fusedQuantized = [
  microsoft("QLinearAdd", [
    { name: "same shapes", inputs: [random([2, 3, 4], u8), scale, zero, random([2, 3, 4], u8), scale, zero, scale, zero] },
    { name: "broadcast", inputs: [random([2, 3, 4], u8), scale, zero, weight([3, 1], u8), scale, zero, scale, zero] },
  ]),
  microsoft("QLinearMul", [
    { name: "broadcast", inputs: [random([2, 3, 4], u8), scale, zero, random([2, 3, 1], u8), scale, zero, scale, zero] },
  ]),
  microsoft("QLinearSigmoid", [{ name: "plain", inputs: [random([2, 3, 4], u8), scale, zero, scale, zero] }]),
  microsoft("QLinearLeakyRelu", [
    { name: "alpha", inputs: [random([2, 3, 4], u8), scale, zero, scale, zero], attributes: { alpha: 0.1 } },
  ]),
  microsoft("QLinearGlobalAveragePool", [
    { name: "channels second", inputs: [random([2, 3, 4, 5], u8), scale, zero, scale, zero] },
    { name: "channels last", inputs: [random([2, 4, 5, 3], u8), scale, zero, scale, zero], attributes: { channels_last: 1 } },
  ]),
  microsoft("QLinearAveragePool", [
    {
      name: "strided",
      inputs: [random([2, 3, 8, 8], u8), scale, zero, scale, zero],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
    {
      name: "channels last",
      inputs: [random([2, 8, 8, 3], u8), scale, zero, scale, zero],
      attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], channels_last: 1 },
    },
  ]),
  microsoft("QLinearReduceMean", [
    {
      name: "spatial axes",
      inputs: [random([2, 3, 4, 5], u8), scale, zero, scale, zero],
      attributes: { axes: [2, 3], keepdims: 1 },
      noKernel: "it has a schema for it and no kernel",
      expected: [["uint8", [2, 3, 1, 1]]],
    },
  ]),
  microsoft("QLinearSoftmax", [
    { name: "last axis", inputs: [random([2, 3, 4], u8), scale, zero, scale, zero], attributes: { opset: 13, axis: -1 } },
  ]),
  microsoft("QLinearConcat", [
    {
      name: "channels",
      inputs: [scale, zero, random([2, 3, 4], u8), scale, zero, random([2, 5, 4], u8), scale, zero],
      attributes: { axis: 1 },
    },
  ]),
  microsoft("QGemm", [
    {
      name: "quantized result",
      inputs: [
        random([4, 5], u8),
        scale,
        zero,
        weight([3, 5], s8),
        scale,
        scalar("int8", 0),
        weight([3], { dtype: "int32" }),
        scalar("float32", 0.5),
        zero,
      ],
      attributes: { transB: 1 },
      uncut: zeroPointStays,
    },
    {
      name: "float result",
      inputs: [random([4, 5], u8), scale, zero, weight([5, 3], s8), scale, scalar("int8", 0)],
      uncut: zeroPointStays,
    },
  ]),
  microsoft("DynamicQuantizeMatMul", [
    {
      name: "per column with bias",
      inputs: [random([4, 5]), weight([5, 3], s8), weight([3], { low: 0.01, high: 0.1 }), weight([3], s8), weight([3])],
      uncut: "removing a column of A changes its range, and with it every rounding",
    },
  ]),
  microsoft("MatMulIntegerToFloat", [
    { name: "plain", inputs: [random([4, 5], u8), weight([5, 3], s8), scale, scale] },
    {
      name: "zero points and bias",
      inputs: [random([4, 5], u8), weight([5, 3], s8), scale, scale, zero, scalar("int8", 0), weight([3])],
      uncut: zeroPointStays,
    },
  ]),
  microsoft("DynamicQuantizeLSTM", [
    {
      name: "plain",
      inputs: [
        random([6, 2, 3]),
        weight([1, 3, 16], s8),
        weight([1, 4, 16], s8),
        undefined,
        undefined,
        undefined,
        undefined,
        undefined,
        weight([1], { low: 0.01, high: 0.02 }),
        weight([1], { dtype: "int8", low: 0, high: 0 }),
        weight([1], { low: 0.01, high: 0.02 }),
        weight([1], { dtype: "int8", low: 0, high: 0 }),
      ],
      attributes: { hidden_size: 4 },
      outputs: 3,
    },
  ]),
  microsoft("QuantizeLinear", [{ name: "uint16", inputs: [random([2, 3, 4]), scale, scalar("uint16", 32768)] }]),
  microsoft("DequantizeLinear", [
    { name: "uint16", inputs: [random([2, 3, 4], { dtype: "uint16", high: 60000 }), scale, scalar("uint16", 32768)] },
  ]),
];
