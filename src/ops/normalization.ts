import { numel, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, input, link, output, sameAxes } from "./channel-links.ts";
import { type ChannelLink, calibrated, defineOp } from "./define.ts";
import {
  groupNormalized,
  instanceNormalized,
  localResponse,
  lpNormalized,
  meanVarianceNormalized,
  rmsNormalized,
} from "./gradients/expansions.ts";
import {
  layerNormalizationGradient,
  layerNormalized,
  normalizedByBatch,
  storedNormalizationGradient,
} from "./gradients/normalization.ts";
import { onlyAxis, spatialAxes, sumOfSquares, trailingAxes } from "./partial-sums.ts";
import { axisIndex, like } from "./type-rules.ts";

/** Parameters of one entry per channel (axis 1 of input 0 and output 0), by input position. */
const perChannel = (...parameters: number[]): ChannelLink[] => parameters.map((i) => link(input(i, 0), output(0, 1)));

export const batchNormalization = defineOp({
  type: "BatchNormalization",
  since: 15,
  inputs: ["X", "scale", "B", "input_mean", "input_var"],
  outputs: ["Y", "running_mean?", "running_var?"],
  attributes: { epsilon: attr.float(1e-5), momentum: attr.float(0.9), training_mode: attr.int(0) },
  infer: ({ X, input_mean, input_var }) => ({ Y: like(X), running_mean: like(input_mean), running_var: like(input_var) }),
  cost: (_, { Y }) => ({ macs: numel(Y.shape), flops: 2 * numel(Y.shape) }), // one scale and shift per element
  channels: ({ inputShapes }) => [...sameAxes(inputShapes[0]?.length, () => false), ...perChannel(1, 2, 3, 4)],
  learned: ["scale", "B"],
  outputScales: ["scale", "B"],
  gradient: {
    expand: ({ b, inputs: { X, scale, B, input_mean, input_var }, attributes: { epsilon, momentum, training_mode } }) => {
      if (!training_mode) return undefined;
      const { y, mean, variance } = normalizedByBatch(b, X, scale, B, epsilon);
      const move = (old: Value, batch: Value): Value => b.add(b.mul(old, momentum), b.mul(batch, 1 - momentum));
      return { Y: y, running_mean: move(input_mean, mean), running_var: move(input_var, variance) };
    },
    rule: ({ b, inputs: { X, scale, input_mean, input_var }, grads: { Y: dy }, attributes, wants }) => {
      if (!dy) return {};
      const { epsilon } = attributes;
      const parts = storedNormalizationGradient({ b, x: X, scale, mean: input_mean, variance: input_var, epsilon, dy });
      return Object.fromEntries(Object.entries(parts).map(([port, build]) => [port, wants(port as "X") ? build() : undefined]));
    },
  },
});

export const instanceNormalization = defineOp({
  type: "InstanceNormalization",
  since: 6,
  inputs: ["input", "scale", "B"],
  outputs: ["output"],
  attributes: { epsilon: attr.float(1e-5) },
  infer: ({ input }) => ({ output: like(input) }),
  cost: (_, { output }) => ({ macs: 0, flops: 7 * numel(output.shape) }), // mean, variance, then scale and shift
  channels: ({ inputShapes }) => [...sameAxes(inputShapes[0]?.length, (axis) => axis > 1), ...perChannel(1, 2)],
  partialSums: sumOfSquares(spatialAxes),
  quantization: { activations: ["input"], output: "calibrated" },
  learned: ["scale", "B"],
  outputScales: ["scale", "B"],
  gradient: {
    expand: ({ b, inputs: { input: x, scale, B }, attributes: { epsilon } }) => ({
      output: instanceNormalized(b, x, scale, B, epsilon),
    }),
  },
});

export const groupNormalization = defineOp({
  type: "GroupNormalization",
  since: 21,
  inputs: ["X", "scale", "bias"],
  outputs: ["Y"],
  attributes: { num_groups: attr.required.int(), epsilon: attr.float(1e-5), stash_type: attr.int(1) },
  infer: ({ X }) => ({ Y: like(X) }),
  cost: (_, { Y }) => ({ macs: 0, flops: 7 * numel(Y.shape) }),
  partialSums: sumOfSquares(spatialAxes),
  channels: () => [link(input(0, 0), output(0, 0))], // the channels of a group share their statistics
  learned: ["scale", "bias"],
  gradient: {
    expand: ({ b, inputs: { X, scale, bias }, attributes: { num_groups, epsilon } }) => ({
      Y: groupNormalized(b, X, scale, bias, num_groups, epsilon),
    }),
  },
});

