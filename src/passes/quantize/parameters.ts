import { fromTypedArray, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import type { Range } from "./ranges.ts";
import { integerBounds, type QuantizationRow } from "./row.ts";

/** Scale and zero point of a tensor quantized as a whole: real = (q - zeroPoint) * scale. */
export interface TensorParameters {
  readonly scale: number;
  readonly zeroPoint: number;
  readonly dtype: "uint8" | "int8";
}

/** The smallest scale that keeps s_x·s_w a normal float32 whatever it meets. */
const leastScale = 2 ** -40;

/** The smallest power of two that is not below `scale`, but for a rounding error. */
export const powerOfTwoAbove = (scale: number): number => 2 ** Math.ceil(Math.log2(scale) - 1e-4);

/** Parameters that cover a range; zero maps to an integer exactly (ONNX QuantizeLinear semantics). */
export function activationParameters(
  range: Range,
  { dtype, symmetric, powerOfTwo }: QuantizationRow["activation"],
): TensorParameters {
  const [low, high] = integerBounds(dtype, { narrow: symmetric });
  const grid = (scale: number): number => Math.fround(Math.max(powerOfTwo ? powerOfTwoAbove(scale) : scale, leastScale));
  if (symmetric) {
    const middle = dtype === "uint8" ? 128 : 0;
    return { scale: grid(Math.max(-range.min, range.max) / (high - middle)), zeroPoint: middle, dtype };
  }
  const scale = grid((range.max - range.min) / (high - low));
  return { scale, zeroPoint: clamp(roundEven(low - range.min / scale), low, high), dtype };
}

/** The reals that the integers stand for, at both ends. */
export function representable({ scale, zeroPoint, dtype }: TensorParameters): Range {
  const [low, high] = integerBounds(dtype);
  return { min: (low - zeroPoint) * scale, max: (high - zeroPoint) * scale };
}

export const clamp = (x: number, low: number, high: number): number => (x < low ? low : x > high ? high : x);

/** Rounds half to even, as QuantizeLinear does. */
export function roundEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest < 0.5) return down;
  if (rest > 0.5) return down + 1;
  return down % 2 === 0 ? down : down + 1;
}

export interface QuantizedWeight {
  readonly tensor: Tensor;
  /** One entry, or one per channel. */
  readonly scales: Float32Array;
  /** Undefined: one scale for the whole tensor. */
  readonly axis: number | undefined;
}

/** Largest magnitude of a weight's integers: 127 for 8 bits, 63 where the range is reduced, 2^(bits − 1) − 1 for fewer bits. */
export const weightLimit = (reduced: boolean, bits = 8): number =>
  Math.min(integerBounds("int8", { narrow: true, reduced })[1], 2 ** (bits - 1) - 1);

/** Symmetric weight scales from the largest magnitude, per channel along `axis` or for the whole tensor. */
export function weightScales(weight: Tensor, axis: number | undefined, reduced: boolean, bits = 8): Float32Array {
  const values = toFloat32(weight);
  const limit = weightLimit(reduced, bits);
  const { channels, inner } = channelLayout(weight.shape, axis);
  const largest = new Float32Array(channels);
  for (let i = 0; i < values.length; i++) {
    const channel = Math.floor(i / inner) % channels;
    const magnitude = Math.abs(values[i] as number);
    if (magnitude > (largest[channel] as number)) largest[channel] = magnitude;
  }
  return largest.map((magnitude) => Math.max(magnitude / limit, leastScale));
}

export interface BestScaleOptions {
  readonly reduced?: boolean;
  readonly bits?: number;
  readonly powerOfTwo?: boolean | undefined;
}

/**
 * Weight scales with the least squared rounding error, per channel along `axis` or for the whole tensor: searched over 60 fractions (from
 * a quarter) of the scale that covers the largest magnitude, or over it and the next three powers of two below.
 */
