import type { DataType, Tensor } from "../../ir/index.ts";
import { toNumbers, typedArray } from "../../ir/index.ts";
import { channelLayout } from "../../passes/quantize/parameters.ts";

const ranges: Partial<Record<DataType, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
  uint4: [0, 15],
  int4: [-8, 7],
};

/** Smallest and largest integer of a type that activations or weights are stored in. */
export function integerRange(dtype: DataType): readonly [number, number] {
  const range = ranges[dtype];
  if (!range) throw new Error(`internal: ${dtype} stores no quantized values`);
  return range;
}

/** Stored integers as something that can be indexed. */
export const integersIn = (tensor: Tensor): ArrayLike<number> =>
  tensor.dtype === "int4" || tensor.dtype === "uint4" ? toNumbers(tensor) : (typedArray(tensor) as unknown as ArrayLike<number>);

/** How integers stand for reals: real = (q − zero point)·scale, with one scale, or one per channel along `axis`. */
export interface Grid {
  readonly scales: readonly number[];
  /** As many as scales. */
  readonly zeroPoints: readonly number[];
  readonly axis: number | undefined;
  readonly dtype: DataType;
}

/** A stretch of elements with one scale. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly scale: number;
  readonly zeroPoint: number;
}

/** The elements of a tensor in stretches that share a scale. */
export function* runsOf({ scales, zeroPoints, axis }: Grid, shape: readonly number[]): Generator<Run> {
  const { channels, inner } = channelLayout(shape, scales.length > 1 ? axis : undefined);
  const size = shape.reduce((a, b) => a * b, 1);
  for (let start = 0, channel = 0; start < size; start += inner, channel = channel + 1 === channels ? 0 : channel + 1)
    yield { start, end: start + inner, scale: scales[channel] as number, zeroPoint: zeroPoints[channel] ?? 0 };
}

/** The reals that the integers of a grid stand for, at both ends; of the channel that reaches farthest. */
export function representableRange({ scales, zeroPoints, dtype }: Grid): readonly [number, number] {
  const [low, high] = integerRange(dtype);
  const ends = scales.map((scale, c) => [(low - (zeroPoints[c] ?? 0)) * scale, (high - (zeroPoints[c] ?? 0)) * scale] as const);
  return [Math.min(...ends.map(([from]) => from)), Math.max(...ends.map(([, to]) => to))];
}

/** A tensor's reals, dequantized where it is integers. */
export function realsOf(tensor: Tensor, grid: Grid | undefined): ArrayLike<number> {
  const stored = integersIn(tensor);
  if (!grid || tensor.dtype === "float32") return stored;
  const reals = new Float32Array(stored.length);
  for (const { start, end, scale, zeroPoint } of runsOf(grid, tensor.shape))
    for (let i = start; i < end; i++) reals[i] = ((stored[i] as number) - zeroPoint) * scale;
  return reals;
}
