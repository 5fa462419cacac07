import { numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { calibrated, defineOp, elementwise, fixedRange, type OpDef, type QuantizationFacet } from "./define.ts";
import { type ElementwiseOptions, transcendental, unary } from "./elementwise.ts";
import { activationGradients } from "./gradients/activations.ts";
import { like } from "./type-rules.ts";

const free = (port: string): QuantizationFacet => calibrated(port);
const limits =
  (clamp: (constants: readonly (number | undefined)[]) => readonly [number, number]) =>
  (port: string): QuantizationFacet => ({ activations: [port], output: { clamp } });
const within =
  (low: number, high: number) =>
  (port: string): QuantizationFacet =>
    fixedRange(low, high, port);

/** An activation: element-wise, with a gradient. */
const activation = (type: string, since: number, ports: string, options: ElementwiseOptions = {}): OpDef => {
  const gradient = activationGradients[type];
  return unary(type, since, ports, gradient ? { ...options, gradient } : options);
};

export const activationOps = [
  activation("Relu", 14, "X Y", { quantization: limits(() => [0, Number.POSITIVE_INFINITY]) }),
  activation("LeakyRelu", 16, "X Y", { attributes: { alpha: attr.float(0.01) }, flops: 2, quantization: free }),
  activation("Elu", 6, "X Y", { attributes: { alpha: attr.float(1) }, flops: transcendental, quantization: free }),
  activation("Selu", 6, "X Y", {
    attributes: { alpha: attr.float(1.6732632423543772), gamma: attr.float(1.0507009873554805) },
    flops: transcendental,
    quantization: free,
  }),
  activation("Celu", 12, "X Y", { attributes: { alpha: attr.float(1) }, flops: transcendental, quantization: free }),
  activation("Sigmoid", 13, "X Y", { flops: transcendental, quantization: within(0, 1) }),
  activation("HardSigmoid", 6, "X Y", {
    attributes: { alpha: attr.float(0.2), beta: attr.float(0.5) },
    flops: 4,
    quantization: within(0, 1),
  }),
  activation("HardSwish", 14, "X Y", { flops: 5, quantization: free }),
  activation("Tanh", 13, "input output", { flops: transcendental, quantization: within(-1, 1) }),
  activation("Gelu", 20, "X Y", { attributes: { approximate: attr.string("none") }, flops: transcendental, quantization: free }),
  activation("Mish", 18, "X Y", { flops: 2 * transcendental, quantization: free }),
  activation("Swish", 24, "X Y", { attributes: { alpha: attr.float(1) }, flops: transcendental, quantization: free }),
  activation("Softplus", 1, "X Y", { flops: transcendental, quantization: free }),
  activation("Softsign", 1, "input output", { flops: 3, quantization: within(-1, 1) }),
  activation("ThresholdedRelu", 10, "X Y", { attributes: { alpha: attr.float(1) }, quantization: free }),
  activation("Shrink", 9, "input output", { attributes: { bias: attr.float(0), lambd: attr.float(0.5) }, flops: 2 }),
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
  gradient: ({ b, inputs: { min, max }, outputs: { output: y }, grads: { output: dy }, wants }) => {
    if (!dy) return {};
    // by the output, which the next layer keeps anyway: the input need not be kept as well
    const above = min && b.positive(b.sub(y, min));
    const below = max && b.positive(b.sub(max, y));
    const inside = above && below ? b.mul(above, below) : (above ?? below);
    return {
      input: wants("input") ? (inside ? b.mul(dy, inside) : dy) : undefined,
      min: above && wants("min") ? b.sumTo(b.mul(dy, b.sub(1, above)), []) : undefined,
      max: below && wants("max") ? b.sumTo(b.mul(dy, b.sub(1, below)), []) : undefined,
    };
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
  learned: ["slope"],
  gradient: ({ b, inputs: { X, slope }, grads: { Y: dy }, wants }) => {
    if (!dy) return {};
    const mask = b.positive(X);
    const off = b.sub(1, mask);
    return {
      X: wants("X") ? b.mul(dy, b.add(mask, b.mul(off, slope))) : undefined,
      slope: wants("slope") ? b.sumTo(b.mul(dy, b.mul(off, X)), b.shape(slope)) : undefined,
    };
  },
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
  // training replaces the op by one whose mask it can repeat; left in a graph, it passes its input on
  gradient: ({ grads: { output: dy } }) => ({ data: dy }),
});
