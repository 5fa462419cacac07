import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";
import { type ConvGeometry, positions, trimmed } from "./conv.ts";

const spatialAxes = (g: ConvGeometry): readonly number[] => g.strides.map((_, i) => i + 2);
export const taps = (g: ConvGeometry): number => positions(g.w);

/** x with its padding made real. */
export function padded(b: GraphBuilder, g: ConvGeometry, x: Value): Value {
  const { x: cut, pads } = trimmed(b, g, x);
  const rank = g.strides.length;
  if (pads.every((pad) => pad === 0)) return cut;
  return b.op("Pad", [cut, b.ints([0, 0, ...pads.slice(0, rank), 0, 0, ...pads.slice(rank)])]);
}

/** What each kernel tap reads, in the kernel's order: [.., …y] slices of the padded input with the spatial axes from 2 on. */
export function tapSlices(b: GraphBuilder, g: ConvGeometry, source: Value): readonly Value[] {
  const kernel = g.w.slice(2);
  const offsets = kernel.reduce<number[][]>(
    (all, k) => all.flatMap((at) => Array.from({ length: k }, (_, i) => [...at, i])),
    [[]],
  );
  const axes = spatialAxes(g);
  return offsets.map((offset) => {
    const starts = offset.map((k, i) => k * (g.dilations[i] as number));
    const ends = starts.map((start, i) => start + ((g.y[i + 2] as number) - 1) * (g.strides[i] as number) + 1);
    const whole = ends.every((end, i) => starts[i] === 0 && end === b.shape(source)[i + 2] && g.strides[i] === 1);
    return whole ? source : b.op("Slice", [source, b.ints(starts), b.ints(ends), b.ints(axes), b.ints(g.strides)]);
  });
}
