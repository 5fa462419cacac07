import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

const from = (axis: number, rank: number): number[] => Array.from({ length: rank - axis }, (_, i) => axis + i);
const perChannel = (b: GraphBuilder, v: Value, rank: number): Value =>
  b.reshape(
    v,
    Array.from({ length: rank }, (_, i) => (i === 1 ? b.size(v) : 1)),
  );

/** (x − mean)/√(variance + ε) over `axes`. */
function standardized(b: GraphBuilder, x: Value, axes: readonly number[], epsilon: number): Value {
  const centred = b.sub(x, b.reduceMean(x, axes));
  return b.div(centred, b.sqrt(b.add(b.reduceMean(b.square(centred), axes), epsilon)));
}

export const instanceNormalized = (b: GraphBuilder, x: Value, scale: Value, shift: Value, epsilon: number): Value => {
  const rank = b.rank(x);
  return b.add(b.mul(standardized(b, x, from(2, rank), epsilon), perChannel(b, scale, rank)), perChannel(b, shift, rank));
};

/** Wu and He, "Group Normalization", 2018: channels in groups, each standardized with its positions. */
export function groupNormalized(b: GraphBuilder, x: Value, scale: Value, shift: Value, groups: number, epsilon: number): Value {
  const shape = b.shape(x);
  const [n, c] = shape as readonly [number, number];
  const split = b.reshape(x, [n, groups, (c / groups) * shape.slice(2).reduce((a, d) => a * d, 1)]);
  const normal = b.reshape(standardized(b, split, [2], epsilon), shape);
  return b.add(b.mul(normal, perChannel(b, scale, shape.length)), perChannel(b, shift, shape.length));
}

/** x/√(mean(x²) + ε)·scale (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019), and the factor. */
export function rmsNormalized(
  b: GraphBuilder,
  x: Value,
  scale: Value,
  axis: number,
  epsilon: number,
): { y: Value; inverse: Value } {
  const inverse = b.reciprocal(b.sqrt(b.add(b.reduceMean(b.square(x), from(axis, b.rank(x))), epsilon)));
  return { y: b.mul(b.mul(x, inverse), scale), inverse };
}

export function lpNormalized(b: GraphBuilder, x: Value, axis: number, p: number): Value {
  const norm = p === 1 ? b.reduceSum(b.abs(x), [axis]) : b.sqrt(b.reduceSum(b.square(x), [axis]));
  return b.div(x, b.op("Max", [norm, b.scalar(1e-12)]));
}

export const meanVarianceNormalized = (b: GraphBuilder, x: Value, axes: readonly number[]): Value =>
  standardized(b, x, axes, 1e-9);

/** x/(bias + α/size·Σ x² over a window of channels)^β: the window sum is an average pool over the channel axis. */
export function localResponse(b: GraphBuilder, x: Value, a: { size: number; alpha: number; beta: number; bias: number }): Value {
  const shape = b.shape(x);
  const [n, c] = shape as readonly [number, number];
  const positions = shape.slice(2).reduce((product, d) => product * d, 1);
  const before = Math.floor((a.size - 1) / 2);
  const squares = b.reshape(b.square(x), [n, 1, c, positions]);
  const means = b.op("AveragePool", [squares], {
    kernel_shape: [a.size, 1],
    pads: [before, 0, a.size - 1 - before, 0],
    count_include_pad: 1,
  });
  const base = b.add(b.mul(b.reshape(means, shape), a.alpha), a.bias);
  return b.mul(x, b.op("Pow", [base, b.scalar(-a.beta)]));
}

/** Blocks of channels into space: [N, C·s², H, W] → [N, C, H·s, W·s]. */
export function depthToSpaceBy(b: GraphBuilder, x: Value, size: number, mode: string): Value {
  const [n, c, h, w] = b.shape(x) as readonly [number, number, number, number];
  const channels = c / size ** 2;
  const split = mode === "CRD" ? [n, channels, size, size, h, w] : [n, size, size, channels, h, w];
  const order = mode === "CRD" ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  return b.reshape(b.transpose(b.reshape(x, split), order), [n, channels, h * size, w * size]);
}

export function spaceToDepthBy(b: GraphBuilder, x: Value, size: number, mode: string): Value {
  const [n, c, h, w] = b.shape(x) as readonly [number, number, number, number];
  const split = b.reshape(x, [n, c, h / size, size, w / size, size]);
  const order = mode === "CRD" ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
  return b.reshape(b.transpose(split, order), [n, c * size * size, h / size, w / size]);
}

/** An activation named by a fused op of onnxruntime's; "" is none. */
export function activated(b: GraphBuilder, x: Value, name: string, parameters: readonly number[] = []): Value {
  const [first, second] = parameters;
  switch (name) {
    case "":
      return x;
    case "LeakyRelu":
      return b.op(name, [x], { alpha: first });
    case "HardSigmoid":
      return b.op(name, [x], { alpha: first, beta: second });
    case "Clip":
      return b.op(name, [x, b.scalar(first ?? Number.NEGATIVE_INFINITY), b.scalar(second ?? Number.POSITIVE_INFINITY)]);
    default:
      return b.op(name, [x]);
  }
}
