import { type DataType, dataTypeCode, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";

/** 16-bit float types: IEEE 754 binary16, and the upper half of a float32. */
export const halfTypes = ["float16", "bfloat16"] as const;
export type HalfType = (typeof halfTypes)[number];

export interface HalfFacts {
  readonly dtype: HalfType;
  /** ONNX's number of the type. */
  readonly code: number;
  /** Largest finite number. */
  readonly largest: number;
  /** Below this, numbers lose bits, and some hardware takes them for zero. */
  readonly smallestNormal: number;
  /** Every whole number up to this one is exact. */
  readonly wholeNumbers: number;
}

const facts: Readonly<Record<HalfType, Omit<HalfFacts, "dtype" | "code">>> = {
  float16: { largest: 65504, smallestNormal: 2 ** -14, wholeNumbers: 2048 },
  bfloat16: { largest: 2 ** 128 - 2 ** 120, smallestNormal: 2 ** -126, wholeNumbers: 256 },
};

export const halfFacts = (dtype: HalfType): HalfFacts => ({ dtype, code: dataTypeCode(dtype), ...facts[dtype] });

/** The tensor in the 16-bit type; finite numbers beyond its range become the largest ones. */
export function toHalf(tensor: Tensor, { dtype, largest }: HalfFacts): Tensor {
  const values = toFloat32(tensor);
  const tooLarge = (value: number): boolean => Math.abs(value) > largest && Number.isFinite(value);
  return tensorOf(
    dtype,
    tensor.shape,
    values.some(tooLarge) ? values.map((v) => (tooLarge(v) ? Math.sign(v) * largest : v)) : values,
  );
}

/** Part of the sum of squares that rounding to the type may take away: a scalar off by 1 %. Normal numbers lose less than 1e-5 of it. */
const worstLoss = 1e-4;

/** Why a constant cannot be stored in the type; undefined when it can. Infinities are numbers of both types. */
export function constantProblem(tensor: Tensor, half: HalfFacts, clamps = false): string | undefined {
  const values = toFloat32(tensor);
  let [largest, energy] = [0, 0];
  for (const value of values) {
    if (Number.isNaN(value)) return "holds NaN";
    if (!Number.isFinite(value)) continue;
    const magnitude = Math.abs(value);
    if (magnitude > largest) largest = magnitude;
    energy += magnitude * magnitude;
  }
  if (largest === 0) return undefined;
  if (largest > half.largest)
    return clamps ? undefined : `reaches ${largest.toPrecision(4)}, beyond ${half.dtype}'s ${halfLimit(half)}`;
  const lost = lossOf(values, half) / energy;
  if (!(lost > worstLoss)) return undefined;
  return lost > 0.99
    ? `vanishes in ${half.dtype} (its largest entry is ${largest.toPrecision(3)})`
    : `loses ${(100 * Math.sqrt(lost)).toPrecision(2)} % in ${half.dtype} (its largest entry is ${largest.toPrecision(3)})`;
}

const halfLimit = ({ largest }: HalfFacts): string => (largest < 1e6 ? String(largest) : largest.toPrecision(4));

/** Sum of squared rounding errors. Squares of numbers below 1e-160 are zero in float64 too, but no float32 is that small. */
function lossOf(values: Float32Array, half: HalfFacts): number {
  const rounded = toFloat32(tensorOf(half.dtype, [values.length], values));
  let loss = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (Number.isFinite(value)) loss += (value - (rounded[i] as number)) ** 2;
  }
  return loss;
}

export const isFloat32 = (type: { readonly dtype: DataType } | undefined): boolean => type?.dtype === "float32";
