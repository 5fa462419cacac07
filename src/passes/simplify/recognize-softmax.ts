import type { Node } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { replaceNode } from "./edit.ts";
import { axesOf, normalizeAxes, producerOf, rankOf } from "./facts.ts";

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
