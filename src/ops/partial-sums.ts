import type { PartialSumCall, PartialSums } from "./define.ts";

const magnitudes = ({ inputs, op }: PartialSumCall) => inputs.map((input) => input && floatMagnitude(input, op));

/** Axes, pads and counts are integers and stay what they are. */
const floatMagnitude = (input: NonNullable<PartialSumCall["inputs"][number]>, op: PartialSumCall["op"]) =>
  input.type?.dtype === "float32" ? op("Abs", [input]) : input;

/** Sums of products and plain sums: the op itself on magnitudes, Σ|a·b|. */
export const sumOfMagnitudes: PartialSums = (call) => call.copy(magnitudes(call));

/** Means add up before they divide: the mean of magnitudes times the number of terms. */
export const sumBeforeMean: PartialSums = (call) => {
  const [input] = call.inputs;
  if (!input) return undefined;
  const mean = call.copy(magnitudes(call));
  const size = (of: typeof input) => call.op("Cast", [call.op("Size", [of])], { to: 1 });
  return call.op("Mul", [mean, call.op("Div", [size(input), size(mean)])]);
};

/** A window of fixed extents: padding makes terms fewer, never more. */
export const sumBeforeWindowMean: PartialSums = (call) => {
  const terms = (call.attributes.kernel_shape as readonly number[]).reduce((a, b) => a * b, 1);
  const count = call.op("Cast", [call.ints([terms])], { to: 1 });
  return call.op("Mul", [call.copy(magnitudes(call)), count]);
};

/** Squares of the first input, summed over the axes that `axes` gives. */
export const sumOfSquares =
  (axes: (attributes: Readonly<Record<string, unknown>>, rank: number) => readonly number[]): PartialSums =>
  ({ inputs: [input], attributes, rank, op, ints }) =>
    input && rank !== undefined ? op("ReduceSumSquare", [input, ints(axes(attributes, rank))], { keepdims: 1 }) : undefined;

/** From `axis` to the last one, as LayerNormalization counts. */
export const trailingAxes = (attributes: Readonly<Record<string, unknown>>, rank: number): number[] => {
  const axis = Number(attributes.axis ?? -1);
  const first = axis < 0 ? axis + rank : axis;
  return Array.from({ length: rank - first }, (_, i) => first + i);
};

/** Everything behind batch and channel. */
export const spatialAxes = (_: unknown, rank: number): number[] =>
  Array.from({ length: Math.max(0, rank - 2) }, (__, i) => i + 2);

export const onlyAxis = (attributes: Readonly<Record<string, unknown>>): number[] => [Number(attributes.axis ?? -1)];

/** A reduction whose result is not the sum itself (its root, its logarithm): the squares over the same axes. */
export const squaresReduced: PartialSums = ({ inputs: [input, axes], attributes, op }) => {
  if (!input) return undefined;
  const { keepdims, noop_with_empty_axes } = attributes as Record<string, number>;
  return op("ReduceSumSquare", axes ? [input, axes] : [input], {
    ...(keepdims === undefined ? {} : { keepdims }),
    ...(noop_with_empty_axes === undefined ? {} : { noop_with_empty_axes }),
  });
};
