import { defineRule } from "../rewrite.ts";
import { canReplace, replaceValue } from "./edit.ts";
import { numbersOf } from "./facts.ts";

// Dropout(x) = x in inference. `training_mode` is an input since opset 12; before, Dropout at run time never drops.

export const eliminateDropout = defineRule({
  name: "eliminate-dropout",
  summary: "Dropout in inference",
  anchors: ["Dropout"],
  match: (node) => (node.inputs[0] ? { node, input: node.inputs[0] } : undefined),
  check({ node, input }) {
    if (node.inputs[2] && numbersOf(node.inputs[2])?.[0] !== 0) return "training mode is on, or not known";
    const mask = node.outputs[1];
    if (mask && (mask.uses.size > 0 || mask.isGraphOutput)) return "the mask is read";
    return canReplace(node.output, input);
  },
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});
