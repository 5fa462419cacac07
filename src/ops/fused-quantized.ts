import { addDims, type Dim, numel, type Shape, unknownDim } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, input, link, output, sameAxes } from "./channel-links.ts";
import { barrier, type ChannelCall, type ChannelLink, type Cost, defineOp, elementwise, type TensorInfo } from "./define.ts";
import { gemmLinks, gemmShape, matMulCost, matMulLinks, matMulShape } from "./matmul.ts";
import { requantized } from "./quantized.ts";
import { recurrentCost, recurrentShapes } from "./recurrent.ts";
import { reducedShape } from "./reduce.ts";
import { axisIndex, broadcastOf, like } from "./type-rules.ts";
import { windowOutput } from "./window.ts";

// Integer ops of onnxruntime's own domain, as its quantizer writes them in the operator-oriented format.
const domain = "com.microsoft";

const qLinearBinary = (type: string) =>
  defineOp({
    type,
    domain,
    since: 1,
    inputs: ["A", "A_scale", "A_zero_point?", "B", "B_scale", "B_zero_point?", "C_scale", "C_zero_point?"],
    outputs: ["C"],
    infer: ({ A, B }, { reject }) => ({ C: like(A, broadcastOf([A, B], reject)) }),
    cost: (_, { C }) => ({ macs: 0, flops: 7 * numel(C.shape) }),
    channels: elementwise,
  });

const qLinearUnary = (type: string, flops: number) =>
  defineOp({
    type,
    domain,
    since: 1,
    inputs: ["X", "X_scale", "X_zero_point?", "Y_scale", "Y_zero_point?"],
    outputs: ["Y"],
    attributes: { alpha: attr.float(0.01) },
    infer: ({ X }) => ({ Y: like(X) }),
    cost: (_, { Y }) => ({ macs: 0, flops: flops * numel(Y.shape) }),
    channels: elementwise,
  });

export const qLinearElementwise = [
  qLinearBinary("QLinearAdd"),
  qLinearBinary("QLinearMul"),
  qLinearUnary("QLinearSigmoid", 1), // a table of 256 entries
  qLinearUnary("QLinearLeakyRelu", 1),
];

/** Batch, then channels: at the end with channels_last, else second. */
const channelAxisOf = (attributes: Readonly<Record<string, unknown>>, rank: number): number =>
  attributes.channels_last ? rank - 1 : 1;

const poolLinks = ({ attributes, inputShapes }: ChannelCall): ChannelLink[] => {
  const rank = inputShapes[0]?.length ?? 2;
  const channel = channelAxisOf(attributes, rank);
  return sameAxes(rank, (axis) => axis !== 0 && axis !== channel);
};

export const qLinearGlobalAveragePool = defineOp({
  type: "QLinearGlobalAveragePool",
  domain,
  since: 1,
  inputs: ["X", "x_scale", "x_zero_point", "y_scale", "y_zero_point"],
  outputs: ["Y"],
  attributes: { channels_last: attr.int(0) },
  infer: ({ X }, { attributes }) => {
    const channel = channelAxisOf(attributes, X.shape?.length ?? 2);
    return {
      Y: like(
        X,
        X.shape?.map((dim, i) => (i === 0 || i === channel ? dim : 1)),
      ),
    };
  },
  cost: ({ X }) => ({ macs: 0, flops: numel(X.shape) }),
  channels: poolLinks,
});

export const qLinearAveragePool = defineOp({
  type: "QLinearAveragePool",
  domain,
  since: 1,
  inputs: ["X", "x_scale", "x_zero_point?", "y_scale", "y_zero_point?"],
  outputs: ["Y"],
  attributes: {
    auto_pad: attr.string("NOTSET"),
    ceil_mode: attr.int(0),
    channels_last: attr.int(0),
    count_include_pad: attr.int(0),
    kernel_shape: attr.required.ints(),
    pads: attr.ints(),
    strides: attr.ints(),
  },
  infer: ({ X }, { attributes, reject }) => {
    if (!X.shape) return { Y: like(X) };
    const [batch, ...rest] = X.shape as [Dim, ...Dim[]];
    const channel = (attributes.channels_last ? rest.at(-1) : rest[0]) as Dim;
    const spatial = attributes.channels_last ? rest.slice(0, -1) : rest.slice(1);
    const pooled = windowOutput(spatial, attributes.kernel_shape, attributes, reject);
    return { Y: like(X, attributes.channels_last ? [batch, ...pooled, channel] : [batch, channel, ...pooled]) };
  },
  cost: (_, { Y }, { kernel_shape }) => ({ macs: 0, flops: numel(Y.shape) * (numel(kernel_shape) + 3) }),
  channels: poolLinks,
});

