import { fed, opCases, weight } from "./define.ts";

const rows = fed("int64", [2, 3], [0, 4, 2, 1, 3, 0]);

export const blockQuantized = [
  opCases(
    "GatherBlockQuantized",
    [
      {
        name: "4 bits, two a byte",
        inputs: [weight([5, 16], { dtype: "uint8", high: 255 }), rows, weight([5, 2])],
        attributes: { bits: 4, block_size: 16 },
      },
      {
        name: "8 bits, last block not full, with zero points",
        inputs: [
          weight([5, 24], { dtype: "uint8", high: 255 }),
          rows,
          weight([5, 2]),
          weight([5, 2], { dtype: "uint8", high: 255 }),
        ],
        attributes: { bits: 8, block_size: 16 },
      },
      {
        name: "uint4 along another axis",
        inputs: [weight([16, 5], { dtype: "uint4" }), fed("int32", [2], [4, 0]), weight([1, 5])],
        attributes: { block_size: 16, gather_axis: 1, quantize_axis: 0 },
      },
    ],
    { domain: "com.microsoft", opset: 1 },
  ),
];
