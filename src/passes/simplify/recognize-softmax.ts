import { type Node, sameShape, type Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { replaceNode } from "./edit.ts";
import { axesOf, normalizeAxes, producerOf, rankOf, shapeOf } from "./facts.ts";
import { views } from "./views.ts";

// e = exp(x - max(x)),  Softmax(x) = e / sum(e)          max and sum over the same axis, which is kept
//
// Without the subtraction of the maximum the written form overflows where Softmax does not: it is left alone.

function keptAxis(node: Node, rank: number): number | undefined {
  const axes = axesOf(node);
  const known = axes && node.int("keepdims", 1) === 1 ? normalizeAxes(axes, rank) : undefined;
  return known?.length === 1 ? known[0] : undefined;
}

export const recognizeSoftmax = defineRule({
  name: "recognize-softmax",
  summary: "Softmax written with Exp, ReduceMax, ReduceSum and Div",
  anchors: ["Div"],
  match(node) {
    const exp = producerOf(node.inputs[0], "Exp");
    const sum = producerOf(node.inputs[1], "ReduceSum");
    const sub = producerOf(exp?.inputs[0], "Sub");
    const max = producerOf(sub?.inputs[1], "ReduceMax");
    const x = sub?.inputs[0];
    return exp && sum && max && x && sum.inputs[0] === exp.output && max.inputs[0] === x ? { node, sum, max, x } : undefined;
  },
  check({ sum, max, x }) {
    const rank = rankOf(x);
    if (rank === undefined) return "the rank is not known";
    const axis = keptAxis(sum, rank);
    return (axis !== undefined && axis === keptAxis(max, rank)) || "maximum and sum are not over one and the same kept axis";
  },
  rewrite({ node, sum, x }) {
    replaceNode(node, "Softmax", [x], { axis: keptAxis(sum, rankOf(x) ?? 0) });
  },
});

// view(Softmax<last axis>(view(x))) = Softmax<k>(x)     when the result has the shape of x again, k is the last axis of x longer than 1
// and as long as the axis that was normalized: rows of the view are then runs along k. (How Softmax of opset 12 and older is upgraded.)

export const softmaxInPlace = defineRule({
  name: "softmax-in-place",
  summary: "Softmax of a reshaped tensor that is reshaped back",
  anchors: views,
  match(node) {
    const softmax = producerOf(node.inputs[0], "Softmax", "LogSoftmax");
    const x = producerOf(softmax?.inputs[0], ...views)?.inputs[0];
    return softmax && x && sameShape(shapeOf(x), shapeOf(node.output)) ? { node, softmax, x } : undefined;
  },
  check: ({ softmax, x }) => runAxis(softmax, x) !== undefined || "the normalized rows are not one axis of the tensor",
  rewrite({ node, softmax, x }) {
    replaceNode(node, softmax.opType, [x], { axis: runAxis(softmax, x) });
  },
});

function runAxis(softmax: Node, x: Value): number | undefined {
  const matrix = shapeOf(softmax.inputs[0]);
  const shape = shapeOf(x) ?? [];
  const axis = softmax.int("axis", -1);
  if (!matrix || (axis !== -1 && axis !== matrix.length - 1)) return undefined;
  const last = shape.findLastIndex((dim) => dim !== 1);
  return last >= 0 && typeof shape[last] === "number" && shape[last] === matrix.at(-1) ? last : undefined;
}
