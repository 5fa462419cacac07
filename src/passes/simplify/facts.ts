import {
  type DataType,
  type Dim,
  isFloat,
  isStatic,
  type Node,
  type Shape,
  type Tensor,
  toNumbers,
  type Value,
} from "../../ir/index.ts";

/** The tensor behind a value that no caller can change (an initializer that is also an input can be overridden). */
export const constantOf = (value: Value | undefined): Tensor | undefined =>
  value?.constant && !value.producer && !value.isGraphInput ? value.constant : undefined;

export const shapeOf = (value: Value | undefined): Shape | undefined => value?.constant?.shape ?? value?.type?.shape;
export const staticShapeOf = (value: Value | undefined): readonly number[] | undefined => {
  const shape = shapeOf(value);
  return isStatic(shape) ? shape : undefined;
};
export const rankOf = (value: Value | undefined): number | undefined => shapeOf(value)?.length;
export const dtypeOf = (value: Value | undefined): DataType | undefined => value?.constant?.dtype ?? value?.type?.dtype;
export const isFloatValue = (value: Value | undefined): boolean => {
  const dtype = dtypeOf(value);
  return dtype !== undefined && isFloat(dtype);
};

/** Numbers of a constant that is small enough to look at (shapes, axes, scalars); undefined otherwise. */
export function numbersOf(value: Value | undefined, limit = 4096): readonly number[] | undefined {
  const tensor = constantOf(value);
  return tensor && tensor.dtype !== "string" && tensor.size <= limit ? toNumbers(tensor) : undefined;
}

/** The number in a constant of one element. */
export function scalarOf(value: Value | undefined): number | undefined {
  const tensor = constantOf(value);
  return tensor && tensor.size === 1 && tensor.dtype !== "string" ? toNumbers(tensor)[0] : undefined;
}

/** Equality up to float32 rounding of a constant that was written down in decimal. */
export const isClose = (value: number | undefined, expected: number, relative = 1e-4): boolean =>
  value !== undefined && Math.abs(value - expected) <= relative * Math.abs(expected);

/** The producer of a value when it is a standard op of one of these types. */
export function producerOf(value: Value | undefined, ...types: readonly string[]): Node | undefined {
  const node = value?.producer;
  return node && node.domain === "" && types.includes(node.opType) ? node : undefined;
}

/** Splits a two-input node into its constant and its other input; undefined unless exactly one is constant. */
export function constantOperand(node: Node): { constant: Tensor; constantIndex: 0 | 1; other: Value } | undefined {
  const [a, b] = node.inputs;
  const [left, right] = [constantOf(a), constantOf(b)];
  if (right && a && !left) return { constant: right, constantIndex: 1, other: a };
  if (left && b && !right) return { constant: left, constantIndex: 0, other: b };
  return undefined;
}

/** Counts negative axes from the end and sorts; undefined when one is out of range. */
export function normalizeAxes(axes: readonly number[], rank: number): number[] | undefined {
  const positive = axes.map((axis) => (axis < 0 ? axis + rank : axis));
  return positive.every((axis) => axis >= 0 && axis < rank) ? positive.sort((a, b) => a - b) : undefined;
}

/** Axes of a reduction, Squeeze or Unsqueeze: an input in newer opsets, an attribute in older; `undefined`: not given or not constant. */
export const axesOf = (node: Node): readonly number[] | undefined => node.ints("axes") ?? numbersOf(node.inputs[1]);

/** Trailing-aligned dims of a constant against a tensor of `rank` axes, left-filled with 1; undefined when it has more axes. */
export function alignShape(shape: readonly number[], rank: number): readonly number[] | undefined {
  return shape.length > rank ? undefined : [...Array<number>(rank - shape.length).fill(1), ...shape];
}

/** Whether a constant of this shape broadcasts into `shape` without making it larger. */
export function broadcastsInto(shape: readonly number[], into: Shape | undefined): boolean {
  if (!into) return false;
  const aligned = alignShape(shape, into.length);
  return aligned?.every((dim, axis) => dim === 1 || dim === into[axis]) ?? false;
}

/** A constant that varies along one axis at most, as `channels` numbers; undefined when it varies elsewhere or grows the tensor. */
export function perChannel(constant: Tensor, rank: number, axis: number, channels: number): number[] | undefined {
  const aligned = alignShape(constant.shape, rank);
  if (!aligned?.every((dim, i) => dim === 1 || (i === axis && dim === channels))) return undefined;
  const numbers = toNumbers(constant);
  return numbers.length === channels ? numbers : Array<number>(channels).fill(numbers[0] as number);
}

/** Shapes that are equal, where at most one axis is unknown on either side: equal element counts make that one equal as well. */
export function sameShapeByCount(a: Shape | undefined, b: Shape | undefined): boolean {
  if (!a || !b || a.length !== b.length) return false;
  let unknown = 0;
  for (let axis = 0; axis < a.length; axis++) {
    const [x, y] = [a[axis] as Dim, b[axis] as Dim];
    if (x === 0 || y === 0) return false;
    if (x === y && x !== "?") continue;
    if (typeof x === "number" && typeof y === "number") return false;
    unknown++;
  }
  return unknown <= 1;
}

/** Whether an elementwise rewrite of `output` to a function of `x` keeps the shape: constants of one element can only add axes. */
export function sameRank(x: Value, output: Value): true | string {
  const rank = rankOf(x);
  return (rank !== undefined && rank === rankOf(output)) || "the rank is not known, or a constant adds axes";
}

/** The usual conditions of a rewrite to one elementwise op on floats. */
export const elementwiseFloat = (x: Value, output: Value): true | string =>
  isFloatValue(x) ? sameRank(x, output) : "the type is not known to be a float";
