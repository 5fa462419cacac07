import { constant, fed, int64s, opCases, random, scalar, weight } from "./define.ts";

const domain = "com.microsoft";
const heads = { q_num_heads: 3, kv_num_heads: 3 };
const q = random([2, 5, 12]);
const kv = random([2, 7, 12]);

export const attention = [
  opCases(
    "Attention",
    [
      { name: "4-D", inputs: [random([2, 3, 5, 4]), random([2, 3, 7, 4]), random([2, 3, 7, 6])] },
      { name: "3-D", inputs: [q, kv, kv], attributes: heads },
      { name: "grouped queries", inputs: [random([2, 4, 5, 4]), random([2, 2, 7, 4]), random([2, 2, 7, 4])] },
      {
        name: "cache",
        inputs: [q, kv, kv, undefined, random([2, 3, 4, 4]), random([2, 3, 4, 4])],
        attributes: { ...heads, is_causal: 1 },
        outputs: 3,
      },
      { name: "scores", inputs: [q, kv, kv, random([5, 7])], attributes: heads, outputs: [true, false, false, true] },
    ],
    { opset: 23 },
  ),
  opCases("RotaryEmbedding", [{ name: "4-D", inputs: [random([2, 3, 5, 8]), random([2, 5, 4]), random([2, 5, 4])] }], {
    opset: 23,
  }),
  opCases(
    "RotaryEmbedding",
    [{ name: "3-D", inputs: [random([1, 5, 24]), int64s(3), weight([16, 4]), weight([16, 4])], attributes: { num_heads: 3 } }],
    { domain, opset: 1 },
  ),
  opCases(
    "MultiHeadAttention",
    [
      { name: "separate", inputs: [q, kv, kv], attributes: { num_heads: 3 } },
      { name: "4-D keys", inputs: [q, random([2, 3, 7, 4]), random([2, 3, 7, 4])], attributes: { num_heads: 3 } },
      { name: "bias and another value size", inputs: [q, kv, random([2, 7, 6]), weight([30])], attributes: { num_heads: 3 } },
      {
        name: "packed",
        inputs: [random([2, 5, 3, 3, 4])],
        attributes: { num_heads: 3 },
        noKernel: "packed Q, K and V run on its GPU builds only",
        expected: [["float32", [2, 5, 12]]],
      },
      {
        name: "packed keys and values",
        inputs: [q, random([2, 7, 3, 2, 4])],
        attributes: { num_heads: 3 },
        noKernel: "packed K and V run on its GPU builds only",
        expected: [["float32", [2, 5, 12]]],
      },
      {
        name: "cache",
        inputs: [
          q,
          random([2, 5, 12]),
          random([2, 5, 12]),
          undefined,
          undefined,
          undefined,
          random([2, 3, 4, 4]),
          random([2, 3, 4, 4]),
        ],
        attributes: { num_heads: 3 },
        outputs: 3,
      },
    ],
    { domain, opset: 1 },
  ),
  opCases(
    "Attention",
    [
      { name: "plain", inputs: [random([2, 5, 8]), weight([8, 36]), weight([36])], attributes: { num_heads: 3 } },
      {
        name: "another value size",
        inputs: [random([2, 5, 8]), weight([8, 30]), weight([30])],
        attributes: { num_heads: 3, qkv_hidden_sizes: [12, 12, 6] },
      },
      {
        name: "cache",
        inputs: [random([2, 5, 8]), weight([8, 36]), weight([36]), undefined, random([2, 2, 3, 4, 4])],
        attributes: { num_heads: 3, unidirectional: 1 },
        outputs: 2,
      },
    ],
    { domain, opset: 1 },
  ),
  opCases(
    "QAttention",
    [
      {
        name: "plain",
        inputs: [
          random([2, 5, 8], { dtype: "uint8", high: 255 }),
          weight([8, 36], { dtype: "int8" }),
          weight([36]),
          scalar("float32", 0.01),
          scalar("float32", 0.02),
          undefined,
          scalar("uint8", 128),
          scalar("int8", 0),
        ],
        attributes: { num_heads: 3 },
      },
    ],
    { domain, opset: 1 },
  ),
];

export const groupQueryAttention = opCases(
  "GroupQueryAttention",
  [
    {
      name: "first tokens",
      inputs: [
        random([1, 4, 32]),
        random([1, 4, 16]),
        random([1, 4, 16]),
        random([1, 2, 0, 8]),
        random([1, 2, 0, 8]),
        fed("int32", [1], [3]),
        constant("int32", [], [4]),
      ],
      attributes: { num_heads: 4, kv_num_heads: 2 },
      outputs: 3,
      dataDependent: "the cache's length is an input",
    },
    {
      name: "packed",
      inputs: [
        random([1, 4, 64]),
        undefined,
        undefined,
        random([1, 2, 0, 8]),
        random([1, 2, 0, 8]),
        fed("int32", [1], [3]),
        constant("int32", [], [4]),
      ],
      attributes: { num_heads: 4, kv_num_heads: 2 },
      outputs: 3,
      dataDependent: "the cache's length is an input",
    },
  ],
  { domain, opset: 1 },
);
