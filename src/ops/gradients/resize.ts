import { toNumbers, type Value } from "../../ir/index.ts";
import type { Attributes, GraphBuilder } from "../builder.ts";

interface Resized {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly y: Value;
  readonly dy: Value;
  readonly scales: Value | undefined;
  readonly roi: Value | undefined;
  /** Of the Resize node, without `axes` and the aspect policy. */
  readonly attributes: Attributes;
  readonly axes: readonly number[];
}

/** Scale of each axis where scales were given: they, not the extents, decide the coordinates. */
function scaleOf({ b, scales, axes }: Resized, axis: number): number | undefined {
  const given = scales?.constant && b.size(scales) > 0 ? toNumbers(scales.constant) : undefined;
  const at = axes.indexOf(axis);
  return at < 0 ? undefined : given?.[at];
}

/** Part of the axis that tf_crop_and_resize reads. */
function regionOf({ b, roi, axes }: Resized, axis: number): readonly [number, number] {
  const given = roi?.constant && b.size(roi) > 0 ? toNumbers(roi.constant) : undefined;
  const at = axes.indexOf(axis);
  return given ? [given[at] as number, given[at + axes.length] as number] : [0, 1];
}

/** [in, out]: how much of each input entry every output entry takes, found by resizing the unit vectors. Constant: folded at load. */
function weights(call: Resized, axis: number, from: number, to: number): Value {
  const { b } = call;
  const unit = b.reshape(b.op("EyeLike", [b.zeros([from, from])], { dtype: 1 }), [1, 1, from, from]);
  const scale = scaleOf(call, axis);
  const [start, end] = regionOf(call, axis);
  const roi = b.floats([8], [0, 0, 0, start, 1, 1, 1, end]);
  const attributes = { ...call.attributes, extrapolation_value: 0 };
  const resized =
    scale === undefined
      ? b.op("Resize", [unit, roi, undefined, b.ints([1, 1, from, to])], attributes)
      : b.op("Resize", [unit, roi, b.floats([4], [1, 1, 1, scale])], attributes);
  return b.reshape(resized, [from, to]);
}

/**
 * Resize is a linear map along each axis in turn, so its gradient is the transposed map: a product with the axis' interpolation matrix,
 * whatever the mode. Enlarging by whole numbers to the nearest neighbour is a sum over blocks.
 */
export function resizeGradient(call: Resized): Value {
  const { b, x, y, dy } = call;
  const [from, to] = [b.shape(x), b.shape(y)];
  const changed = from.flatMap((dim, axis) => (dim !== to[axis] || (scaleOf(call, axis) ?? 1) !== 1 ? [axis] : []));
  if (blocks(call, from, to)) return blockSums(b, dy, from, to);
  return changed.reduce((part, axis) => {
    const rank = from.length;
    const matrix = weights(call, axis, from[axis] as number, to[axis] as number);
    if (axis === rank - 2) return b.matMul(matrix, part);
    const swap = Array.from({ length: rank }, (_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
    const product = b.matMul(b.transpose(part, swap), b.matrixTranspose(matrix));
    return b.transpose(product, swap);
  }, dy);
}

const blocks = ({ attributes }: Resized, from: readonly number[], to: readonly number[]): boolean =>
  attributes.mode === "nearest" &&
  attributes.coordinate_transformation_mode !== "align_corners" &&
  attributes.coordinate_transformation_mode !== "tf_crop_and_resize" &&
  (attributes.coordinate_transformation_mode === "asymmetric") === (attributes.nearest_mode === "floor") &&
  from.every((dim, i) => (to[i] as number) % dim === 0);

function blockSums(b: GraphBuilder, dy: Value, from: readonly number[], to: readonly number[]): Value {
  const split = from.flatMap((dim, i) => [dim, (to[i] as number) / dim]);
  const axes = from.flatMap((dim, i) => (dim === to[i] ? [] : [2 * i + 1]));
  return b.reshape(b.reduceSum(b.reshape(dy, split), axes, false), from);
}
