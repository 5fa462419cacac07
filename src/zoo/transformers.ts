import { z } from "zod";
import { tensorOf, type Value } from "../ir/index.ts";
import { classes } from "./classic.ts";
import { defineArchitecture } from "./define.ts";
import type { Net } from "./net.ts";

interface Sizes {
  readonly width: number;
  readonly heads: number;
  readonly length: number;
}

const linear = (net: Net, name: string, x: Value, from: number, to: number): Value =>
  net.op("Add", [net.op("MatMul", [x, net.normal(`${name}.weight`, [from, to], 0.02)]), net.filled(`${name}.bias`, [to], 0)]);

const layerNorm = (net: Net, name: string, x: Value, width: number, epsilon: number): Value =>
  net.op("LayerNormalization", [x, net.filled(`${name}.scale`, [width], 1), net.filled(`${name}.shift`, [width], 0)], {
    axis: -1,
    epsilon,
  });

/** Multi-head attention of a sequence with itself; `mask` is added to the scores. */
function selfAttention(net: Net, name: string, x: Value, { width, heads, length }: Sizes, mask: Value): Value {
  const size = width / heads;
  const split = (v: Value, perm: readonly number[]): Value =>
    net.op("Transpose", [net.op("Reshape", [v, net.b.ints([0, length, heads, size])])], { perm });
  const q = split(linear(net, `${name}.query`, x, width, width), [0, 2, 1, 3]);
  const k = split(linear(net, `${name}.key`, x, width, width), [0, 2, 3, 1]);
  const v = split(linear(net, `${name}.value`, x, width, width), [0, 2, 1, 3]);
  const scores = net.op("Mul", [net.op("MatMul", [q, k]), net.b.scalar(1 / Math.sqrt(size))]);
  const weights = net.op("Softmax", [net.op("Add", [scores, mask])], { axis: -1 });
  const mixed = net.op("Transpose", [net.op("MatMul", [weights, v])], { perm: [0, 2, 1, 3] });
  return linear(net, `${name}.out`, net.op("Reshape", [mixed, net.b.ints([0, length, width])]), width, width);
}

function feedForward(net: Net, name: string, x: Value, width: number, hidden: number, approximate: string): Value {
  const up = net.op("Gelu", [linear(net, `${name}.up`, x, width, hidden)], { approximate });
  return linear(net, `${name}.down`, up, hidden, width);
}

const divides = <T extends { width: number; heads: number }>(o: T): boolean => o.width % o.heads === 0;
const wrongHeads = { message: "must be a multiple of heads", path: ["width"] };

const common = {
  layers: z.int().min(1).max(48).describe("Transformer layers"),
  heads: z.int().min(1).max(64).describe("Attention heads"),
  width: z.int().min(4).max(4096).describe("Features of a token"),
  vocabulary: z.int().min(2).max(1_000_000).describe("Tokens known"),
  length: z.int().min(1).max(8192).describe("Tokens of a sequence"),
};

export const bert = defineArchitecture({
  name: "bert",
  summary: "BERT-style encoder with a classifier on the first token; TinyBERT's 4 layers by default",
  source: "Devlin et al., BERT, 2019; Jiao et al., TinyBERT, 2020",
  options: z
    .strictObject({
      classes: classes.default(2),
      layers: common.layers.default(4),
      heads: common.heads.default(12),
      width: common.width.default(312),
      hidden: z.int().min(4).max(16_384).default(1200).describe("Features inside the feed-forward layers"),
      vocabulary: common.vocabulary.default(30_522),
      length: common.length.default(128),
      positions: z.int().min(1).max(8192).default(512).describe("Rows of the position table; at least the length"),
    })
    .refine(divides, wrongHeads)
    .refine(({ length, positions }) => positions >= length, { message: "must be at least the length", path: ["positions"] }),
  published: [
    {
      options: {},
      parameters: 14_350_874,
      tolerance: { parameters: 0.01 },
      source: "14.5 M, with segment embeddings and one output more",
    },
  ],
  build(net, o) {
    const tokens = net.input("input_ids", [o.length], "int64");
    const sizes = { width: o.width, heads: o.heads, length: o.length };
    let x = net.op("Gather", [net.normal("embedding.token", [o.vocabulary, o.width], 0.02), tokens]);
    const rows = net.b.slice(net.normal("embedding.position", [o.positions, o.width], 0.02), 0, 0, o.length);
    x = layerNorm(net, "embedding.norm", net.add(x, rows), o.width, 1e-12);
    // padding (token 0) is seen by nobody: 0 for words, −10,000 for padding, over [N, 1, 1, length]
    const padding = net.op("Cast", [net.op("Equal", [tokens, net.b.scalar(0, "int64")])], { to: 1 });
    const mask = net.op("Mul", [net.op("Unsqueeze", [padding, net.b.ints([1, 2])]), net.b.scalar(-10_000)]);
    for (let i = 0; i < o.layers; i++) {
      const name = `layer${i}`;
      x = layerNorm(net, `${name}.norm1`, net.add(x, selfAttention(net, `${name}.attention`, x, sizes, mask)), o.width, 1e-12);
      x = layerNorm(
        net,
        `${name}.norm2`,
        net.add(x, feedForward(net, `${name}.mlp`, x, o.width, o.hidden, "none")),
        o.width,
        1e-12,
      );
    }
    const first = net.op("Squeeze", [net.b.slice(x, 1, 0, 1), net.b.ints([1])]);
    const pooled = net.op("Tanh", [linear(net, "pooler", first, o.width, o.width)]);
    return linear(net, "head", pooled, o.width, o.classes);
  },
});

export const gpt = defineArchitecture({
  name: "gpt",
  summary: "decoder that predicts the next token; tied token embedding and head",
  source: "Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
  options: z
    .strictObject({
      layers: common.layers.default(3),
      heads: common.heads.default(3),
      width: common.width.default(48),
      vocabulary: common.vocabulary.default(256),
      length: common.length.default(64),
    })
    .refine(divides, wrongHeads),
  published: [
    {
      options: { layers: 12, heads: 12, width: 768, vocabulary: 50_257, length: 1024 },
      parameters: 124_439_808,
      tolerance: { parameters: 0 },
      source: "GPT-2 small",
    },
  ],
  build(net, o) {
    const tokens = net.input("input_ids", [o.length], "int64");
    const sizes = { width: o.width, heads: o.heads, length: o.length };
    const table = net.normal("embedding.token", [o.vocabulary, o.width], 0.02);
    let x = net.add(net.op("Gather", [table, tokens]), net.normal("embedding.position", [o.length, o.width], 0.02));
    const values = Float32Array.from({ length: o.length ** 2 }, (_, at) =>
      at % o.length <= Math.floor(at / o.length) ? 0 : -10_000,
    );
    const causal = net.graph.addInitializer("causal_mask", tensorOf("float32", [o.length, o.length], values));
    for (let i = 0; i < o.layers; i++) {
      const name = `layer${i}`;
      x = net.add(x, selfAttention(net, `${name}.attention`, layerNorm(net, `${name}.norm1`, x, o.width, 1e-5), sizes, causal));
      x = net.add(
        x,
        feedForward(net, `${name}.mlp`, layerNorm(net, `${name}.norm2`, x, o.width, 1e-5), o.width, 4 * o.width, "tanh"),
      );
    }
    x = layerNorm(net, "norm", x, o.width, 1e-5);
    return net.op("MatMul", [x, net.op("Transpose", [table], { perm: [1, 0] })]);
  },
});
