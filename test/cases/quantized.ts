import { constant, fed, opCases, random, scalar, weight } from "./define.ts";

const u8 = { dtype: "uint8", high: 255 } as const;
const s8 = { dtype: "int8", low: -127, high: 127 } as const;
const scale = scalar("float32", 0.05);
const zero = scalar("uint8", 128);
const scales = (n: number) => weight([n], { low: 0.01, high: 0.1 });
const zeros = (n: number) => constant("int8", [n], new Array<number>(n).fill(0));

export const quantized = [
  opCases("QuantizeLinear", [
    { name: "uint8", inputs: [random([2, 3, 4]), scale, zero] },
    { name: "no zero point", inputs: [random([2, 3, 4]), scale] },
    { name: "int8 per channel", inputs: [random([2, 3, 4]), scales(3), zeros(3)], attributes: { axis: 1 } },
    { name: "int16 by attribute", inputs: [random([2, 3, 4]), scale], attributes: { output_dtype: 5 } },
    {
      name: "blocked",
      inputs: [random([2, 6]), weight([2, 3], { low: 0.01, high: 0.1 })],
      attributes: { axis: 1, block_size: 2 },
    },
  ]),
  opCases("DequantizeLinear", [
    { name: "uint8", inputs: [random([2, 3, 4], u8), scale, zero] },
    { name: "int8 per channel", inputs: [weight([4, 3, 3], s8), scales(4), zeros(4)], attributes: { axis: 0 } },
    { name: "int32 bias", inputs: [weight([4], { dtype: "int32", low: -1000, high: 1000 }), scales(4)], attributes: { axis: 0 } },
    {
      name: "blocked",
      inputs: [weight([2, 6], s8), weight([2, 3], { low: 0.01, high: 0.1 })],
      attributes: { axis: 1, block_size: 2 },
    },
    { name: "int4", inputs: [weight([2, 6], { dtype: "int4" }), scale], uncut: "elements of four bits are not cut here" },
  ]),
  opCases("DynamicQuantizeLinear", [{ name: "plain", inputs: [random([2, 3, 4])], outputs: 3 }]),
  opCases("QLinearConv", [
    {
      name: "per channel with bias",
      inputs: [
        random([1, 4, 6, 6], u8),
        scale,
        zero,
        weight([5, 4, 3, 3], s8),
        scales(5),
        zeros(5),
        scalar("float32", 0.5),
        scalar("uint8", 100),
        weight([5], { dtype: "int32", low: -1000, high: 1000 }),
      ],
      attributes: { pads: [1, 1, 1, 1], strides: [2, 2] },
      uncut: "a removed input channel leaves its zero point behind, not zero",
    },
    {
      name: "depthwise int8",
      inputs: [
        random([1, 4, 6, 6], s8),
        scale,
        scalar("int8", 3),
        weight([4, 1, 3, 3], s8),
        scalar("float32", 0.02),
        scalar("int8", 0),
        scalar("float32", 0.5),
        scalar("int8", -4),
      ],
      attributes: { group: 4 },
    },
  ]),
  opCases("ConvInteger", [
    { name: "plain", inputs: [random([1, 4, 6, 6], u8), weight([5, 4, 3, 3], u8)] },
    {
      name: "zero points and padding",
      inputs: [random([1, 4, 6, 6], u8), weight([5, 4, 3, 3], u8), scalar("uint8", 12), scalar("uint8", 130)],
      attributes: { pads: [1, 1, 1, 1] },
      uncut: "a removed input channel leaves its zero point behind, not zero",
    },
  ]),
  opCases("QLinearMatMul", [
    {
      name: "batched",
      inputs: [
        random([2, 4, 5], u8),
        scale,
        zero,
        weight([5, 3], s8),
        scalar("float32", 0.02),
        scalar("int8", 0),
        scalar("float32", 0.5),
        scalar("uint8", 100),
      ],
      uncut: "a removed column of a leaves its zero point behind, not zero",
    },
  ]),
  opCases("MatMulInteger", [
    { name: "plain", inputs: [random([2, 4, 5], u8), weight([5, 3], s8)] },
    {
      name: "zero points per column",
      inputs: [random([4, 5], u8), weight([5, 3], s8), scalar("uint8", 7), constant("int8", [3], [1, -2, 3])],
      uncut: "a removed column of A leaves its zero point behind, not zero",
    },
    { name: "both fed", inputs: [fed("uint8", [2, 2], [1, 2, 3, 4]), random([2, 3], u8)] },
  ]),
];
