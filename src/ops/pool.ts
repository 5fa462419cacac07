import { type Dim, numel, type Shape, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import { input, link, output } from "./channel-links.ts";
import {
  type ChannelCall,
  type ChannelLink,
  calibrated,
  defineOp,
  type OpDef,
  type QuantizationFacet,
  sameScale,
} from "./define.ts";
import { averagePoolGradient, lpPoolGradient, lpSlope, maxPoolGradient } from "./gradients/pool.ts";
import { sumBeforeMean, sumBeforeWindowMean } from "./partial-sums.ts";
import { anyOfRank, integersOf, like } from "./type-rules.ts";
import { transposedOutput, windowOutput } from "./window.ts";

const poolAttributes = {
  kernel_shape: attr.required.ints(),
  strides: attr.ints(),
  dilations: attr.ints(),
  pads: attr.ints(),
  auto_pad: attr.string("NOTSET"),
  ceil_mode: attr.int(0),
} as const;

/** Batch and channel pass through; the spatial axes are mixed. */
const batchAndChannel = (): ChannelLink[] => [link(input(0, 0), output(0, 0)), link(input(0, 1), output(0, 1))];

const pooled = (
  shape: Shape | undefined,
  call: {
    attributes: Parameters<typeof windowOutput>[2] & { kernel_shape: readonly number[] };
    reject: (reason: string) => never;
  },
) =>
  shape && [
    shape[0] as Dim,
    shape[1] as Dim,
    ...windowOutput(shape.slice(2), call.attributes.kernel_shape, call.attributes, call.reject),
  ];

/** One operation per element that a window covers. */
const windowCost = (result: readonly number[], kernel: readonly number[]) => ({ macs: 0, flops: numel(result) * numel(kernel) });

export const maxPool = defineOp({
  type: "MaxPool",
  since: 12,
  inputs: ["X"],
  outputs: ["Y", "Indices?"],
  attributes: { ...poolAttributes, storage_order: attr.int(0) },
  infer: ({ X }, call) => {
    const shape = pooled(X.shape, call);
    return { Y: like(X, shape), Indices: like(X, shape, "int64") };
  },
  cost: (_, { Y }, { kernel_shape }) => windowCost(Y.shape, kernel_shape),
  channels: ({ outputShapes }) => (outputShapes[1] ? [] : batchAndChannel()), // indices count through all channels
  quantization: sameScale("X"),
  gradient: ({ b, inputs: { X }, outputs: { Y }, grads: { Y: dy }, attributes }) =>
    dy ? { X: maxPoolGradient(b, X, Y, dy, attributes) } : {},
});

export const averagePool = defineOp({
  type: "AveragePool",
  since: 19,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: { ...poolAttributes, count_include_pad: attr.int(0) },
  infer: ({ X }, call) => ({ Y: like(X, pooled(X.shape, call)) }),
  cost: (_, { Y }, { kernel_shape }) => windowCost(Y.shape, kernel_shape),
  channels: batchAndChannel,
  quantization: calibrated("X"),
  partialSums: sumBeforeWindowMean,
  gradient: ({ b, inputs: { X }, outputs: { Y }, grads: { Y: dy }, attributes }) =>
    dy ? { X: averagePoolGradient(b, X, Y, dy, attributes) } : {},
});

export const lpPool = defineOp({
  type: "LpPool",
  since: 18,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: { ...poolAttributes, p: attr.int(2) },
  infer: ({ X }, call) => ({ Y: like(X, pooled(X.shape, call)) }),
  cost: (_, { Y }, { kernel_shape }) => ({ macs: 0, flops: 2 * numel(Y.shape) * numel(kernel_shape) }),
  channels: batchAndChannel,
  gradient: ({ b, inputs: { X }, outputs: { Y }, grads: { Y: dy }, attributes }) =>
    dy ? { X: lpPoolGradient(b, X, Y, dy, attributes) } : {},
});

interface GlobalPool {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly y: Value;
  readonly dy: Value;
  readonly p: number;
}

function globalPool(
  type: string,
  since: number,
  gradient: (call: GlobalPool) => Value,
  facets: Pick<OpDef, "partialSums"> & { quantization?: QuantizationFacet<"X"> } = { partialSums: undefined },
) {
  return defineOp({
    type,
    since,
    inputs: ["X"],
    outputs: ["Y"],
    attributes: { p: attr.int(2) },
    infer: ({ X }) => ({
      Y: like(
        X,
        X.shape?.map((dim, i) => (i < 2 ? dim : 1)),
      ),
    }),
    cost: ({ X }) => ({ macs: 0, flops: numel(X.shape) }),
    channels: batchAndChannel,
    ...(facets.quantization ? { quantization: facets.quantization } : {}),
    ...(facets.partialSums ? { partialSums: facets.partialSums } : {}),
    gradient: ({ b, inputs: { X }, outputs: { Y }, grads: { Y: dy }, attributes: { p } }) =>
      dy ? { X: b.expand(gradient({ b, x: X, y: Y, dy, p }), b.shape(X)) } : {},
  });
}

export const globalPools = [
  globalPool("GlobalAveragePool", 1, ({ b, x, y, dy }) => b.mul(dy, b.size(y) / b.size(x)), {
    quantization: calibrated("X"),
    partialSums: sumBeforeMean,
  }),
  globalPool(
    "GlobalMaxPool",
    1,
    ({ b, x, y, dy }) => {
      const hit = b.cast(b.op("Equal", [x, y]), "float32");
      const axes = b.shape(x).flatMap((_, i) => (i < 2 ? [] : [i]));
      return b.mul(hit, b.div(dy, b.reduceSum(hit, axes)));
    },
    { quantization: sameScale("X"), partialSums: undefined },
  ),
  globalPool("GlobalLpPool", 2, ({ b, x, y, dy, p }) => lpSlope(b, x, y, dy, p, (values) => values)),
];

export const maxUnpool = defineOp({
  type: "MaxUnpool",
  since: 11,
  inputs: ["X", "I", "output_shape?"],
  outputs: ["output"],
  attributes: { kernel_shape: attr.required.ints(), strides: attr.ints(), pads: attr.ints() },
  infer: ({ X, output_shape }, { attributes, reject }) => {
    if (!X.shape) return { output: like(X) };
    if (output_shape) return { output: like(X, integersOf(output_shape) ?? anyOfRank(X.shape.length)) };
    const window = { ...attributes, output_padding: undefined, output_shape: undefined };
    const spatial = transposedOutput(X.shape.slice(2), attributes.kernel_shape, window, reject);
    return { output: like(X, [X.shape[0] as Dim, X.shape[1] as Dim, ...spatial]) };
  },
  channels: "barrier", // indices count through the whole tensor
  gradient: ({ b, inputs: { X, I: places }, grads: { output: dy } }) =>
    dy ? { X: b.reshape(b.op("Gather", [b.reshape(dy, [b.size(dy)]), b.reshape(places, [b.size(X)])]), b.shape(X)) } : {},
});

/** Rois choose batch entries, channels pass through. */
const roiLinks = ({ inputShapes }: ChannelCall): ChannelLink[] => [
  link(input(0, 1), output(0, 1)),
  link(input(1, 0), output(0, 0)),
  ...(inputShapes[2] ? [link(input(2, 0), output(0, 0))] : []),
];

export const roiAlign = defineOp({
  type: "RoiAlign",
  since: 16,
  inputs: ["X", "rois", "batch_indices"],
  outputs: ["Y"],
  attributes: {
    coordinate_transformation_mode: attr.string("half_pixel"),
    mode: attr.string("avg"),
    output_height: attr.int(1),
    output_width: attr.int(1),
    sampling_ratio: attr.int(0),
    spatial_scale: attr.float(1),
  },
  infer: ({ X, rois }, { attributes: { output_height, output_width } }) => ({
    Y: like(X, [rois.shape?.[0] ?? "?", X.shape?.[1] ?? "?", output_height, output_width]),
  }),
  // Bilinear samples: four taps with their weights; 0 asks for an adaptive number, counted as 2 x 2.
  cost: (_, { Y }, { sampling_ratio }) => ({ macs: 0, flops: 8 * numel(Y.shape) * Math.max(2, sampling_ratio) ** 2 }),
  channels: roiLinks,
});

export const maxRoiPool = defineOp({
  type: "MaxRoiPool",
  since: 1,
  inputs: ["X", "rois"],
  outputs: ["Y"],
  attributes: { pooled_shape: attr.required.ints(), spatial_scale: attr.float(1) },
  infer: ({ X, rois }, { attributes: { pooled_shape } }) => ({
    Y: like(X, [rois.shape?.[0] ?? "?", X.shape?.[1] ?? "?", ...pooled_shape]),
  }),
  channels: roiLinks,
});
