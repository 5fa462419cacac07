import type { Node, Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { floatAttribute, replaceNode } from "./edit.ts";
import { elementwiseFloat, isClose, producerOf, scalarOf } from "./facts.ts";
import { pickFactor, productOf, sumWithScalar } from "./products.ts";

// HardSigmoid<a, b>(x) = clip(a x + b, 0, 1) = clip(x + b / a, 0, 1 / a) * a
// HardSwish(x) = x * HardSigmoid<1/6, 1/2>(x) = x * clip(x + 3, 0, 6) / 6       (Howard et al. 2019, "Searching for MobileNetV3")
// Mish(x) = x * tanh(softplus(x))                                                (Misra 2019)
// Swish stays x * Sigmoid(x): opset 21 has no op for it.

/** For `clip(x + shift, 0, high)`. */
function shiftedClip(value: Value | undefined): { x: Value; shift: number; high: number } | undefined {
  const clip = producerOf(value, "Clip");
  const high = scalarOf(clip?.inputs[2]);
  const sum = sumWithScalar(clip?.inputs[0]);
  if (!clip || !sum || high === undefined || scalarOf(clip.inputs[1]) !== 0) return undefined;
  return { x: sum.term, shift: sum.scalar, high };
}

/** For a x with scalar a. */
function scaled(value: Value): { x: Value; scale: number } | undefined {
  const node = producerOf(value, "Mul", "Div");
  const product = node && productOf(node);
  const [x, ...rest] = product?.factors ?? [];
  return product && x && rest.length === 0 ? { x, scale: product.scalar } : undefined;
}

export const recognizeHardSigmoid = defineRule<{ node: Node; x: Value; alpha: number; beta: number }>({
  name: "recognize-hard-sigmoid",
  summary: "HardSigmoid written with Clip",
  anchors: ["Mul", "Div", "Clip"],
  match(node) {
    if (node.opType === "Clip") {
      const clip = shiftedClip(node.output);
      const line = clip && scaled(clip.x);
      return line && clip.high === 1 && line.scale > 0 ? { node, x: line.x, alpha: line.scale, beta: clip.shift } : undefined;
    }
    const product = productOf(node);
    const clip = product.factors.length === 1 ? shiftedClip(product.factors[0]) : undefined;
    if (!clip || !isClose(product.scalar * clip.high, 1, 1e-6)) return undefined;
    return { node, x: clip.x, alpha: product.scalar, beta: clip.shift * product.scalar };
  },
  check: ({ node, x }) => elementwiseFloat(x, node.output),
  rewrite({ node, x, alpha, beta }) {
    replaceNode(node, "HardSigmoid", [x], { alpha: floatAttribute(alpha), beta: floatAttribute(beta) });
  },
});

/** x of HardSigmoid<1/6, 1/2>(x). */
function hardSigmoid(value: Value): Value | undefined {
  const node = producerOf(value, "HardSigmoid");
  const fits = node && isClose(node.float("alpha", 0.2), 1 / 6) && isClose(node.float("beta", 0.5), 0.5);
  return fits ? node.inputs[0] : undefined;
}

export const recognizeHardSwish = defineRule<{ node: Node; x: Value }>({
  name: "recognize-hard-swish",
  summary: "HardSwish written with HardSigmoid or Clip",
  anchors: ["Mul", "Div"],
  match(node) {
    const product = productOf(node);
    const whole = isClose(product.scalar, 1) ? pickFactor(product, 2, hardSigmoid) : undefined;
    if (whole && whole.rest[0] === whole.picked) return { node, x: whole.picked };
    const clip = isClose(product.scalar, 1 / 6) ? pickFactor(product, 2, shiftedClip) : undefined;
    const fits = clip && clip.picked.x === clip.rest[0] && clip.picked.shift === 3 && clip.picked.high === 6;
    return fits ? { node, x: clip.picked.x } : undefined;
  },
  check: ({ node, x }, { model }) => (model.opset < 14 ? "HardSwish needs opset 14" : elementwiseFloat(x, node.output)),
  rewrite({ node, x }) {
    replaceNode(node, "HardSwish", [x]);
  },
});

export const recognizeMish = defineRule<{ node: Node; x: Value }>({
  name: "recognize-mish",
  summary: "Mish written with Tanh and Softplus",
  anchors: ["Mul"],
  match(node) {
    const product = productOf(node);
    if (product.scalar !== 1) return undefined;
    const soft = pickFactor(product, 2, (factor) => producerOf(producerOf(factor, "Tanh")?.inputs[0], "Softplus")?.inputs[0]);
    return soft && soft.rest[0] === soft.picked ? { node, x: soft.picked } : undefined;
  },
  check: ({ node, x }, { model }) => (model.opset < 18 ? "Mish needs opset 18" : elementwiseFloat(x, node.output)),
  rewrite({ node, x }) {
    replaceNode(node, "Mish", [x]);
  },
});
