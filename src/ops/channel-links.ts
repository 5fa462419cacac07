import type { Shape } from "../ir/index.ts";
import type { ChannelCall, ChannelLink, OpDef, PortAxis } from "./define.ts";

export const input = (index: number, axis: number): PortAxis => ({ port: "input", index, axis });
export const output = (index: number, axis: number): PortAxis => ({ port: "output", index, axis });
export const link = (a: PortAxis, b: PortAxis): ChannelLink => ({ a, b });

/** Links every axis of input 0 with the same axis of output 0, except those that `mixes` says the op mixes along. */
export const sameAxes = (
  rank: number | undefined,
  mixes: (axis: number) => boolean,
  inputIndex = 0,
  outputIndex = 0,
): ChannelLink[] =>
  Array.from({ length: rank ?? 0 }, (_, axis) => axis)
    .filter((axis) => !mixes(axis))
    .map((axis) => link(input(inputIndex, axis), output(outputIndex, axis)));

export const fromEnd = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** The links of one call, whichever way the record states them; none where a channel does not get through. */
export function channelLinks(op: OpDef, call: ChannelCall): readonly ChannelLink[] {
  if (op.channels === "barrier") return [];
  if (op.channels !== "elementwise") return op.channels(call);
  return call.outputShapes.flatMap((shape, index) =>
    shape ? call.inputShapes.flatMap((from, i) => broadcastLinks(from, i, shape, index)) : [],
  );
}

/** Axes meet from the right; an axis of extent 1 serves every index of the output and is not cut with it. */
function broadcastLinks(from: Shape | undefined, inputIndex: number, to: Shape, outputIndex: number): ChannelLink[] {
  if (!from) return [];
  const shift = to.length - from.length;
  return from.flatMap((dim, axis) =>
    dim === 1 && to[axis + shift] !== 1 ? [] : [link(input(inputIndex, axis), output(outputIndex, axis + shift))],
  );
}
