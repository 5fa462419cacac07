import type { Value } from "../../ir/index.ts";
import type { AttributeSpecs } from "../attributes.ts";
import type { GraphBuilder } from "../builder.ts";
import type { PositionalGradient } from "../define-positional.ts";

type Rule = PositionalGradient<AttributeSpecs>;
interface Unary {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly y: Value;
  /** A float attribute. */
  readonly a: (name: string) => number;
  readonly text: (name: string) => string;
}
const slope =
  (derivative: (call: Unary) => Value): Rule =>
  ({ b, x, y, dy, attributes }) => {
    const values = attributes as Readonly<Record<string, unknown>>;
    const call = {
      b,
      x: x[0] as Value,
      y,
      a: (name: string) => Number(values[name]),
      text: (name: string) => String(values[name]),
    };
    return [b.mul(dy, derivative(call))];
  };

const sigmoid = (b: GraphBuilder, x: Value): Value => b.op("Sigmoid", [x]);
/** 1 where low < x < high, else 0. */
const between = (b: GraphBuilder, x: Value, low: number, high: number): Value => b.positive(b.mul(b.sub(x, low), b.sub(high, x)));
/** `inside` where x > 0, `outside` elsewhere, for outside + mask·(inside − outside) with a constant inside. */
const split = (b: GraphBuilder, mask: Value, inside: number, outside: Value | number): Value =>
  typeof outside === "number"
    ? b.add(b.mul(mask, inside - outside), outside)
    : b.add(b.mul(mask, inside), b.mul(b.sub(1, mask), outside));
/** e^x where x ≤ 0, else 1: never overflows. */
const expOfNegative = (b: GraphBuilder, x: Value): Value => b.exp(b.op("Min", [x, b.scalar(0)]));

/** Φ(x) + x·φ(x), or the derivative of its tanh approximation. */
function gelu({ b, x, text }: Unary): Value {
  if (text("approximate") !== "tanh") {
    const cumulative = b.mul(b.add(b.op("Erf", [b.mul(x, Math.SQRT1_2)]), 1), 0.5);
    const density = b.mul(b.exp(b.mul(b.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return b.add(cumulative, b.mul(x, density));
  }
  const square = b.square(x);
  const root = Math.sqrt(2 / Math.PI);
  const tanh = b.op("Tanh", [b.mul(x, b.add(b.mul(square, 0.044715 * root), root))]);
  const inner = b.add(b.mul(square, 3 * 0.044715 * root), root);
  return b.mul(b.add(b.add(tanh, 1), b.mul(b.mul(x, inner), b.sub(1, b.square(tanh)))), 0.5);
}

/** Gradients of the activations by op type. At a kink the gradient of the flatter side is taken. */
export const activationGradients: Readonly<Record<string, Rule>> = {
  Relu: slope(({ b, y }) => b.positive(y)),
  LeakyRelu: slope(({ b, x, a }) => split(b, b.positive(x), 1, a("alpha"))),
  Elu: slope(({ b, x, a }) => split(b, b.positive(x), 1, b.mul(expOfNegative(b, x), a("alpha")))),
  Selu: slope(({ b, x, a }) => split(b, b.positive(x), a("gamma"), b.mul(expOfNegative(b, x), a("alpha") * a("gamma")))),
  Celu: slope(({ b, x, a }) => split(b, b.positive(x), 1, expOfNegative(b, b.mul(x, 1 / a("alpha"))))),
  Sigmoid: slope(({ b, y }) => b.mul(y, b.sub(1, y))),
  HardSigmoid: slope(({ b, y, a }) => b.mul(between(b, y, 0, 1), a("alpha"))),
  HardSwish: slope(({ b, x }) => b.add(b.mul(between(b, x, -3, 3), b.add(b.mul(x, 1 / 3), 0.5)), b.positive(b.sub(x, 3)))),
  Tanh: slope(({ b, y }) => b.sub(1, b.square(y))),
  Gelu: slope(gelu),
  Mish: slope(({ b, x }) => {
    const tanh = b.op("Tanh", [b.op("Softplus", [x])]);
    return b.add(tanh, b.mul(b.mul(x, sigmoid(b, x)), b.sub(1, b.square(tanh))));
  }),
  Swish: slope(({ b, x, a }) => {
    const scaled = b.mul(x, a("alpha"));
    const gate = sigmoid(b, scaled);
    return b.add(gate, b.mul(b.mul(scaled, gate), b.sub(1, gate)));
  }),
  Softplus: slope(({ b, x }) => sigmoid(b, x)),
  Softsign: slope(({ b, x }) => b.reciprocal(b.square(b.add(b.abs(x), 1)))),
  ThresholdedRelu: slope(({ b, x, a }) => b.positive(b.sub(x, a("alpha")))),
  Shrink: slope(({ b, x, a }) => b.positive(b.sub(b.abs(x), a("lambd")))),
};
