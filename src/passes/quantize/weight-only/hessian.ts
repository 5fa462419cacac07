import { type BlockedWeight, dequantizeBlocks } from "./blocks.ts";
import type { Matrix } from "./round.ts";

/**
 * The upper triangular U with U^T U = (H + λ·mean(diag H)·I)^−1, or undefined where rounding makes that impossible. `order` lists the
 * columns in the order in which they will be rounded. Columns that meet no input get 1 on the diagonal.
 */
export function inverseFactor(
  gram: Float64Array,
  columns: number,
  damping: number,
  order: Int32Array | undefined,
): Float64Array | undefined {
  const n = columns;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += gram[i * (n + 1)] as number;
  const ridge = (damping * trace) / n;
  const h = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const from = (order ? (order[i] as number) : i) * n;
    for (let j = 0; j < n; j++) h[i * n + j] = gram[from + (order ? (order[j] as number) : j)] as number;
    h[i * (n + 1)] = ((h[i * (n + 1)] as number) || 1) + ridge;
  }
  return reverseCholesky(h, n) ? invertUpper(h, n) : undefined;
}

/** H = R·R^T with R upper triangular, in place (the lower part is left as it is); false where H is not positive definite. */
function reverseCholesky(h: Float64Array, n: number): boolean {
  for (let j = n - 1; j >= 0; j--) {
    let pivot = h[j * n + j] as number;
    for (let k = j + 1; k < n; k++) pivot -= (h[j * n + k] as number) ** 2;
    if (!(pivot > 0)) return false;
    const root = Math.sqrt(pivot);
    h[j * n + j] = root;
    for (let i = 0; i < j; i++) {
      let sum = h[i * n + j] as number;
      for (let k = j + 1; k < n; k++) sum -= (h[i * n + k] as number) * (h[j * n + k] as number);
      h[i * n + j] = sum / root;
    }
  }
  return true;
}

/** R^−1 of an upper triangular R. */
function invertUpper(r: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    inverse[i * n + i] = 1;
    for (let k = i; k < n; k++) {
      const value = (inverse[i * n + k] as number) / (r[k * n + k] as number);
      inverse[i * n + k] = value;
      if (value !== 0)
        for (let j = k + 1; j < n; j++) inverse[i * n + j] = (inverse[i * n + j] as number) - value * (r[k * n + j] as number);
    }
  }
  return inverse;
}

/** Rows of `matrix` picked evenly, so that errors of large matrices are estimated in bounded time; the matrix itself where it is small. */
export function sampledRows({ rows, columns, values }: Matrix, multiplications: number): Matrix {
  const wanted = Math.max(16, Math.floor(multiplications / columns ** 2));
  if (wanted >= rows) return { rows, columns, values };
  const picked = new Float32Array(wanted * columns);
  for (let i = 0; i < wanted; i++) {
    const row = Math.floor((i * rows) / wanted);
    picked.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
  }
  return { rows: wanted, columns, values: picked };
}

/** Σ over rows of e^T H e, e = given − original: the squared error of all products with the calibration input. Without H: Σ e². */
export function outputError(
  given: Float32Array,
  original: Float32Array,
  columns: number,
  gram: Float64Array | undefined,
): number {
  const e = new Float64Array(columns);
  let total = 0;
  for (let start = 0; start < original.length; start += columns) {
    for (let i = 0; i < columns; i++) e[i] = (given[start + i] as number) - (original[start + i] as number);
    for (let i = 0; i < columns; i++) {
      const value = e[i] as number;
      if (value === 0) continue;
      if (!gram) {
        total += value * value;
        continue;
      }
      // H is symmetric: the diagonal once, what is right of it twice
      let sum = 0;
      for (let j = i + 1; j < columns; j++) sum += (gram[i * columns + j] as number) * (e[j] as number);
      total += value * (2 * sum + (gram[i * columns + i] as number) * value);
    }
  }
  return Math.max(total, 0);
}

/** The output error of a stored matrix relative to the output itself, both squared; 0 where the output is nothing. */
export function relativeError(stored: BlockedWeight, original: Matrix, gram: Float64Array | undefined): number {
  const error = outputError(dequantizeBlocks(stored), original.values, original.columns, gram);
  const signal = outputError(new Float32Array(original.values.length), original.values, original.columns, gram);
  return signal > 0 ? error / signal : 0;
}
