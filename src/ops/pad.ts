import { addDims, type Dim, isStatic, numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output, sameAxes } from "./channel-links.ts";
import { type ChannelCall, type ChannelLink, defineOp, sameScale } from "./define.ts";
import { contentsOf, fill, moves, small, stridesOf } from "./element-layout.ts";
import { movedBack, padGradient } from "./gradients/moves.ts";
import { anyOfRank, axisIndex, elementsOf, integersOf, like, type Reject, unranked } from "./type-rules.ts";

/** What Pad adds before and after each axis. */
function padsByAxis(rank: number, pads: readonly Dim[], axes: readonly number[], reject: Reject): { begin: Dim[]; end: Dim[] } {
  if (pads.length !== 2 * axes.length)
    reject(`pads has ${pads.length} entries where ${axes.length} axes need ${2 * axes.length}`);
  const begin: Dim[] = Array(rank).fill(0);
  const end: Dim[] = Array(rank).fill(0);
  axes.forEach((axis, i) => {
    const at = axisIndex(axis, rank, reject);
    begin[at] = pads[i] as Dim;
    end[at] = pads[i + axes.length] as Dim;
  });
  return { begin, end };
}

function padLinks({ inputShapes, inputElements }: ChannelCall): ChannelLink[] {
  const rank = inputShapes[0]?.length;
  const pads = inputElements?.[1];
  if (rank === undefined || !pads || inputShapes[3] || pads.length !== 2 * rank) return [];
  return Array.from({ length: rank }, (_, axis) => axis).flatMap((axis) => {
    const begin = pads[axis];
    const sound = typeof begin === "number" && begin >= 0 && Number(pads[axis + rank]) >= 0;
    return sound ? [{ ...link(input(0, axis), output(0, axis)), offset: begin }] : [];
  });
}

export const pad = defineOp({
  type: "Pad",
  since: 11,
  inputs: ["data", "pads", "constant_value?", "axes?"],
  outputs: ["output"],
  attributes: { mode: attr.string("constant") },
  infer({ data, pads, axes }, { reject }) {
    const { shape, dtype } = data;
    const listed = axes ? integersOf(axes) : shape?.map((_, i) => i);
    const amounts = elementsOf(pads);
    if (!shape) return { output: unranked(dtype) };
    if (!listed || !amounts) return { output: like(data, anyOfRank(shape.length)) };
    const { begin, end } = padsByAxis(shape.length, amounts, listed, reject);
    return {
      output: like(
        data,
        shape.map((dim, i) => addDims(dim, addDims(begin[i] as Dim, end[i] as Dim))),
      ),
    };
  },
  cost: moves,
  channels: padLinks,
  quantization: sameScale("data"),
  gradient: ({ b, inputs: { data, pads, constant_value, axes }, grads: { output: dy }, attributes: { mode }, wants }) => {
    if (!dy) return {};
    const inside = wants("data") || wants("constant_value") ? padGradient(b, data, { pads, axes, mode }, dy) : undefined;
    if (!constant_value || !wants("constant_value") || !inside) return { data: inside };
    // what does not come from the data comes from the fill
    const total = b.sub(b.reduceSum(dy, undefined, false), b.reduceSum(inside, undefined, false));
    return { data: inside, constant_value: b.reshape(total, b.shape(constant_value)) };
  },
});

/** Crops or pads axes, centred, to given extents. */
export const centerCropPad = defineOp({
  type: "CenterCropPad",
  since: 18,
  inputs: ["input_data", "shape"],
  outputs: ["output_data"],
  attributes: { axes: attr.ints() },
  infer({ input_data: data, shape: wanted }, { attributes, reject }) {
    const { shape, dtype } = data;
    if (!shape) return { output_data: unranked(dtype) };
    const axes = attributes.axes ?? shape.map((_, i) => i);
    const extents = elementsOf(wanted);
    if (extents && extents.length !== axes.length) reject(`shape has ${extents.length} entries for ${axes.length} axes`);
    const result = [...shape];
    axes.forEach((axis, i) => {
      result[axisIndex(axis, shape.length, reject)] = extents?.[i] ?? "?";
    });
    return { output_data: like(data, result) };
  },
  cost: moves,
  channels: "barrier",
  quantization: sameScale("input_data"),
  gradient: ({ b, inputs: { input_data: data, shape }, grads: { output_data: dy }, attributes: { axes } }) =>
    dy ? { input_data: movedBack(b, data, dy, (at) => b.op("CenterCropPad", [at, shape], { axes })) } : {},
});

/** Keeps a triangle of the last two axes, zero elsewhere. */
export const trilu = defineOp({
  type: "Trilu",
  since: 14,
  inputs: ["input", "k?"],
  outputs: ["output"],
  attributes: { upper: attr.int(1) },
  infer({ input: data }, { reject }) {
    if (data.shape && data.shape.length < 2) reject(`the input [${data.shape}] is no matrix`);
    return { output: like(data) };
  },
  cost: moves,
  // Where the triangle runs depends on the row and the column.
  channels: ({ inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    return sameAxes(rank, (axis) => axis >= rank - 2);
  },
  quantization: sameScale("input"),
  gradient: ({ b, inputs: { k }, grads: { output: dy }, attributes: { upper } }) =>
    dy ? { input: b.op("Trilu", [dy, k], { upper }) } : {},
});

/** Small contents of `data` repeated into `shape`, where index i of an axis comes from i modulo the old extent. */
export function repeatedElements(data: Parameters<typeof contentsOf>[0], shape: readonly Dim[]): readonly Dim[] | undefined {
  const contents = contentsOf(data);
  if (!contents || !small(shape) || !isStatic(shape) || numel(contents.shape) === 0) return undefined;
  const strides = stridesOf(contents.shape);
  const skipped = shape.length - contents.shape.length;
  return fill(shape, (at) => {
    const flat = contents.shape.reduce(
      (sum, extent, i) => sum + ((at[i + skipped] as number) % extent) * (strides[i] as number),
      0,
    );
    return contents.elements[flat] ?? "?";
  });
}
