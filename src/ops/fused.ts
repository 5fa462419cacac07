import { type Dim, numel, type Shape, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import { input, link, output, sameAxes } from "./channel-links.ts";
import { convCost, convLinks, convShape } from "./conv.ts";
import { barrier, type ChannelCall, defineOp, elementwise, type OpDef, type TensorInfo } from "./define.ts";
import { binary, transcendental, unary } from "./elementwise.ts";
import { activated, rmsNormalized } from "./gradients/expansions.ts";
import { layerNormalized } from "./gradients/normalization.ts";
import { gemmLinks, gemmShape, matMulShape } from "./matmul.ts";
import { layerNormalization } from "./normalization.ts";
import { axisIndex, like } from "./type-rules.ts";
import { windowAttributes } from "./window.ts";

// Ops of onnxruntime's own domain that its optimizer and exporters of transformers write.
const domain = "com.microsoft";

export const fusedConv = defineOp({
  type: "FusedConv",
  domain,
  since: 1,
  inputs: ["X", "W", "B?", "Z?"],
  outputs: ["Y"],
  attributes: { ...windowAttributes, group: attr.int(1), activation: attr.string(""), activation_params: attr.floats() },
  infer: ({ X, W }, call) => ({ Y: like(X, convShape(X, W, call)) }),
  cost: ({ W, B, Z }, { Y }) => {
    const { macs, flops } = convCost(W, Y, B);
    return { macs, flops: flops + (Z ? 2 : 1) * numel(Y.shape) }; // the activation, and the sum with Z
  },
  channels: (call) => {
    const links = convLinks(call, { x: 0, weight: 1, perOutputChannel: [2] });
    return call.inputShapes[3] ? [...links, link(input(3, 0), output(0, 0)), link(input(3, 1), output(0, 1))] : links;
  },
  learned: ["W", "B"],
  gradient: {
    expand: ({ b, inputs: { X, W, B, Z }, attributes: { activation, activation_params, ...window } }) => {
      const y = b.op("Conv", [X, W, B], window);
      return { Y: activated(b, Z ? b.add(y, Z) : y, activation, activation_params) };
    },
  },
});

export const fusedGemm = defineOp({
  type: "FusedGemm",
  domain,
  since: 1,
  inputs: ["A", "B", "C?"],
  outputs: ["Y"],
  attributes: {
    activation: attr.string(""),
    activation_alpha: attr.float(),
    activation_beta: attr.float(),
    activation_gamma: attr.float(),
    alpha: attr.float(1),
    beta: attr.float(1),
    transA: attr.int(0),
    transB: attr.int(0),
  },
  infer: ({ A, B }, { attributes: { transA, transB }, reject }) => ({ Y: like(A, gemmShape(A, B, transA, transB, reject)) }),
  cost: ({ A, C }, { Y }, { transA }) => {
    const macs = numel(Y.shape) * (A.shape[transA ? 0 : 1] as number);
    return { macs, flops: 2 * macs + (C ? 2 : 1) * numel(Y.shape) };
  },
  channels: (call) => gemmLinks(call),
  learned: ["B", "C"],
  gradient: {
    expand: ({ b, inputs: { A, B, C }, attributes: { alpha, beta, transA, transB, ...a } }) => {
      const parameters = [a.activation_alpha, a.activation_beta].filter((value) => value !== undefined);
      return { Y: activated(b, b.op("Gemm", [A, B, C], { alpha, beta, transA, transB }), a.activation, parameters) };
    },
  },
});

/** The matrix as the product sees it: first the batch axes move in front, then the last two axes change places. */
function arranged(shape: Shape | undefined, transBatch: number, transpose: number): Shape | undefined {
  if (!shape || shape.length < 2) return shape;
  const [first, ...rest] = shape as [Dim, ...Dim[]];
  const last = rest.at(-1) as Dim;
  const batched = transBatch ? [...rest.slice(0, -1), first, last] : shape;
  return transpose ? [...batched.slice(0, -2), batched.at(-1) as Dim, batched.at(-2) as Dim] : batched;
}

/** The same of a value. */
function arrangedValue(b: GraphBuilder, x: Value, transBatch: number, transpose: number): Value {
  const rank = b.rank(x);
  if (rank < 2) return x;
  const all = Array.from({ length: rank }, (_, i) => i);
  const batched = transBatch ? b.transpose(x, [...all.slice(1, -1), 0, rank - 1]) : x;
  return transpose ? b.matrixTranspose(batched) : batched;
}

export const fusedMatMul = defineOp({
  type: "FusedMatMul",
  domain,
  since: 1,
  inputs: ["A", "B"],
  outputs: ["Y"],
  attributes: {
    alpha: attr.float(1),
    transA: attr.int(0),
    transB: attr.int(0),
    transBatchA: attr.int(0),
    transBatchB: attr.int(0),
  },
  infer: ({ A, B }, { attributes: a, reject }) => {
    const left = arranged(A.shape, a.transBatchA, a.transA);
    return { Y: like(A, matMulShape(left, arranged(B.shape, a.transBatchB, a.transB), reject)) };
  },
  cost: ({ A }, { Y }, { transBatchA, transA }) => {
    const macs = numel(Y.shape) * Number(arranged(A.shape, transBatchA, transA)?.at(-1) ?? 1);
    return { macs, flops: 2 * macs };
  },
  channels: fusedMatMulLinks,
  learned: ["B"],
  gradient: {
    expand: ({ b, inputs: { A, B }, attributes: a }) => {
      const product = b.matMul(arrangedValue(b, A, a.transBatchA, a.transA), arrangedValue(b, B, a.transBatchB, a.transB));
      return { Y: a.alpha === 1 ? product : b.mul(product, a.alpha) };
    },
  },
});

/** Of the matrix axes; batch axes only where both sides have all of them. */
function fusedMatMulLinks({ attributes, inputShapes }: ChannelCall) {
  const [ra, rb] = [inputShapes[0]?.length ?? 0, inputShapes[1]?.length ?? 0];
  if (ra < 2 || ra !== rb || attributes.transBatchA || attributes.transBatchB) return [];
  const [rows, inner] = attributes.transA ? [ra - 1, ra - 2] : [ra - 2, ra - 1];
  const [innerB, columns] = attributes.transB ? [ra - 1, ra - 2] : [ra - 2, ra - 1];
  const batch = Array.from({ length: ra - 2 }, (_, axis) => axis).flatMap((axis) =>
    [0, 1].filter((i) => inputShapes[i]?.[axis] !== 1).map((i) => link(input(i, axis), output(0, axis))),
  );
  return [
    link(input(0, rows), output(0, ra - 2)),
    link(input(0, inner), input(1, innerB)),
    link(input(1, columns), output(0, ra - 1)),
    ...batch,
  ];
}

/** A fused activation as the standard ops that it is made from. */
const fusedActivation = (
  def: OpDef,
  expand: (b: GraphBuilder, x: readonly Value[], a: Readonly<Record<string, unknown>>) => Value,
): OpDef => ({
  ...def,
  gradient: {
    expand: ({ b, inputs, attributes }) => ({
      [def.outputs[0] as string]: expand(b, Object.values(inputs) as Value[], attributes),
    }),
  },
});
const exactGelu = (b: GraphBuilder, x: Value): Value => b.op("Gelu", [x], { approximate: "none" });

export const fusedActivations = [
  fusedActivation(unary("Gelu", 1, "X Y", { domain, flops: transcendental }), (b, [x]) => exactGelu(b, x as Value)),
  fusedActivation(
    unary("QuickGelu", 1, "X Y", { domain, attributes: { alpha: attr.float(1.702) }, flops: transcendental }),
    (b, [x], { alpha }) => b.mul(x as Value, b.op("Sigmoid", [b.mul(x as Value, Number(alpha))])),
  ),
  fusedActivation(binary("BiasGelu", 1, "A B C", { domain, flops: transcendental + 1 }), (b, [x, bias]) =>
    exactGelu(b, b.add(x as Value, bias as Value)),
  ),
];

export const fastGelu = defineOp({
  type: "FastGelu",
  domain,
  since: 1,
  inputs: ["X", "bias?"],
  outputs: ["Y"],
  infer: ({ X }) => ({ Y: like(X) }),
  cost: (_, { Y }) => ({ macs: 0, flops: transcendental * numel(Y.shape) }),
  channels: elementwise,
  learned: ["bias"],
  gradient: {
    expand: ({ b, inputs: { X, bias } }) => ({ Y: b.op("Gelu", [bias ? b.add(X, bias) : X], { approximate: "tanh" }) }),
  },
});

/** Every axis but the last one, which is normalized. */
const allButLast = ({ inputShapes, outputShapes }: ChannelCall) => {
  const rank = inputShapes[0]?.length ?? 0;
  return outputShapes.flatMap((shape, index) => (shape ? sameAxes(rank, (axis) => axis === rank - 1, 0, index) : []));
};

const lastToOne = (X: TensorInfo): TensorInfo => like(X, X.shape && [...X.shape.slice(0, -1), 1], "float32");

const skipNormalization = (type: string, inputs: readonly ["input", "skip", "gamma", ...string[]]) =>
  defineOp({
    type,
    domain,
    since: 1,
    inputs,
    outputs: ["output", "mean?", "inv_std_var?", "input_skip_bias_sum?"],
    attributes: { epsilon: attr.float(1e-12) },
    infer: (ports) => {
      const X = (ports as Readonly<Record<"input", TensorInfo>>).input;
      return { output: like(X), mean: lastToOne(X), inv_std_var: lastToOne(X), input_skip_bias_sum: like(X) };
    },
    cost: (_, { output }) => ({ macs: 0, flops: 9 * numel(output.shape) }),
    channels: (call) => {
      const links = allButLast(call);
      const same = call.inputShapes[1]?.length === call.inputShapes[0]?.length;
      return same ? [...links, ...links.map(({ a, b }) => link(input(1, a.axis), b))] : [];
    },
    gradient: {
      expand: ({ b, inputs, attributes: { epsilon } }) => {
        const ports = inputs as unknown as Readonly<Record<"input" | "skip" | "gamma", Value>> & { beta?: Value; bias?: Value };
        const joined = b.add(ports.input, ports.skip);
        const sum = ports.bias ? b.add(joined, ports.bias) : joined;
        const axis = b.rank(sum) - 1;
        if (!type.includes("Simplified")) {
          const { Y, Mean, InvStdDev } = layerNormalized(b, { x: sum, scale: ports.gamma, shift: ports.beta, axis, epsilon });
          return { output: Y, mean: Mean, inv_std_var: InvStdDev, input_skip_bias_sum: sum };
        }
        const { y, inverse } = rmsNormalized(b, sum, ports.gamma, axis, epsilon);
        return { output: y, inv_std_var: inverse, input_skip_bias_sum: sum };
      },
    },
  });

export const skipNormalizations = [
  skipNormalization("SkipLayerNormalization", ["input", "skip", "gamma", "beta?", "bias?"]),
  skipNormalization("SkipSimplifiedLayerNormalization", ["input", "skip", "gamma", "bias?"]),
];

/** onnxruntime's RMS normalization, in the standard domain although the standard has it under another name. */
export const simplifiedLayerNormalization = defineOp({
  type: "SimplifiedLayerNormalization",
  since: 1,
  inputs: ["X", "scale"],
  outputs: ["Y", "inv_std_var?"],
  attributes: { axis: attr.int(-1), epsilon: attr.float(1e-5), stash_type: attr.int(1) },
  infer: ({ X }, { attributes, reject }) => {
    const axis = X.shape && axisIndex(attributes.axis, X.shape.length, reject);
    const statistics = X.shape?.map((dim, i) => (axis !== undefined && i < axis ? dim : 1));
    return { Y: like(X), inv_std_var: like(X, statistics, "float32") };
  },
  cost: (_, { Y }) => ({ macs: 0, flops: 4 * numel(Y.shape) }),
  channels: layerNormalization.channels,
  learned: ["scale"],
  gradient: {
    expand: ({ b, inputs: { X, scale }, attributes: { axis, epsilon } }) => {
      const { y, inverse } = rmsNormalized(b, X, scale, axis < 0 ? axis + b.rank(X) : axis, epsilon);
      return { Y: y, inv_std_var: inverse };
    },
  },
});

export const embedLayerNormalization = defineOp({
  type: "EmbedLayerNormalization",
  domain,
  since: 1,
  inputs: [
    "input_ids",
    "segment_ids?",
    "word_embedding",
    "position_embedding",
    "segment_embedding?",
    "gamma",
    "beta",
    "mask?",
    "position_ids?",
  ],
  outputs: ["output", "mask_index?", "embedding_sum?"],
  attributes: { epsilon: attr.float(1e-12), mask_index_type: attr.int() },
  infer: ({ input_ids, word_embedding }) => {
    const [batch, length] = [input_ids.shape?.[0] ?? "?", input_ids.shape?.[1] ?? "?"];
    const embedded = like(word_embedding, [batch, length, word_embedding.shape?.[1] ?? "?"]);
    return { output: embedded, mask_index: like(input_ids, [batch], "int32"), embedding_sum: embedded };
  },
  cost: (_, { output }) => ({ macs: 0, flops: 9 * numel(output.shape), bytes: 4 * 4 * numel(output.shape) }), // rows, not tables
  channels: barrier,
});

export const matMulNBits = defineOp({
  type: "MatMulNBits",
  domain,
  since: 1,
  inputs: ["A", "B", "scales", "zero_points?", "g_idx?", "bias?"],
  outputs: ["Y"],
  attributes: {
    K: attr.required.int(),
    N: attr.required.int(),
    accuracy_level: attr.int(0),
    bits: attr.int(4),
    block_size: attr.required.int(),
    weight_prepacked: attr.int(0),
  },
  infer: ({ A }, { attributes: { K, N }, reject }) => {
    const inner = A.shape?.at(-1);
    if (typeof inner === "number" && inner !== K) reject(`A has rows of ${inner} entries but K is ${K}`);
    return { Y: like(A, A.shape && [...A.shape.slice(0, -1), N]) };
  },
  cost: ({ A }, { Y }) => {
    const macs = numel(Y.shape) * (A.shape.at(-1) ?? 1);
    return { macs, flops: 2 * macs };
  },
  channels: allButLast, // the weight is packed in blocks along K
});
