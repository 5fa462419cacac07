import { broadcastShapes } from "../ir/dim.ts";
import { type Dim, numel, type Shape, sameDim } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output } from "./channel-links.ts";
import { type ChannelCall, type ChannelLink, type Cost, defineOp, type StaticInfo, type TensorInfo } from "./define.ts";
import { gemmGradient, matMulGradient } from "./gradients/matmul.ts";
import { sumOfMagnitudes } from "./partial-sums.ts";
import { like, type Reject } from "./type-rules.ts";

const differ = (a: Dim | undefined, b: Dim | undefined): boolean =>
  typeof a === "number" && typeof b === "number" && !sameDim(a, b);

/** numpy's rules: a vector on the left gains a row axis, one on the right a column axis, both dropped from the result. */
export function matMulShape(a: Shape | undefined, b: Shape | undefined, reject: Reject): Dim[] | undefined {
  if (!a || !b) return undefined;
  if (a.length === 0 || b.length === 0) return reject("a scalar cannot be multiplied as a matrix");
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  if (differ(left.at(-1), right.at(-2))) reject(`inner dimensions of [${a}] and [${b}] differ`);
  const batch = broadcastShapes([left.slice(0, -2), right.slice(0, -2)], reject) ?? [];
  return [...batch, ...(a.length === 1 ? [] : [left.at(-2) as Dim]), ...(b.length === 1 ? [] : [right.at(-1) as Dim])];
}

/** Result elements times the inner dimension. */
export function matMulCost(a: StaticInfo, result: StaticInfo): Cost {
  const macs = numel(result.shape) * (a.shape.at(-1) ?? 1);
  return { macs, flops: 2 * macs };
}

/** A's columns are B's rows; A's rows, B's columns and the batch axes reach the result. `a`, `b`: input positions. */
export function matMulLinks({ inputShapes, outputShapes }: ChannelCall, a = 0, b = 1): ChannelLink[] {
  const ra = inputShapes[a]?.length;
  const rb = inputShapes[b]?.length;
  const ry = outputShapes[0]?.length ?? (ra && rb && ra > 1 && rb > 1 ? Math.max(ra, rb) : undefined);
  if (!ra || !rb || ry === undefined) return [];
  const links = [link(input(a, ra - 1), input(b, Math.max(rb - 2, 0)))];
  if (ra > 1) links.push(link(input(a, ra - 2), output(0, ry - (rb > 1 ? 2 : 1))));
  if (rb > 1) links.push(link(input(b, rb - 1), output(0, ry - 1)));
  const batchRank = Math.max(ra, rb, 2) - 2;
  for (const [index, rank] of [
    [a, ra],
    [b, rb],
  ] as const)
    for (let axis = 0; axis < rank - 2; axis++)
      if (inputShapes[index]?.[axis] !== 1) links.push(link(input(index, axis), output(0, batchRank - (rank - 2) + axis)));
  return links;
}

export const matMul = defineOp({
  type: "MatMul",
  since: 13,
  inputs: ["A", "B"],
  outputs: ["Y"],
  infer: ({ A, B }, { reject }) => ({ Y: like(A, matMulShape(A.shape, B.shape, reject)) }),
  cost: ({ A }, { Y }) => matMulCost(A, Y),
  channels: (call) => matMulLinks(call),
  quantization: {
    activations: ["A", "B"],
    weight: { input: "B", channelAxis: (_, rank) => rank - 1 },
    output: "calibrated",
  },
  partialSums: sumOfMagnitudes,
  learned: ["B"],
  gradient: ({ b, inputs: { A, B }, grads: { Y: dy }, wants }) => {
    if (!dy) return {};
    const { x, w } = matMulGradient({ b, x: A, w: B, dy, wantsX: wants("A"), wantsW: wants("B") });
    return { A: x, B: w };
  },
});

/** A' [M, K] · B' [K, N] → [M, N], where ' transposes on demand. */
export function gemmShape(A: TensorInfo, B: TensorInfo, transA: number, transB: number, reject: Reject): Dim[] {
  for (const [name, { shape }] of Object.entries({ A, B }))
    if (shape && shape.length !== 2) reject(`${name} must be a matrix but has shape [${shape}]`);
  const [m, inner] = transA ? [A.shape?.[1], A.shape?.[0]] : [A.shape?.[0], A.shape?.[1]];
  const [rows, n] = transB ? [B.shape?.[1], B.shape?.[0]] : [B.shape?.[0], B.shape?.[1]];
  if (differ(inner, rows)) reject(`inner dimensions ${inner} and ${rows} of A and B differ`);
  return [m ?? "?", n ?? "?"];
}

/** C broadcasts to [M, N] from the right; its axes of extent 1 are not linked. */
export function gemmLinks({ attributes, inputShapes }: ChannelCall, a = 0, b = 1, c = 2): ChannelLink[] {
  const transA = Number(attributes.transA ?? 0) !== 0;
  const transB = Number(attributes.transB ?? 0) !== 0;
  const bias = inputShapes[c] ?? [];
  return [
    link(input(a, transA ? 1 : 0), output(0, 0)),
    link(input(a, transA ? 0 : 1), input(b, transB ? 1 : 0)),
    link(input(b, transB ? 0 : 1), output(0, 1)),
    ...bias.flatMap((dim, axis) => (dim === 1 ? [] : [link(input(c, axis), output(0, 2 - bias.length + axis))])),
  ];
}

export const gemm = defineOp({
  type: "Gemm",
  since: 13,
  inputs: ["A", "B", "C?"],
  outputs: ["Y"],
  attributes: { alpha: attr.float(1), beta: attr.float(1), transA: attr.int(0), transB: attr.int(0) },
  infer: ({ A, B }, { attributes: { transA, transB }, reject }) => ({ Y: like(A, gemmShape(A, B, transA, transB, reject)) }),
  cost: ({ A, C }, { Y }, { transA }) => {
    const macs = numel(Y.shape) * (A.shape[transA ? 0 : 1] as number);
    return { macs, flops: 2 * macs + (C ? numel(Y.shape) : 0) };
  },
  channels: (call) => gemmLinks(call),
  quantization: {
    activations: ["A", "B"],
    weight: { input: "B", channelAxis: ({ transB }) => (transB ? 0 : 1), bias: "C" },
    output: "calibrated",
  },
  partialSums: sumOfMagnitudes,
  learned: ["B", "C"],
  gradient: ({ b, inputs: { A, B, C }, grads: { Y: dy }, attributes: { alpha, beta, transA, transB }, wants }) => {
    if (!dy) return {};
    const sides = { transA: transA !== 0, transB: transB !== 0, wantsX: wants("A"), wantsW: wants("B") };
    const { x, w } = gemmGradient({ b, x: A, w: B, dy, alpha, ...sides });
    const shift = C && wants("C") ? b.sumTo(beta === 1 ? dy : b.mul(dy, beta), b.shape(C)) : undefined;
    return { A: x, B: w, C: shift };
  },
});
