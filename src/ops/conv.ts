import { type Dim, numel, type Shape, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import { input, link, output } from "./channel-links.ts";
import { type ChannelCall, type ChannelLink, type Cost, defineOp, type StaticInfo, type TensorInfo } from "./define.ts";
import { convForward, convGeometry, transposedGeometry } from "./gradients/conv.ts";
import { convInputGradient } from "./gradients/conv-input.ts";
import { convWeightGradient } from "./gradients/conv-weight.ts";
import { sumOfMagnitudes } from "./partial-sums.ts";
import { anyOfRank, like, type Reject } from "./type-rules.ts";
import { transposedOutput, windowAttributes, windowOutput } from "./window.ts";

/** Kernel extents: the attribute where given, else the weight's axes after the first two. */
export const kernelExtents = (attribute: readonly number[] | undefined, weight: Shape | undefined): readonly Dim[] | undefined =>
  attribute ?? weight?.slice(2);

interface ConvCall {
  readonly attributes: Parameters<typeof windowOutput>[2] & {
    readonly kernel_shape: readonly number[] | undefined;
    readonly group: number;
  };
  readonly reject: Reject;
}

/** X [N, C, spatial…] ∗ W [M, C/group, kernel…] → [N, M, spatial…]. */
export function convShape(x: TensorInfo, w: TensorInfo, { attributes, reject }: ConvCall): Dim[] | undefined {
  const kernel = kernelExtents(attributes.kernel_shape, w.shape);
  const filters = w.shape?.[0];
  if (!x.shape || !kernel || filters === undefined) return x.shape && anyOfRank(x.shape.length);
  if (x.shape.length < 3) reject(`the input needs a batch, a channel and at least one spatial axis but has shape [${x.shape}]`);
  if (w.shape && w.shape.length !== x.shape.length)
    reject(`weight [${w.shape}] does not have the rank of the input [${x.shape}]`);
  const channels = x.shape[1] as Dim;
  const perGroup = w.shape?.[1];
  if (typeof channels === "number" && typeof perGroup === "number" && channels !== perGroup * attributes.group)
    reject(`the input has ${channels} channels but the weight takes ${perGroup} in each of ${attributes.group} group(s)`);
  return [x.shape[0] as Dim, filters, ...windowOutput(x.shape.slice(2), kernel, attributes, reject)];
}

/** One multiply-accumulate for every weight of a filter, at every output element; a bias adds once per output element. */
export function convCost(weight: StaticInfo, result: StaticInfo, bias: StaticInfo | undefined): Cost {
  const macs = numel(result.shape) * numel(weight.shape.slice(1));
  return { macs, flops: 2 * macs + (bias ? numel(result.shape) : 0) };
}

/** Which ports of a convolution hold what, by position. */
export interface ConvPorts {
  readonly x: number;
  readonly weight: number;
  /** Inputs of one entry per output channel (bias, per-channel scales). */
  readonly perOutputChannel: readonly number[];
}

/**
 * How channels run through a convolution. Plain: a filter makes an output channel and reads every input channel. Depthwise
 * (group = C): an input channel owns the filters that read it. Other groupings tie channels of different groups together, which
 * cannot be said as links, so they give none. Whoever cuts a depthwise channel lowers `group` with it.
 */
export function convLinks({ attributes, inputShapes }: ChannelCall, ports: ConvPorts): ChannelLink[] {
  const group = Number(attributes.group ?? 1);
  const weight = inputShapes[ports.weight];
  const batch = link(input(ports.x, 0), output(0, 0));
  const filters = [
    link(input(ports.weight, 0), output(0, 1)),
    ...ports.perOutputChannel.filter((i) => isPerChannel(inputShapes[i])).map((i) => link(input(i, 0), output(0, 1))),
  ];
  if (group === 1) return [batch, ...filters, link(input(ports.x, 1), input(ports.weight, 1))];
  const filterCount = weight?.[0];
  if (weight?.[1] !== 1 || typeof filterCount !== "number") return [batch];
  return [batch, ...filters, { ...link(input(ports.x, 1), input(ports.weight, 0)), repeat: filterCount / group }];
}

const isPerChannel = (shape: Shape | undefined): boolean => shape?.length === 1 && shape[0] !== 1;

/** Σ dy over batch and positions: [channels]. */
function biasGradient(b: GraphBuilder, dy: Value): Value {
  const shape = b.shape(dy);
  if (b.zeroChannelSums.has(dy)) return b.zeros([shape[1] as number]);
  const axes = shape.flatMap((_, i) => (i === 1 ? [] : [i]));
  return b.reduceSum(dy, axes, false);
}

export const conv = defineOp({
  type: "Conv",
  since: 11,
  inputs: ["X", "W", "B?"],
  outputs: ["Y"],
  attributes: { ...windowAttributes, group: attr.int(1) },
  infer: ({ X, W }, call) => ({ Y: like(X, convShape(X, W, call)) }),
  cost: ({ W, B }, { Y }) => convCost(W, Y, B),
  channels: (call) => convLinks(call, { x: 0, weight: 1, perOutputChannel: [2] }),
  quantization: { activations: ["X"], weight: { input: "W", channelAxis: () => 0, bias: "B" }, output: "calibrated" },
  partialSums: sumOfMagnitudes,
  learned: ["W", "B"],
  gradient: ({ b, inputs: { X, W, B }, outputs: { Y }, grads: { Y: dy }, attributes, wants }) => {
    if (!dy) return {};
    const geometry = convGeometry(b, X, W, Y, attributes);
    return {
      X: wants("X") ? convInputGradient(b, geometry, W, dy) : undefined,
      W: wants("W") ? convWeightGradient(b, geometry, X, dy) : undefined,
      B: B && wants("B") ? biasGradient(b, dy) : undefined,
    };
  },
});

export const convTranspose = defineOp({
  type: "ConvTranspose",
  since: 11,
  inputs: ["X", "W", "B?"],
  outputs: ["Y"],
  attributes: { ...windowAttributes, group: attr.int(1), output_padding: attr.ints(), output_shape: attr.ints() },
  infer: ({ X, W }, { attributes, reject }) => {
    const kernel = kernelExtents(attributes.kernel_shape, W.shape);
    const perGroup = W.shape?.[1];
    if (!X.shape || !kernel) return { Y: like(X, X.shape && anyOfRank(X.shape.length)) };
    if (X.shape.length < 3) reject(`the input needs a batch, a channel and at least one spatial axis but has shape [${X.shape}]`);
    const filters = typeof perGroup === "number" ? perGroup * attributes.group : attributes.group === 1 ? (perGroup ?? "?") : "?";
    return { Y: like(X, [X.shape[0] as Dim, filters, ...transposedOutput(X.shape.slice(2), kernel, attributes, reject)]) };
  },
  // Every input element meets every weight that reads its channel.
  cost: ({ X, W, B }, { Y }) => {
    const macs = numel(X.shape) * numel(W.shape.slice(1));
    return { macs, flops: 2 * macs + (B ? numel(Y.shape) : 0) };
  },
  channels: ({ attributes, inputShapes }) => {
    const batch = link(input(0, 0), output(0, 0));
    const group = Number(attributes.group ?? 1);
    const bias = isPerChannel(inputShapes[2]) ? [link(input(2, 0), output(0, 1))] : [];
    if (group === 1) return [batch, link(input(0, 1), input(1, 0)), link(input(1, 1), output(0, 1)), ...bias];
    const depthwise = inputShapes[1]?.[0] === group && inputShapes[1]?.[1] === 1;
    return depthwise ? [batch, link(input(0, 1), input(1, 0)), link(input(1, 0), output(0, 1)), ...bias] : [batch];
  },
  quantization: { activations: ["X"], weight: { input: "W", channelAxis: () => 1, bias: "B" }, output: "calibrated" },
  partialSums: sumOfMagnitudes,
  learned: ["W", "B"],
  gradient: ({ b, inputs: { X, W, B }, outputs: { Y }, grads: { Y: dy }, attributes, wants }) => {
    if (!dy) return {};
    // the convolution that this one transposes takes y to x
    const geometry = transposedGeometry(b, X, W, Y, attributes);
    return {
      X: wants("X") ? convForward(b, geometry, dy, W) : undefined,
      W: wants("W") ? convWeightGradient(b, geometry, dy, X) : undefined,
      B: B && wants("B") ? biasGradient(b, dy) : undefined,
    };
  },
});

export const deformConv = defineOp({
  type: "DeformConv",
  since: 19,
  inputs: ["X", "W", "offset", "B?", "mask?"],
  outputs: ["Y"],
  attributes: {
    kernel_shape: attr.ints(),
    strides: attr.ints(),
    dilations: attr.ints(),
    pads: attr.ints(),
    group: attr.int(1),
    offset_group: attr.int(1),
  },
  infer: ({ X, W }, call) => ({ Y: like(X, convShape(X, W, call)) }),
  // Bilinear sampling: four taps and their weights for every element that the kernel reads.
  cost: ({ X, W, B }, { Y }) => {
    const plain = convCost(W, Y, B);
    const sampled = (numel(Y.shape) / (Y.shape[1] as number)) * (X.shape[1] as number) * numel(W.shape.slice(2));
    return { macs: plain.macs, flops: plain.flops + 8 * sampled };
  },
  channels: (call) => {
    const links = convLinks(call, { x: 0, weight: 1, perOutputChannel: [3] });
    const grouped = Number(call.attributes.offset_group ?? 1) > 1; // offset groups own blocks of input channels
    return grouped ? links.filter(({ a }) => a.port === "input" && a.index !== 0) : links;
  },
});
