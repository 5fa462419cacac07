import { type Node, tensorOf, type Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { addConstant, floatAttribute, replaceNode } from "./edit.ts";
import { axesOf, dtypeOf, elementwiseFloat, normalizeAxes, producerOf, scalarOf, shapeOf } from "./facts.ts";
import { sumWithScalar } from "./products.ts";

// d = x - mean(x),  LayerNormalization<eps>(x, 1) = d / sqrt(mean(d^2) + eps)        means over the last axes, which are kept
//
// Written as d / sqrt(v), d * (1 / sqrt(v)), d * reciprocal(sqrt(v)) or d * v^-0.5. The scale and bias that usually follow go into the
// node by fold-scale-and-bias. (Ba, Kiros, Hinton 2016, "Layer Normalization")

interface Match {
  readonly node: Node;
  readonly x: Value;
  readonly epsilon: number;
  readonly mean: Node;
  readonly variance: Node;
}

/** v + eps for a factor 1 / sqrt(v + eps). */
function inverseRoot(value: Value | undefined): Value | undefined {
  const node = producerOf(value, "Reciprocal", "Div", "Pow");
  if (node?.opType === "Pow") return scalarOf(node.inputs[1]) === -0.5 ? node.inputs[0] : undefined;
  const root = node?.opType === "Div" ? (scalarOf(node.inputs[0]) === 1 ? node.inputs[1] : undefined) : node?.inputs[0];
  return producerOf(root, "Sqrt")?.inputs[0];
}

/** The centred tensor and v + eps. */
function quotient(node: Node): readonly [Value, Value] | undefined {
  const [left, right] = node.inputs;
  if (!left || !right) return undefined;
  if (node.opType === "Div") {
    const v = producerOf(right, "Sqrt")?.inputs[0];
    return v && [left, v];
  }
  for (const [d, factor] of [
    [left, right],
    [right, left],
  ] as const) {
    const v = inverseRoot(factor);
    if (v) return [d, v];
  }
  return undefined;
}

/** d for mean(d * d) or mean(d ^ 2). */
function squared(mean: Node): Value | undefined {
  const square = producerOf(mean.inputs[0], "Pow", "Mul");
  const [a, b] = square?.inputs ?? [];
  if (square?.opType === "Pow") return scalarOf(b) === 2 ? a : undefined;
  return a === b ? a : undefined;
}

/** Axes of a mean when they are the last ones of x and are kept. */
function lastAxes(mean: Node, x: Value): number[] | undefined {
  const shape = shapeOf(x);
  const axes = axesOf(mean);
  const known = shape && axes && normalizeAxes(axes, shape.length);
  if (!known || known.length === 0 || mean.int("keepdims", 1) !== 1) return undefined;
  return known.every((axis, i) => axis === shape.length - known.length + i) ? known : undefined;
}

export const recognizeLayerNormalization = defineRule<Match>({
  name: "recognize-layer-normalization",
  summary: "LayerNormalization written with ReduceMean, Sub, Pow, Sqrt and Div",
  anchors: ["Div", "Mul"],
  match(node) {
    const parts = quotient(node);
    const sum = parts && sumWithScalar(parts[1]);
    const variance = producerOf(sum?.term, "ReduceMean");
    const centred = parts?.[0];
    const sub = producerOf(centred, "Sub");
    const x = sub?.inputs[0];
    const mean = producerOf(sub?.inputs[1], "ReduceMean");
    if (!sum || !variance || !x || !mean || mean.inputs[0] !== x || squared(variance) !== centred) return undefined;
    return { node, x, epsilon: sum.scalar, mean, variance };
  },
  check({ node, x, mean, variance }, { model }) {
    if (model.opset < 17) return "LayerNormalization needs opset 17";
    const [a, b] = [lastAxes(mean, x), lastAxes(variance, x)];
    if (!a || !b || a.join() !== b.join()) return "the means are not over the last axes";
    const elementwise = elementwiseFloat(x, node.output);
    if (elementwise !== true) return elementwise;
    return a.every((axis) => typeof shapeOf(x)?.[axis] === "number") || "the extent of the normalized axes is not known";
  },
  rewrite({ node, x, epsilon, mean }) {
    const axes = lastAxes(mean, x) ?? [];
    const shape = axes.map((axis) => shapeOf(x)?.[axis] as number);
    const size = shape.reduce((product, dim) => product * dim, 1);
    const one = addConstant(node, "scale", tensorOf(dtypeOf(x) ?? "float32", shape, new Float32Array(size).fill(1)));
    replaceNode(node, "LayerNormalization", [x, one], { axis: -axes.length, epsilon: floatAttribute(epsilon) });
  },
});
