import { defineRule } from "../rewrite.ts";
import { replaceNode } from "./edit.ts";
import { axesOf, isFloatValue, normalizeAxes, rankOf } from "./facts.ts";

// GlobalAveragePool(x) = mean of x over its spatial axes (2, 3, ...), which are kept

export const recognizeGlobalAveragePool = defineRule({
  name: "recognize-global-average-pool",
  summary: "ReduceMean over all spatial axes",
  anchors: ["ReduceMean"],
  match(node) {
    const input = node.inputs[0];
    const rank = rankOf(input);
    const axes = axesOf(node);
    const known = rank !== undefined && axes ? normalizeAxes(axes, rank) : undefined;
    if (!input || !rank || rank < 4 || known?.length !== rank - 2 || !known.every((axis, i) => axis === i + 2)) return undefined;
    return { node, input };
  },
  check({ node, input }) {
    if (node.int("keepdims", 1) !== 1) return "the axes are not kept";
    return isFloatValue(input) || "the type is not known to be a float";
  },
  rewrite({ node, input }) {
    replaceNode(node, "GlobalAveragePool", [input]);
  },
});
