import type { ChannelLink, PortAxis } from "./define.ts";

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