export const layerNormalization = defineOp({
  type: "LayerNormalization",
  since: 17,
  inputs: ["X", "Scale", "B?"],
  outputs: ["Y", "Mean?", "InvStdDev?"],
  attributes: { axis: attr.int(-1), epsilon: attr.float(1e-5), stash_type: attr.int(1) },
  infer: ({ X }, { attributes, reject }) => {
    const axis = X.shape && axisIndex(attributes.axis, X.shape.length, reject);
    const statistics = like(X, axis === undefined ? undefined : X.shape?.map((dim, i) => (i < axis ? dim : 1)), "float32");
    return { Y: like(X), Mean: statistics, InvStdDev: statistics };
  },
  cost: (_, { Y }) => ({ macs: 0, flops: 7 * numel(Y.shape) }),
  channels: ({ attributes, inputShapes, outputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    const axis = fromEnd(Number(attributes.axis ?? -1), rank);
    return outputShapes.flatMap((shape, index) => (shape ? sameAxes(rank, (i) => i >= axis, 0, index) : []));
  },
  fixedFloat32: ["Mean", "InvStdDev"],
  partialSums: sumOfSquares(trailingAxes),
  quantization: calibrated("X"),
  learned: ["Scale", "B"],
  outputScales: ["Scale", "B"],
  gradient: {
    // only where the statistics themselves are read; usually they serve the rule alone
    expand: ({ b, inputs: { X, Scale, B }, attributes: { axis, epsilon }, wants }) =>
      wants("Mean") || wants("InvStdDev")
        ? layerNormalized(b, { x: X, scale: Scale, shift: B, axis: fromEnd(axis, b.rank(X)), epsilon })
        : undefined,
    rule: ({ b, inputs: { X, Scale, B }, outputs: { Y }, grads: { Y: dy }, attributes, wants }) => {
      if (!dy) return {};
      const axis = fromEnd(attributes.axis, b.rank(X));
      const [mean, inverse] = [b.optionalOutput(Y, 1), b.optionalOutput(Y, 2)];
      const parts = layerNormalizationGradient({ b, x: X, scale: Scale, dy, mean, inverse, axis });
      return {
        X: wants("X") ? parts.dx() : undefined,
        Scale: wants("Scale") ? parts.dScale() : undefined,
        B: B && wants("B") ? b.sumTo(dy, b.shape(B)) : undefined,
      };
    },
  },
});

export const rmsNormalization = defineOp({
  type: "RMSNormalization",
  since: 23,
  inputs: ["X", "scale"],
  outputs: ["Y"],
  attributes: { axis: attr.int(-1), epsilon: attr.float(1e-5), stash_type: attr.int(1) },
  infer: ({ X }, { attributes, reject }) => {
    if (X.shape) axisIndex(attributes.axis, X.shape.length, reject);
    return { Y: like(X) };
  },
  cost: (_, { Y }) => ({ macs: 0, flops: 4 * numel(Y.shape) }),
  channels: layerNormalization.channels,
  partialSums: sumOfSquares(trailingAxes),
  quantization: calibrated("X"),
  learned: ["scale"],
  outputScales: ["scale"],
  gradient: {
    expand: ({ b, inputs: { X, scale }, attributes: { axis, epsilon } }) => ({
      Y: rmsNormalized(b, X, scale, fromEnd(axis, b.rank(X)), epsilon).y,
    }),
  },
});

export const lrn = defineOp({
  type: "LRN",
  since: 13,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: { size: attr.required.int(), alpha: attr.float(1e-4), beta: attr.float(0.75), bias: attr.float(1) },
  infer: ({ X }) => ({ Y: like(X) }),
  cost: (_, { Y }, { size }) => ({ macs: 0, flops: (2 * size + 12) * numel(Y.shape) }), // a window of squares, then a power
  channels: ({ inputShapes }) => sameAxes(inputShapes[0]?.length, (axis) => axis === 1),
  gradient: { expand: ({ b, inputs: { X }, attributes }) => ({ Y: localResponse(b, X, attributes) }) },
});

export const lpNormalization = defineOp({
  type: "LpNormalization",
  since: 1,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { axis: attr.int(-1), p: attr.int(2) },
  infer: ({ input }) => ({ output: like(input) }),
  cost: (_, { output }) => ({ macs: 0, flops: 3 * numel(output.shape) }),
  channels: ({ attributes, inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    const axis = fromEnd(Number(attributes.axis ?? -1), rank);
    return sameAxes(rank, (i) => i === axis);
  },
  partialSums: sumOfSquares(onlyAxis),
  quantization: { activations: ["input"], output: { range: [-1, 1] } },
  gradient: { expand: ({ b, inputs: { input: x }, attributes: { axis, p } }) => ({ output: lpNormalized(b, x, axis, p) }) },
});

export const meanVarianceNormalization = defineOp({
  type: "MeanVarianceNormalization",
  since: 13,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: { axes: attr.ints([0, 2, 3]) },
  infer: ({ X }) => ({ Y: like(X) }),
  cost: (_, { Y }) => ({ macs: 0, flops: 6 * numel(Y.shape) }),
  channels: ({ attributes, inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    const axes = ((attributes.axes as readonly number[] | undefined) ?? [0, 2, 3]).map((axis) => fromEnd(axis, rank));
    return sameAxes(rank, (i) => axes.includes(i));
  },
  partialSums: sumOfSquares(({ axes }) => (axes as readonly number[] | undefined) ?? [0, 2, 3]),
  gradient: { expand: ({ b, inputs: { X }, attributes: { axes } }) => ({ Y: meanVarianceNormalized(b, X, axes) }) },
});
