import { numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, sameAxes } from "./channel-links.ts";
import type { TensorInfo } from "./define.ts";
import { type ChannelCall, calibrated, defineOp, fixedRange } from "./define.ts";
import { transcendental } from "./elementwise.ts";
import { axisIndex, like, type Reject } from "./type-rules.ts";

/** Every axis but the normalized one passes through: removing an entry of that one would change the others. */
const allButAxis = ({ attributes, inputShapes }: ChannelCall) => {
  const rank = inputShapes[0]?.length ?? 0;
  const axis = fromEnd(Number(attributes.axis ?? -1), rank);
  return sameAxes(rank, (i) => i === axis);
};

const sameType = ({ input }: { input: TensorInfo }, { attributes, reject }: { attributes: { axis: number }; reject: Reject }) => {
  if (input.shape) axisIndex(attributes.axis, Math.max(input.shape.length, 1), reject);
  return { output: like(input) };
};

export const softmax = defineOp({
  type: "Softmax",
  since: 13,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { axis: attr.int(-1) },
  infer: sameType,
  cost: (_, { output }) => ({ macs: 0, flops: (transcendental + 4) * numel(output.shape) }), // max, subtract, exp, sum, divide
  channels: allButAxis,
  quantization: fixedRange(0, 1, "input"),
  ignoresFarBelow: true,
  // dx = y·(dy − Σ dy·y)
  gradient: ({ b, outputs: { output: y }, grads: { output: dy }, attributes: { axis } }) => {
    if (!dy) return {};
    const weighted = b.mul(dy, y);
    return { input: b.sub(weighted, b.mul(y, b.reduceSum(weighted, [axis]))) };
  },
});

export const logSoftmax = defineOp({
  type: "LogSoftmax",
  since: 13,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { axis: attr.int(-1) },
  infer: sameType,
  cost: (_, { output }) => ({ macs: 0, flops: (transcendental + 4) * numel(output.shape) }),
  channels: allButAxis,
  quantization: calibrated("input"),
  // dx = dy − e^y·Σ dy
  gradient: ({ b, outputs: { output: y }, grads: { output: dy }, attributes: { axis } }) =>
    dy ? { input: b.sub(dy, b.mul(b.exp(y), b.reduceSum(dy, [axis]))) } : {},
});

export const hardmax = defineOp({
  type: "Hardmax",
  since: 13,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { axis: attr.int(-1) },
  infer: sameType,
  channels: allButAxis,
  quantization: fixedRange(0, 1, "input"),
  gradient: "none",
});
