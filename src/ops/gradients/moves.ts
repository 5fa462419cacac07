import { toNumbers, type Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

const fromEnd = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
/** Contents of a constant integer input: pads, axes, sizes. */
const integers = (value: Value | undefined): number[] | undefined => (value?.constant ? toNumbers(value.constant) : undefined);

/** dy under the input's shape. */
export const reshapedBack = (b: GraphBuilder, x: Value, dy: Value): Value => b.reshape(dy, b.shape(x));

/**
 * The gradient of any op that copies elements to other places (and fills the rest with zero): the op is applied to the elements' own
 * positions, counted from 1, and dy is added up at these positions; place 0 collects what was filled.
 */
export function movedBack(b: GraphBuilder, x: Value, dy: Value, apply: (positions: Value) => Value): Value {
  const shape = b.shape(x);
  const size = b.size(x);
  const ramp = b.op("Range", [b.scalar(1, "int64"), b.scalar(size + 1, "int64"), b.scalar(1, "int64")]);
  const positions = apply(b.reshape(ramp, shape));
  const count = b.size(dy);
  const sums = b.op("ScatterElements", [b.zeros([size + 1]), b.reshape(positions, [count]), b.reshape(dy, [count])], {
    axis: 0,
    reduction: "add",
  });
  return b.reshape(b.slice(sums, 0, 1, size + 1), shape);
}

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly count: number;
  readonly step: number;
}

/** What a Slice with constant bounds keeps of each axis; undefined when the bounds are computed. */
function cutsOf(b: GraphBuilder, data: Value, bounds: readonly (Value | undefined)[], y: Value): Cut[] | undefined {
  const [starts, , axes, steps] = bounds.map(integers);
  if (!starts || (bounds[2] && !axes) || (bounds[3] && !steps)) return undefined;
  const shape = b.shape(data);
  return starts.map((start, i) => {
    const axis = fromEnd(axes?.[i] ?? i, shape.length);
    const extent = shape[axis] as number;
    const step = steps?.[i] ?? 1;
    const from = start < 0 ? start + extent : start;
    const first = step > 0 ? Math.min(Math.max(from, 0), extent) : Math.min(Math.max(from, -1), extent - 1);
    return { axis, start: first, count: b.shape(y)[axis] as number, step };
  });
}

/** Zeros around and between: the gradient of a Slice with forward steps. */
function spread(b: GraphBuilder, dy: Value, { axis, start, count, step }: Cut, extent: number): Value {
  let spaced = dy;
  if (step > 1 && count > 1) {
    // [.., count, ..] → [.., count, step, ..] with zeros → [.., count·step, ..]
    const shape = b.shape(dy);
    const opened = b.reshape(dy, [...shape.slice(0, axis + 1), 1, ...shape.slice(axis + 1)]);
    spaced = b.reshape(padAxis(b, opened, axis + 1, 0, step - 1), [
      ...shape.slice(0, axis),
      count * step,
      ...shape.slice(axis + 1),
    ]);
  }
  const length = b.shape(spaced)[axis] as number;
  const beyond = start + length - extent;
  if (beyond > 0) spaced = b.slice(spaced, axis, 0, length - beyond);
  return padAxis(b, spaced, axis, start, Math.max(0, -beyond));
}

export function padAxis(b: GraphBuilder, x: Value, axis: number, before: number, after: number): Value {
  if (before === 0 && after === 0) return x;
  const rank = b.rank(x);
  const pads = new Array<number>(2 * rank).fill(0);
  pads[axis] = before;
  pads[axis + rank] = after;
  return b.op("Pad", [x, b.ints(pads)]);
}

/** Gradient of Slice. `bounds`: starts, ends, axes, steps. */
export function sliceGradient(b: GraphBuilder, data: Value, bounds: readonly (Value | undefined)[], y: Value, dy: Value): Value {
  const cuts = cutsOf(b, data, bounds, y);
  if (b.size(y) === 0) return b.zeros(b.shape(data));
  if (!cuts || cuts.some(({ step }) => step < 0)) return movedBack(b, data, dy, (at) => b.op("Slice", [at, ...bounds]));
  return cuts.reduce((part, cut) => spread(b, part, cut, b.shape(data)[cut.axis] as number), dy);
}

/** Gradient of Pad with respect to its data. */
export function padGradient(
  b: GraphBuilder,
  data: Value,
  { pads, axes, mode }: { pads: Value; axes: Value | undefined; mode: string },
  dy: Value,
): Value {
  const amounts = integers(pads);
  const listed = axes ? integers(axes) : b.shape(data).map((_, i) => i);
  const plain = mode === "constant" && amounts?.every((amount) => amount >= 0);
  if (!amounts || !listed || !plain) return movedBack(b, data, dy, (at) => b.op("Pad", [at, pads, undefined, axes], { mode }));
  const rank = b.rank(data);
  return listed.reduce((part, axis, i) => {
    const at = fromEnd(axis, rank);
    const start = amounts[i] as number;
    return b.slice(part, at, start, start + (b.shape(data)[at] as number));
  }, dy);
}

/** Pieces of dy along `axis`: the gradient of Concat. */
export function concatGradient(b: GraphBuilder, inputs: readonly Value[], axis: number, dy: Value): readonly Value[] {
  const at = fromEnd(axis, b.rank(dy));
  return b.split(
    dy,
    inputs.map((input) => b.shape(input)[at] as number),
    at,
  );
}

/**
 * Gradient of Gather: rows of dy are added up at the rows that they came from; equal indices are summed. The gathered axis goes to the
 * front, where ScatterND adds whole rows.
 */
export function gatherGradient(b: GraphBuilder, data: Value, indices: Value, axis: number, dy: Value): Value {
  const shape = b.shape(data);
  const at = fromEnd(axis, shape.length);
  const picked = b.shape(indices);
  const count = picked.reduce((a, dim) => a * dim, 1);
  const outer = shape.slice(0, at).reduce((a, dim) => a * dim, 1);
  const inner = shape.slice(at + 1).reduce((a, dim) => a * dim, 1);
  const rows = b.transpose(b.reshape(dy, [outer, count, inner]), outer === 1 ? [0, 1, 2] : [1, 0, 2]);
  const flat = b.reshape(b.cast(indices, "int64"), [count, 1]);
  const positive = b.op("Where", [b.op("Less", [flat, b.scalar(0, "int64")]), b.add(flat, shape[at] as number), flat]);
  const sums = b.op(
    "ScatterND",
    [b.zeros([shape[at] as number, outer * inner]), positive, b.reshape(rows, [count, outer * inner])],
    {
      reduction: "add",
    },
  );
  if (outer === 1) return b.reshape(sums, shape);
  return b.reshape(b.transpose(b.reshape(sums, [shape[at] as number, outer, inner]), [1, 0, 2]), shape);
}

/** Gradient of Tile: [d] repeated r times is [r, d]; the repeats are summed. */
export function tileGradient(b: GraphBuilder, x: Value, dy: Value): Value {
  const shape = b.shape(x);
  const split = shape.flatMap((dim, i) => [(b.shape(dy)[i] as number) / dim, dim]);
  return b.reshape(
    b.reduceSum(
      b.reshape(dy, split),
      shape.map((_, i) => 2 * i),
      false,
    ),
    shape,
  );
}