export const qLinearReduceMean = defineOp({
  type: "QLinearReduceMean",
  domain,
  since: 1,
  inputs: ["data", "data_scale", "data_zero_point?", "reduced_scale", "reduced_zero_point?"],
  outputs: ["reduced"],
  attributes: { axes: attr.required.ints(), keepdims: attr.required.int() },
  infer: ({ data }, { attributes, reject }) => {
    const { shape } = data;
    if (!shape) return { reduced: like(data) };
    const axes = attributes.axes.map((axis) => axisIndex(axis, shape.length, reject));
    return { reduced: like(data, reducedShape(shape, { axes, keepdims: attributes.keepdims !== 0 })) };
  },
  cost: ({ data }) => ({ macs: 0, flops: numel(data.shape) }),
  channels: barrier,
});

export const qLinearSoftmax = defineOp({
  type: "QLinearSoftmax",
  domain,
  since: 1,
  inputs: ["X", "X_scale", "x_zero_point?", "y_scale", "y_zero_point"],
  outputs: ["Y"],
  attributes: { axis: attr.int(-1), opset: attr.required.int() },
  infer: ({ X }) => ({ Y: like(X) }),
  cost: (_, { Y }) => ({ macs: 0, flops: 5 * numel(Y.shape) }),
  channels: ({ attributes, inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    const axis = fromEnd(Number(attributes.axis ?? -1), rank);
    // Before opset 13 the op flattens everything from the axis on.
    return sameAxes(rank, (i) => (Number(attributes.opset) < 13 ? i >= axis : i === axis));
  },
});

/** The members of [tensor, scale, zero point, tensor, …] that are tensors. */
const everyThird = <T>(items: readonly T[]): T[] => items.filter((_, i) => i % 3 === 0);

export const qLinearConcat = defineOp({
  type: "QLinearConcat",
  domain,
  since: 1,
  inputs: ["Y_scale", "Y_zero_point", "...inputs"],
  outputs: ["Y"],
  attributes: { axis: attr.required.int() },
  infer: ({ inputs, Y_zero_point }, { attributes, reject }) => {
    const tensors = everyThird(inputs);
    const first = tensors[0]?.shape;
    if (!first || tensors.some((info) => info?.shape?.length !== first.length)) return { Y: like(Y_zero_point, undefined) };
    const at = axisIndex(attributes.axis, first.length, reject);
    const total = tensors.reduce<Dim>((sum, info) => addDims(sum, info?.shape?.[at] ?? unknownDim), 0);
    return {
      Y: like(
        Y_zero_point,
        first.map((dim, i) => (i === at ? total : dim)),
      ),
    };
  },
  cost: (_, { Y }) => ({ macs: 0, flops: numel(Y.shape) }), // a table per input
  channels: ({ attributes, inputShapes }) => {
    const tensors = everyThird(inputShapes.slice(2));
    const rank = tensors[0]?.length ?? 0;
    const at = fromEnd(Number(attributes.axis ?? 0), rank);
    let offset = 0;
    return tensors.flatMap((shape, i) => {
      const links = sameAxes(rank, (axis) => axis === at, 2 + 3 * i);
      const along: ChannelLink = { ...link(input(2 + 3 * i, at), output(0, at)), offset };
      offset += Number(shape?.[at]);
      return Number.isNaN(offset) ? links : [...links, along];
    });
  },
});

export const qGemm = defineOp({
  type: "QGemm",
  domain,
  since: 1,
  inputs: ["A", "a_scale", "a_zero_point", "B", "b_scale", "b_zero_point", "C?", "y_scale?", "y_zero_point?"],
  outputs: ["Y"],
  attributes: { alpha: attr.float(1), transA: attr.int(0), transB: attr.int(0) },
  infer: ({ A, B, a_scale, y_zero_point }, { attributes: { transA, transB }, reject }) => ({
    Y: like(A, gemmShape(A, B, transA, transB, reject), y_zero_point?.dtype ?? a_scale.dtype),
  }),
  cost: ({ A }, { Y }, { transA }) => {
    const macs = numel(Y.shape) * (A.shape[transA ? 0 : 1] as number);
    return requantized({ macs, flops: 2 * macs }, numel(Y.shape));
  },
  channels: (call) => [
    ...gemmLinks(call, 0, 3, 6),
    ...[4, 5].filter((i) => isVector(call.inputShapes[i])).map((i) => link(input(i, 0), output(0, 1))),
  ],
});

const isVector = (shape: Shape | undefined): boolean => shape?.length === 1 && shape[0] !== 1;

/** A float result: the product of integers, times both scales, plus a bias. */
const dequantized = ({ macs, flops }: Cost, elements: number): Cost => ({ macs, flops: flops + 2 * elements });
const columnLinks = (call: ChannelCall, ports: readonly number[]): ChannelLink[] => {
  const rank = call.outputShapes[0]?.length ?? 2;
  return [
    ...matMulLinks(call),
    ...ports.filter((i) => isVector(call.inputShapes[i])).map((i) => link(input(i, 0), output(0, rank - 1))),
  ];
};

export const dynamicQuantizeMatMul = defineOp({
  type: "DynamicQuantizeMatMul",
  domain,
  since: 1,
  inputs: ["A", "B", "b_scale", "b_zero_point?", "bias?"],
  outputs: ["Y"],
  infer: ({ A, B }, { reject }) => ({ Y: like(A, matMulShape(A.shape, B.shape, reject)) }),
  cost: ({ A }, { Y }) => dequantized(matMulCost(A, Y), numel(Y.shape) + 3 * numel(A.shape)),
  // The range of A is taken over the whole tensor, so removing rows of it changes the rest; removing columns of B does not.
  channels: (call) => columnLinks(call, [2, 3, 4]).filter(({ a, b }) => !(a.index === 0 && b.port === "output")),
});

export const matMulIntegerToFloat = defineOp({
  type: "MatMulIntegerToFloat",
  domain,
  since: 1,
  inputs: ["A", "B", "a_scale", "b_scale", "a_zero_point?", "b_zero_point?", "bias?"],
  outputs: ["Y"],
  infer: ({ A, B, a_scale }, { reject }) => ({ Y: like(A, matMulShape(A.shape, B.shape, reject), a_scale.dtype) }),
  cost: ({ A }, { Y }) => dequantized(matMulCost(A, Y), numel(Y.shape)),
  channels: (call) => columnLinks(call, [3, 5, 6]),
});

const lstmPorts = ["X", "W", "R", "B?", "sequence_lens?", "initial_h?", "initial_c?", "P?"] as const;

/** LSTM with weights [directions, in, gates·hidden] of 8 bits: transposed against the standard op's. */
export const dynamicQuantizeLstm = defineOp({
  type: "DynamicQuantizeLSTM",
  domain,
  since: 1,
  inputs: [...lstmPorts, "W_scale", "W_zero_point", "R_scale", "R_zero_point"],
  outputs: ["Y?", "Y_h?", "Y_c?"],
  attributes: {
    activation_alpha: attr.floats(),
    activation_beta: attr.floats(),
    activations: attr.strings(),
    clip: attr.float(),
    direction: attr.string("forward"),
    hidden_size: attr.int(),
    input_forget: attr.int(0),
  },
  infer: ({ X, R }, { attributes }) => {
    const hidden: TensorInfo = like(R, R.shape && [R.shape[0] as Dim, R.shape[2] as Dim, R.shape[1] as Dim]);
    const { all, last } = recurrentShapes(X, hidden, { ...attributes, layout: 0 });
    return { Y: like(X, all), Y_h: like(X, last), Y_c: like(X, last) };
  },
  cost: ({ X, W, R }) => {
    const turned = ({ dtype, shape: [d = 0, a = 0, b = 0] }: typeof W) => ({ dtype, shape: [d, b, a] });
    return recurrentCost(X, turned(W), turned(R));
  },
  channels: barrier,
});
