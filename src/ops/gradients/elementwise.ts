import type { Value } from "../../ir/index.ts";
import type { AttributeSpecs } from "../attributes.ts";
import type { GraphBuilder } from "../builder.ts";
import type { PositionalGradient } from "../define-positional.ts";

type Rule = PositionalGradient<AttributeSpecs>;

interface Unary {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly y: Value;
  readonly dy: Value;
}
/** dy times the derivative that the function gives. */
const slope =
  (derivative: (call: Unary) => Value): Rule =>
  ({ b, x, y, dy }) => [b.mul(dy, derivative({ b, x: x[0] as Value, y, dy }))];
/** The gradient itself, where it is cheaper than a derivative and a product. */
const direct =
  (gradient: (call: Unary) => Value): Rule =>
  ({ b, x, y, dy }) => [gradient({ b, x: x[0] as Value, y, dy })];

/** Both operands of a broadcasting op: each gradient is summed down to its operand's shape. */
const operands =
  (parts: (call: { b: GraphBuilder; x: Value; z: Value; y: Value; dy: Value }) => readonly [() => Value, () => Value]): Rule =>
  ({ b, x, y, dy, wants }) => {
    const [a, z] = x as readonly [Value, Value];
    return parts({ b, x: a, z, y, dy }).map((part, i) => (wants(i) ? b.sumTo(part(), b.shape(x[i] as Value)) : undefined));
  };

/** dx of a maximum or minimum of many: to the inputs that reach it, in equal parts where several do. */
const extreme: Rule = ({ b, x, y, dy, wants }) => {
  const hits = x.map((value) => b.cast(b.op("Equal", [b.expand(value as Value, b.shape(y)), y]), "float32"));
  const count = hits.length === 1 ? (hits[0] as Value) : b.op("Sum", hits);
  const share = b.div(dy, count);
  return x.map((value, i) => (wants(i) ? b.sumTo(b.mul(hits[i] as Value, share), b.shape(value as Value)) : undefined));
};

const sum: Rule = ({ b, x, dy, wants }) => x.map((value, i) => (wants(i) ? b.sumTo(dy, b.shape(value as Value)) : undefined));
const oneMinusSquare = (b: GraphBuilder, v: Value): Value => b.sub(1, b.square(v));

const unary: Readonly<Record<string, Rule | "none">> = {
  Abs: slope(({ b, x }) => b.op("Sign", [x])),
  Neg: direct(({ b, dy }) => b.neg(dy)),
  Exp: slope(({ y }) => y),
  Log: direct(({ b, x, dy }) => b.div(dy, x)),
  Sqrt: direct(({ b, y, dy }) => b.div(b.mul(dy, 0.5), y)),
  Reciprocal: direct(({ b, y, dy }) => b.neg(b.mul(dy, b.square(y)))),
  Erf: slope(({ b, x }) => b.mul(b.exp(b.neg(b.square(x))), 2 / Math.sqrt(Math.PI))),
  Sin: slope(({ b, x }) => b.op("Cos", [x])),
  Cos: slope(({ b, x }) => b.neg(b.op("Sin", [x]))),
  Tan: slope(({ b, y }) => b.add(b.square(y), 1)),
  Asin: direct(({ b, x, dy }) => b.div(dy, b.sqrt(oneMinusSquare(b, x)))),
  Acos: direct(({ b, x, dy }) => b.neg(b.div(dy, b.sqrt(oneMinusSquare(b, x))))),
  Atan: direct(({ b, x, dy }) => b.div(dy, b.add(b.square(x), 1))),
  Sinh: slope(({ b, x }) => b.op("Cosh", [x])),
  Cosh: slope(({ b, x }) => b.op("Sinh", [x])),
  Asinh: direct(({ b, x, dy }) => b.div(dy, b.sqrt(b.add(b.square(x), 1)))),
  Acosh: direct(({ b, x, dy }) => b.div(dy, b.sqrt(b.sub(b.square(x), 1)))),
  Atanh: direct(({ b, x, dy }) => b.div(dy, oneMinusSquare(b, x))),
};

const many: Readonly<Record<string, Rule>> = {
  Add: sum,
  Sub: operands(({ b, dy }) => [() => dy, () => b.neg(dy)]),
  Mul: operands(({ b, x, z, dy }) => [() => b.mul(dy, z), () => b.mul(dy, x)]),
  Div: operands(({ b, z, y, dy }) => [() => b.div(dy, z), () => b.neg(b.div(b.mul(dy, y), z))]),
  // d(x^z)/dz = y·ln x, and zero where x is not positive (its limit at zero, undefined below)
  Pow: operands(({ b, x, z, y, dy }) => {
    const exponent = b.cast(z, "float32");
    return [
      () => b.mul(dy, b.mul(exponent, b.op("Pow", [x, b.sub(exponent, 1)]))),
      () => b.mul(dy, b.mul(y, b.log(b.op("Max", [x, b.scalar(1e-30)])))),
    ];
  }),
  Sum: sum,
  Mean: ({ b, x, dy, wants }) => {
    const part = b.mul(dy, 1 / x.length);
    return x.map((value, i) => (wants(i) ? b.sumTo(part, b.shape(value as Value)) : undefined));
  },
  Max: extreme,
  Min: extreme,
  // x − z·trunc(x/z), or with floor for the divisor's sign; the quotient is constant almost everywhere
  Mod: operands(({ b, x, z, y, dy }) => [() => dy, () => b.neg(b.mul(dy, b.div(b.sub(x, y), z)))]),
};

const stepped = [
  "Ceil",
  "Floor",
  "Round",
  "Sign",
  "Not",
  "BitwiseNot",
  "IsNaN",
  "IsInf",
  "And",
  "Or",
  "Xor",
  "BitwiseAnd",
  "BitwiseOr",
  "BitwiseXor",
  "BitShift",
  "Equal",
  "Greater",
  "Less",
  "GreaterOrEqual",
  "LessOrEqual",
] as const;

/** Gradients of the element-wise ops that are no activations, by op type. "none": flat wherever it is smooth. */
export const elementwiseGradients: Readonly<Record<string, Rule | "none">> = {
  ...unary,
  ...many,
  ...Object.fromEntries(stepped.map((type) => [type, "none" as const])),
};
