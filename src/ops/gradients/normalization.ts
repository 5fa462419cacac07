import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

interface Normalized {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly scale: Value;
  readonly dy: Value;
  /** Mean and 1/√(variance + ε) of each row. */
  readonly mean: Value;
  readonly inverse: Value;
  readonly axis: number;
}

/**
 * Layer normalization over the axes from `axis` on: with g = dy·scale and x̂ = (x − mean)·inverse,
 * dx = inverse·(g − mean(g) − x̂·mean(g·x̂)) (Ba et al., "Layer Normalization", 2016).
 */
export function layerNormalizationGradient({ b, x, scale, dy, mean, inverse, axis }: Normalized) {
  const axes = b.shape(x).flatMap((_, i) => (i >= axis ? [i] : []));
  const normalized = b.mul(b.sub(x, mean), inverse);
  const g = b.mul(dy, scale);
  const inner = b.sub(b.sub(g, b.reduceMean(g, axes)), b.mul(normalized, b.reduceMean(b.mul(g, normalized), axes)));
  return { dx: () => b.mul(inner, inverse), dScale: () => b.sumTo(b.mul(dy, normalized), b.shape(scale)) };
}

interface Stored {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly scale: Value;
  readonly mean: Value;
  readonly variance: Value;
  readonly epsilon: number;
  readonly dy: Value;
}

/** Batch normalization with stored statistics: an affine map per channel (axis 1). All gradients per channel are of shape [C]. */
export function storedNormalizationGradient({ b, x, scale, mean, variance, epsilon, dy }: Stored) {
  const shape = b.shape(x);
  const perChannel = shape.map((_, i) => (i === 1 ? (shape[1] as number) : 1));
  const axes = shape.flatMap((_, i) => (i === 1 ? [] : [i]));
  const inverse = b.reciprocal(b.sqrt(b.add(variance, epsilon)));
  const factor = b.mul(scale, inverse);
  const sum = (v: Value): Value => b.reduceSum(v, axes, false);
  const centred = (): Value => sum(b.mul(dy, b.sub(x, b.reshape(mean, perChannel))));
  return {
    X: () => b.mul(dy, b.reshape(factor, perChannel)),
    scale: () => b.mul(centred(), inverse),
    B: () => sum(dy),
    input_mean: () => b.neg(b.mul(factor, sum(dy))),
    input_var: () => b.mul(b.mul(b.mul(factor, b.square(inverse)), centred()), -0.5),
  };
}

/** y by the batch's own mean and (biased) variance per channel, by primitives. */
export function normalizedByBatch(b: GraphBuilder, x: Value, scale: Value, shift: Value, epsilon: number) {
  const shape = b.shape(x);
  const perChannel = shape.map((_, i) => (i === 1 ? (shape[1] as number) : 1));
  const axes = shape.flatMap((_, i) => (i === 1 ? [] : [i]));
  const mean = b.reduceMean(x, axes);
  const centred = b.sub(x, mean);
  const variance = b.reduceMean(b.square(centred), axes);
  const factor = b.div(b.reshape(scale, perChannel), b.sqrt(b.add(variance, epsilon)));
  const channels = [shape[1] as number];
  return {
    y: b.add(b.mul(centred, factor), b.reshape(shift, perChannel)),
    mean: b.reshape(mean, channels),
    variance: b.reshape(variance, channels),
  };
}

interface LayerNormalized {
  readonly x: Value;
  readonly scale: Value;
  readonly shift: Value | undefined;
  readonly axis: number;
  readonly epsilon: number;
}

/** Layer normalization by primitives, with its statistics. */
export function layerNormalized(b: GraphBuilder, { x, scale, shift, axis, epsilon }: LayerNormalized) {
  const axes = b.shape(x).flatMap((_, i) => (i >= axis ? [i] : []));
  const mean = b.reduceMean(x, axes);
  const centred = b.sub(x, mean);
  const inverse = b.reciprocal(b.sqrt(b.add(b.reduceMean(b.square(centred), axes), epsilon)));
  const scaled = b.mul(b.mul(centred, inverse), scale);
  return { Y: shift ? b.add(scaled, shift) : scaled, Mean: mean, InvStdDev: inverse };
}
