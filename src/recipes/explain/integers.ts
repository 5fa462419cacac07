import type { DataType, Tensor } from "../../ir/index.ts";
import { toNumbers, typedArray } from "../../ir/index.ts";

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

export interface Grid {
  readonly scale: number;
  readonly zeroPoint: number;
  readonly dtype: DataType;
}

/** The reals that the integers of a grid stand for, at both ends. */
export function representableRange({ scale, zeroPoint, dtype }: Grid): readonly [number, number] {
  const [low, high] = integerRange(dtype);
  return [(low - zeroPoint) * scale, (high - zeroPoint) * scale];
}

/** A tensor's reals, dequantized where it is integers. */
export function realsOf(tensor: Tensor, grid: Grid | undefined): ArrayLike<number> {
  const stored = integersIn(tensor);
  if (!grid || tensor.dtype === "float32") return stored;
  const reals = new Float32Array(stored.length);
  const { scale, zeroPoint } = grid;
  for (let i = 0; i < reals.length; i++) reals[i] = ((stored[i] as number) - zeroPoint) * scale;
  return reals;
}
