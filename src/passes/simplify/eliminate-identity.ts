import { defineRule } from "../rewrite.ts";
import { canReplace, replaceValue } from "./edit.ts";

// Identity(x) = x

export const eliminateIdentity = defineRule({
  name: "eliminate-identity",
  summary: "Identity",
  anchors: ["Identity"],
  match: (node) => (node.inputs[0] && node.output.name ? { node, input: node.inputs[0] } : undefined),
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});
