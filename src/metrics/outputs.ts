import { isFloat, type Outputs, type Tensor, toFloat32 } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/** The output that a metric reads: the named one, or the only one, or the first of floating point. */
export function outputOf(outputs: Outputs, name: string | undefined): Tensor {
  const names = Object.keys(outputs);
  const chosen = name ?? (names.length === 1 ? names[0] : names.find((n) => isFloat((outputs[n] as Tensor).dtype)));
  const tensor = chosen === undefined ? undefined : outputs[chosen];
  if (tensor) return tensor;
  throw new EdgewrightError(
    "OUTPUT_UNKNOWN",
    name === undefined ? "The model gives no output that a metric can read." : `There is no output "${name}".`,
    { ...(name === undefined ? {} : { subject: name }), hint: `Outputs: ${names.join(", ") || "none"}.` },
  );
}

/** One sample's class scores: all elements of the output, batch and trailing unit axes dropped. */
export const scoresOf = (outputs: Outputs, name?: string): Float32Array => toFloat32(outputOf(outputs, name));

/** Index of the largest element, the first of equals; -1 when every element is NaN. */
export function argmax(values: ArrayLike<number>, start = 0, end = values.length): number {
  let best = -1;
  for (let i = start; i < end; i++)
    if (best < 0 ? !Number.isNaN(values[i]) : (values[i] as number) > (values[best] as number)) best = i;
  return best < 0 ? -1 : best - start;
}

/** Length of the rows that hold one distribution each: the last axis that is longer than 1 (everything, for rank 0 and 1). */
export function rowLength(shape: readonly number[]): number {
  for (let axis = shape.length - 1; axis >= 0; axis--) if ((shape[axis] as number) > 1) return shape[axis] as number;
  return 1;
}

/** Softmax with the usual shift by the maximum; float64 sums. */
export function softmax(logits: ArrayLike<number>): Float64Array {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i] as number);
  const result = Float64Array.from(logits, (logit) => Math.exp(logit - max));
  let sum = 0;
  for (const value of result) sum += value;
  for (let i = 0; i < result.length; i++) result[i] = (result[i] as number) / sum;
  return result;
}

/** Whether a row is a distribution already: none below zero, sum 1 within float16's rounding. */
export function isDistribution(row: ArrayLike<number>): boolean {
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    if (!((row[i] as number) >= 0)) return false;
    sum += row[i] as number;
  }
  return Math.abs(sum - 1) < 2e-3;
}

/** A row as a distribution: itself when it is one, else its softmax. */
export const distributionOf = (row: ArrayLike<number>): ArrayLike<number> => (isDistribution(row) ? row : softmax(row));
