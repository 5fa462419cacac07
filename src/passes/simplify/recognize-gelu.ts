import type { Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { replaceNode } from "./edit.ts";
import { elementwiseFloat, isClose, producerOf } from "./facts.ts";
import { pickFactor, productOf, sumWithScalar } from "./products.ts";

// Gelu(x) = x * (1 + erf(x / sqrt 2)) / 2
// Gelu<tanh>(x) = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2
// in any order of the factors. (Hendrycks & Gimpel 2016, "Gaussian Error Linear Units")

/** u for `1 + f(u)`. */
function argument(factor: Value, f: string): Value | undefined {
  const sum = sumWithScalar(factor);
  return isClose(sum?.scalar, 1) ? (producerOf(sum?.term, f)?.inputs[0] ?? undefined) : undefined;
}

/** Whether `value` is `scalar * x`. */
function isScaled(value: Value, x: Value, scalar: number): boolean {
  const node = producerOf(value, "Mul", "Div");
  const product = node && productOf(node);
  return product !== undefined && product.factors.length === 1 && product.factors[0] === x && isClose(product.scalar, scalar);
}

/** Whether `value` is `scalar * x * x * x` (or x * x). */
function isPower(value: Value | undefined, x: Value, count: number, scalar: number): boolean {
  const node = producerOf(value, "Mul", "Div", "Pow");
  if (!node) return false;
  const product = productOf(node);
  return isClose(product.scalar, scalar) && product.factors.length === count && product.factors.every((factor) => factor === x);
}

/** sqrt(2/pi) * (x + 0.044715 x^3), or sqrt(2/pi) * x * (1 + 0.044715 x^2). */
function isTanhArgument(u: Value, x: Value): boolean {
  const node = producerOf(u, "Mul", "Div");
  const product = node && productOf(node);
  if (!product || !isClose(product.scalar, Math.sqrt(2 / Math.PI))) return false;
  const [first, second] = product.factors;
  if (product.factors.length === 1) {
    const add = producerOf(first, "Add");
    if (!add) return false;
    return [0, 1].some((i) => add.inputs[i] === x && isPower(add.inputs[1 - i], x, 3, 0.044715));
  }
  const sum = sumWithScalar(first === x ? second : first);
  return product.factors.includes(x) && isClose(sum?.scalar, 1) && isPower(sum?.term, x, 2, 0.044715);
}

export const recognizeGelu = defineRule({
  name: "recognize-gelu",
  summary: "Gelu written with Erf or with Tanh",
  anchors: ["Mul", "Div"],
  match(node) {
    const product = productOf(node);
    if (!isClose(product.scalar, 0.5)) return undefined;
    const erf = pickFactor(product, 2, (factor) => argument(factor, "Erf"));
    if (erf?.rest[0] && isScaled(erf.picked, erf.rest[0], Math.SQRT1_2)) return { node, x: erf.rest[0], approximate: "none" };
    const tanh = pickFactor(product, 2, (factor) => argument(factor, "Tanh"));
    if (tanh?.rest[0] && isTanhArgument(tanh.picked, tanh.rest[0])) return { node, x: tanh.rest[0], approximate: "tanh" };
    return undefined;
  },
  check: ({ node, x }, { model }) => (model.opset < 20 ? "Gelu needs opset 20" : elementwiseFloat(x, node.output)),
  rewrite({ node, x, approximate }) {
    replaceNode(node, "Gelu", [x], approximate === "tanh" ? { approximate } : {});
  },
});
