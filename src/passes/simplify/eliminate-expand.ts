import { type Node, sameShape } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { prune } from "./edit.ts";
import { producerOf, shapeOf } from "./facts.ts";

// Expand(x) + y = x + y          when y alone already gives the result its shape; likewise for the other broadcasting ops

const broadcasting = ["Add", "Sub", "Mul", "Div", "Pow", "Where", "And", "Or", "Equal", "Less", "Greater", "Min", "Max"] as const;

export const eliminateExpand = defineRule<{ node: Node; index: number; expand: Node }>({
  name: "eliminate-expand",
  summary: "Expand before an op that broadcasts anyway",
  anchors: broadcasting,
  match(node) {
    const index = node.inputs.findIndex((input) => producerOf(input, "Expand"));
    const expand = producerOf(node.inputs[index], "Expand");
    return expand && node.inputs.length > 1 ? { node, index, expand } : undefined;
  },
  check({ node, index, expand }) {
    const result = shapeOf(node.output);
    const rank = shapeOf(expand.inputs[0])?.length;
    const carried = node.inputs.some((input, i) => i !== index && sameShape(shapeOf(input), result));
    return (
      (carried && rank !== undefined && rank <= (result?.length ?? 0)) ||
      "no other input is known to have the shape of the result"
    );
  },
  rewrite({ node, index, expand }) {
    node.setInput(index, expand.inputs[0]);
    prune(expand);
  },
});
