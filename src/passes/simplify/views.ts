import { type Dim, int64Tensor, type Node, type Shape, type Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { addConstant, canReplace, prune, replaceNode, replaceValue } from "./edit.ts";
import { constantOf, producerOf, sameShapeByCount, shapeOf } from "./facts.ts";

// Reshape, Flatten, Squeeze and Unsqueeze give the same elements in the same order another shape, so only the last shape counts:
// view(x) = x                       when the shapes are equal
// view2(view1(x)) = Reshape(x, shape of the result)
// Reshape(x, s) = Reshape(x, constant)   when s is computed but the resulting shape is known
// Reshape(x, [x0, rest]) = Flatten(x)    the canonical form before a classifier: it holds for every batch size

/** Ops that only change the shape. */
export const views: readonly string[] = ["Reshape", "Flatten", "Squeeze", "Unsqueeze"];

/**
 * The shape input that gives `to` from a tensor of shape `from`: one extent may be left to -1, others that are not numbers must be
 * copied from the same axis by 0. Undefined when that is not enough.
 */
export function reshapeTarget(from: Shape | undefined, to: Shape | undefined): number[] | undefined {
  if (!to || to.includes(0) || from?.includes(0)) return undefined;
  const open = to.flatMap((dim, axis) => (typeof dim === "number" ? [] : [axis]));
  if (open.length <= 1) return to.map((dim) => (typeof dim === "number" ? dim : -1));
  const copied = (dim: Dim, axis: number) => dim !== "?" && from?.[axis] === dim;
  const rest = open.filter((axis) => !copied(to[axis] as Dim, axis));
  if (rest.length > 1) return undefined;
  return to.map((dim, axis) => (typeof dim === "number" ? dim : rest.includes(axis) ? -1 : 0));
}

const reshape = (node: Node, input: Value, target: readonly number[]): Node =>
  replaceNode(node, "Reshape", [input, addConstant(node, "shape", int64Tensor(target))]);

export const eliminateView = defineRule({
  name: "eliminate-reshape",
  summary: "Reshape, Flatten, Squeeze or Unsqueeze to the same shape",
  anchors: views,
  match(node) {
    const input = node.inputs[0];
    return input && sameShapeByCount(shapeOf(input), shapeOf(node.output)) ? { node, input } : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});

export const fuseViews = defineRule({
  name: "fuse-reshapes",
  summary: "Reshape, Flatten, Squeeze or Unsqueeze after another",
  anchors: views,
  match(node) {
    const first = producerOf(node.inputs[0], ...views);
    const input = first?.inputs[0];
    return first && input ? { node, first, input } : undefined;
  },
  check({ node, input }) {
    return reshapeTarget(shapeOf(input), shapeOf(node.output)) !== undefined || "more than one extent of the result is not known";
  },
  rewrite({ node, first, input }) {
    const target = reshapeTarget(shapeOf(input), shapeOf(node.output));
    if (target) reshape(node, input, target);
    prune(first);
  },
});

export const constantReshape = defineRule({
  name: "constant-reshape",
  summary: "Reshape to a computed shape that is known",
  anchors: ["Reshape"],
  match(node) {
    const [input, shape] = node.inputs;
    return input && shape && !constantOf(shape) ? { node, input } : undefined;
  },
  check({ node, input }) {
    return reshapeTarget(shapeOf(input), shapeOf(node.output)) !== undefined || "more than one extent of the result is not known";
  },
  rewrite({ node, input }) {
    const target = reshapeTarget(shapeOf(input), shapeOf(node.output));
    if (target) reshape(node, input, target);
  },
});

export const reshapeToFlatten = defineRule({
  name: "reshape-to-flatten",
  summary: "Reshape to a matrix with the batch as rows to Flatten",
  anchors: ["Reshape"],
  match(node) {
    const input = node.inputs[0];
    const [from, to] = [shapeOf(input), shapeOf(node.output)];
    const fits = from && from.length > 2 && to?.length === 2 && from[0] === to[0] && from[0] !== "?" && from[0] !== 0;
    return input && fits ? { node, input } : undefined;
  },
  rewrite({ node, input }) {
    replaceNode(node, "Flatten", [input], { axis: 1 });
  },
});
