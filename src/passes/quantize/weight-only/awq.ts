import { type BlockFormat, dequantizeBlocks } from "./blocks.ts";
import { outputError } from "./hessian.ts";
import type { InputMoments } from "./moments.ts";
import { type Matrix, roundMatrix } from "./round.ts";

/** Exponents tried for the scales |x|^exponent. */
const exponents = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1] as const;

export interface InputScales {
  readonly exponent: number;
  /** What each input channel's weights are multiplied by, and the channel divided by: [columns]. */
  readonly scales: Float64Array;
}

/** Weights of all products with one input, scaled along the inner dimension. */
export const scaledMatrix = ({ rows, columns, values }: Matrix, scales: Float64Array): Matrix => ({
  rows,
  columns,
  values: values.map((value, i) => value * (scales[i % columns] as number)),
});

/**
 * Activation-aware scaling (Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", 2023): weights
 * of strong input channels are scaled up before rounding and the channels down, W x = (W s)(x / s), s = mean|x|^exponent. The exponent is
 * the one of a grid whose output error, with plain rounding, is least over all products with the input; undefined where none helps.
 */
export function searchInputScales(
  matrices: readonly Matrix[],
  moments: InputMoments,
  format: BlockFormat,
): InputScales | undefined {
  const signals = matrices.map((matrix) =>
    outputError(new Float32Array(matrix.values.length), matrix.values, matrix.columns, moments.gram),
  );
  let best: InputScales | undefined;
  let least = totalError(matrices, signals, moments, format, undefined);
  for (const exponent of exponents) {
    const scales = channelScales(moments, exponent);
    const error = totalError(matrices, signals, moments, format, scales);
    if (error < least) [best, least] = [{ exponent, scales }, error];
  }
  return best;
}

/** mean|x|^exponent, normalized so that the smallest and the largest are reciprocal; silent channels keep 1. */
function channelScales({ magnitudes, rows }: InputMoments, exponent: number): Float64Array {
  const raw = magnitudes.map((sum) => (sum / rows) ** exponent);
  const active = raw.filter((scale) => scale > 0);
  if (active.length === 0) return raw.fill(1);
  const [low, high] = active.reduce(([l, h], x) => [Math.min(l, x), Math.max(h, x)], [Number.POSITIVE_INFINITY, 0]);
  const norm = Math.sqrt((low as number) * (high as number));
  return raw.map((scale) => (scale > 0 ? Math.min(1e4, Math.max(1e-4, scale / norm)) : 1));
}

/** Sum over matrices of the output error relative to the output, in the terms of the unscaled input. */
function totalError(
  matrices: readonly Matrix[],
  signals: readonly number[],
  { gram }: InputMoments,
  format: BlockFormat,
  scales: Float64Array | undefined,
): number {
  return matrices.reduce((sum, matrix, m) => {
    const stored = dequantizeBlocks(roundMatrix(scales ? scaledMatrix(matrix, scales) : matrix, format, "rtn"));
    const back = scales ? stored.map((value, i) => value / (scales[i % matrix.columns] as number)) : stored;
    const signal = signals[m] as number;
    return sum + (signal > 0 ? outputError(back, matrix.values, matrix.columns, gram) / signal : 0);
  }, 0);
}
