import { numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { calibrated, defineOp, elementwise, fixedRange, type QuantizationFacet } from "./define.ts";
import { transcendental, unary } from "./elementwise.ts";
import { like } from "./type-rules.ts";

const free = (port: string): QuantizationFacet => calibrated(port);
const limits =
  (clamp: (constants: readonly (number | undefined)[]) => readonly [number, number]) =>
  (port: string): QuantizationFacet => ({ activations: [port], output: { clamp } });
const within =
  (low: number, high: number) =>
  (port: string): QuantizationFacet =>
    fixedRange(low, high, port);

export const activationOps = [
  unary("Relu", 14, "X Y", { quantization: limits(() => [0, Number.POSITIVE_INFINITY]) }),
  unary("LeakyRelu", 16, "X Y", { attributes: { alpha: attr.float(0.01) }, flops: 2, quantization: free }),
  unary("Elu", 6, "X Y", { attributes: { alpha: attr.float(1) }, flops: transcendental, quantization: free }),
  unary("Selu", 6, "X Y", {
    attributes: { alpha: attr.float(1.6732632423543772), gamma: attr.float(1.0507009873554805) },
    flops: transcendental,
    quantization: free,
  }),
  unary("Celu", 12, "X Y", { attributes: { alpha: attr.float(1) }, flops: transcendental, quantization: free }),
  unary("Sigmoid", 13, "X Y", { flops: transcendental, quantization: within(0, 1) }),
  unary("HardSigmoid", 6, "X Y", {
    attributes: { alpha: attr.float(0.2), beta: attr.float(0.5) },
    flops: 4,
    quantization: within(0, 1),
  }),
  unary("HardSwish", 14, "X Y", { flops: 5, quantization: free }),
  unary("Tanh", 13, "input output", { flops: transcendental, quantization: within(-1, 1) }),
  unary("Gelu", 20, "X Y", { attributes: { approximate: attr.string("none") }, flops: transcendental, quantization: free }),
  unary("Mish", 18, "X Y", { flops: 2 * transcendental, quantization: free }),
  unary("Swish", 24, "X Y", { attributes: { alpha: attr.float(1) }, flops: transcendental, quantization: free }),
  unary("Softplus", 1, "X Y", { flops: transcendental, quantization: free }),
  unary("Softsign", 1, "input output", { flops: 3, quantization: within(-1, 1) }),
  unary("ThresholdedRelu", 10, "X Y", { attributes: { alpha: attr.float(1) }, quantization: free }),
  unary("Shrink", 9, "input output", { attributes: { bias: attr.float(0), lambd: attr.float(0.5) }, flops: 2 }),
];

export const clip = defineOp({
  type: "Clip",
  since: 13,
  inputs: ["input", "min?", "max?"],
  outputs: ["output"],
  infer: ({ input }) => ({ output: like(input) }),
  cost: (_, { output }) => ({ macs: 0, flops: 2 * numel(output.shape) }),
  channels: elementwise, // the bounds are scalars
  quantization: {
    activations: ["input"],
    output: { clamp: ([, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY]) => [min, max] },
  },
});

export const pRelu = defineOp({
  type: "PRelu",
  since: 16,
  inputs: ["X", "slope"],
  outputs: ["Y"],
  infer: ({ X }) => ({ Y: like(X) }), // the slope broadcasts to X, never the other way
  cost: (_, { Y }) => ({ macs: 0, flops: 2 * numel(Y.shape) }),
  channels: elementwise,
  quantization: calibrated("X", "slope"),
});

export const dropout = defineOp({
  type: "Dropout",
  since: 13,
  inputs: ["data", "ratio?", "training_mode?"],
  outputs: ["output", "mask?"],
  attributes: { seed: attr.int() },
  // Only training mode draws at random, but the record cannot know: such nodes are neither folded nor merged.
  deterministic: false,
  infer: ({ data }) => ({ output: like(data), mask: like(data, data.shape, "bool") }),
  cost: () => ({ macs: 0, flops: 0 }), // passes its input on at inference time
  channels: elementwise,
  quantization: { activations: ["data"], output: { sameAs: ["data"] } },
});
