import { numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output } from "./channel-links.ts";
import { convCost, convLinks, convShape } from "./conv.ts";
import { type ChannelCall, type ChannelLink, type Cost, defineOp } from "./define.ts";
import { matMulCost, matMulLinks, matMulShape } from "./matmul.ts";
import { like } from "./type-rules.ts";
import { windowAttributes } from "./window.ts";

const convAttributes = { ...windowAttributes, group: attr.int(1) } as const;

export const qLinearConv = defineOp({
  type: "QLinearConv",
  since: 10,
  inputs: ["x", "x_scale", "x_zero_point", "w", "w_scale", "w_zero_point", "y_scale", "y_zero_point", "B?"],
  outputs: ["y"],
  attributes: convAttributes,
  infer: ({ x, w, y_zero_point }, call) => ({ y: like(x, convShape(x, w, call), y_zero_point.dtype) }),
  cost: ({ w, B }, { y }) => requantized(convCost(w, y, B), numel(y.shape)),
  channels: (call) => convLinks(call, { x: 0, weight: 3, perOutputChannel: [4, 5, 8] }),
});

export const convInteger = defineOp({
  type: "ConvInteger",
  since: 10,
  inputs: ["x", "w", "x_zero_point?", "w_zero_point?"],
  outputs: ["y"],
  attributes: convAttributes,
  infer: ({ x, w }, call) => ({ y: like(x, convShape(x, w, call), "int32") }),
  cost: ({ w }, { y }) => convCost(w, y, undefined),
  channels: (call) => convLinks(call, { x: 0, weight: 1, perOutputChannel: [3] }),
});

/** Rescaling an accumulator: multiply, round, shift. */
export const requantized = ({ macs, flops }: Cost, elements: number): Cost => ({ macs, flops: flops + 3 * elements });

/** Scales and zero points of one entry per column follow the columns of the result. */
function perColumn({ inputShapes, outputShapes }: ChannelCall, ports: readonly number[]): ChannelLink[] {
  const rank = outputShapes[0]?.length ?? 2;
  const vectors = ports.filter((i) => inputShapes[i]?.length === 1 && inputShapes[i]?.[0] !== 1);
  return vectors.map((i) => link(input(i, 0), output(0, rank - 1)));
}

export const qLinearMatMul = defineOp({
  type: "QLinearMatMul",
  since: 21,
  inputs: ["a", "a_scale", "a_zero_point", "b", "b_scale", "b_zero_point", "y_scale", "y_zero_point"],
  outputs: ["y"],
  infer: ({ a, b, y_zero_point }, { reject }) => ({ y: like(a, matMulShape(a.shape, b.shape, reject), y_zero_point.dtype) }),
  cost: ({ a }, { y }) => requantized(matMulCost(a, y), numel(y.shape)),
  channels: (call) => [...matMulLinks(call, 0, 3), ...perColumn(call, [4, 5])],
});

export const matMulInteger = defineOp({
  type: "MatMulInteger",
  since: 10,
  inputs: ["A", "B", "a_zero_point?", "b_zero_point?"],
  outputs: ["Y"],
  infer: ({ A, B }, { reject }) => ({ Y: like(A, matMulShape(A.shape, B.shape, reject), "int32") }),
  cost: ({ A }, { Y }) => matMulCost(A, Y),
  channels: (call) => [...matMulLinks(call), ...perColumn(call, [3])],
});