export function bestWeightScales(weight: Tensor, axis: number | undefined, options: BestScaleOptions = {}): Float32Array {
  const { reduced = false, bits = 8, powerOfTwo = false } = options;
  const values = toFloat32(weight);
  const limit = weightLimit(reduced, bits);
  const { channels, inner } = channelLayout(weight.shape, axis);
  const widest = weightScales(weight, axis, reduced, bits).map((scale) => (powerOfTwo ? powerOfTwoAbove(scale) : scale));
  const fractions = powerOfTwo ? [1, 0.5, 0.25, 0.125] : Array.from({ length: 60 }, (_, i) => (80 - i) / 80);
  const least = new Float64Array(channels).fill(Number.POSITIVE_INFINITY);
  const best = widest.slice();
  for (const fraction of fractions) {
    const scales = widest.map((scale) => Math.max(scale * fraction, leastScale));
    const errors = roundingErrors(values, scales, { channels, inner, limit });
    for (let c = 0; c < channels; c++) {
      if ((errors[c] as number) >= (least[c] as number)) continue;
      least[c] = errors[c] as number;
      best[c] = scales[c] as number;
    }
  }
  return best;
}

/** Squared rounding error of each channel. */
function roundingErrors(
  values: Float32Array,
  scales: Float32Array,
  { channels, inner, limit }: { channels: number; inner: number; limit: number },
): Float64Array {
  const errors = new Float64Array(channels);
  for (let start = 0, c = 0; start < values.length; start += inner, c = c + 1 === channels ? 0 : c + 1) {
    const scale = scales[c] as number;
    let error = 0;
    for (let i = start; i < start + inner; i++) {
      const value = values[i] as number;
      const difference = clamp(Math.round(value / scale), -limit, limit) * scale - value;
      error += difference * difference;
    }
    errors[c] = (errors[c] as number) + error;
  }
  return errors;
}

export function channelLayout(shape: readonly number[], axis: number | undefined): { channels: number; inner: number } {
  if (axis === undefined)
    return {
      channels: 1,
      inner: Math.max(
        1,
        shape.reduce((a, b) => a * b, 1),
      ),
    };
  return { channels: shape[axis] as number, inner: shape.slice(axis + 1).reduce((a, b) => a * b, 1) };
}

/** Rounds weights to int8 with the given scales. */
export function quantizeWeight(
  weight: Tensor,
  scales: Float32Array,
  axis: number | undefined,
  reduced: boolean,
  bits = 8,
): QuantizedWeight {
  const values = toFloat32(weight);
  const high = weightLimit(reduced, bits);
  const low = -high;
  const { channels, inner } = channelLayout(weight.shape, axis);
  const integers = new Int8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const scale = scales[channels === 1 ? 0 : Math.floor(i / inner) % channels] as number;
    integers[i] = clamp(roundEven((values[i] as number) / scale), low, high);
  }
  return { tensor: fromTypedArray("int8", weight.shape, integers), scales, axis };
}

/** Any constant quantized as an activation is. */
export function quantizeTensor(tensor: Tensor, { scale, zeroPoint, dtype }: TensorParameters): Tensor {
  const [low, high] = integerBounds(dtype);
  return tensorOf(
    dtype,
    tensor.shape,
    Array.from(toFloat32(tensor), (x) => clamp(roundEven(x / scale) + zeroPoint, low, high)),
  );
}

const int32Limit = 2 ** 31 - 1;

/**
 * The bias grid is s_x·s_w[c] in int32. A channel whose weights are all but zero has so small a scale that its bias would saturate;
 * such scales are raised until the bias fits with a factor of two to spare.
 */
export function fitScalesToBias(scales: Float32Array, bias: Tensor, inputScale: number): Float32Array {
  const values = toFloat32(bias);
  return scales.map((scale, c) =>
    Math.max(scale, Math.abs(values[scales.length === 1 ? 0 : c] ?? 0) / (inputScale * (int32Limit / 2))),
  );
}

export function quantizeBias(bias: Tensor, inputScale: number, scales: Float32Array): { tensor: Tensor; scales: Float32Array } {
  const biasScales = scales.map((scale) => Math.fround(inputScale * scale));
  const integers = Int32Array.from(toFloat32(bias), (x, c) =>
    clamp(roundEven(x / (biasScales[biasScales.length === 1 ? 0 : c] as number)), -int32Limit, int32Limit),
  );
  return { tensor: fromTypedArray("int32", bias.shape, integers), scales: biasScales };
}
