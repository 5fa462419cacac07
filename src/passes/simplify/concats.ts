import type { Node, Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { canReplace, prune, replaceValue } from "./edit.ts";
import { producerOf, rankOf } from "./facts.ts";

// Concat(x) = x
// Concat<k>(a, Concat<k>(b, c), d) = Concat<k>(a, b, c, d)

const axisOf = (node: Node): number | undefined => {
  const axis = node.int("axis", 0);
  const rank = rankOf(node.output) ?? rankOf(node.inputs[0]);
  return axis >= 0 ? axis : rank === undefined ? undefined : axis + rank;
};

export const eliminateConcat = defineRule({
  name: "eliminate-concat",
  summary: "Concat, Sum, Mean, Max, Min or Split of one part",
  anchors: ["Concat", "Sum", "Mean", "Max", "Min", "Split"],
  match(node) {
    const input = node.inputs[0];
    const parts = node.opType === "Split" ? node.outputs.length : node.inputs.length;
    return input && parts === 1 ? { node, input } : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});

export const fuseConcats = defineRule({
  name: "fuse-concats",
  summary: "Concat of a Concat along the same axis",
  anchors: ["Concat"],
  match(node) {
    const axis = axisOf(node);
    const inner = node.inputs.map((input) => producerOf(input, "Concat")).filter((n) => n !== undefined);
    const same = new Set(inner.filter((n) => axis !== undefined && axisOf(n) === axis && n.graph === node.graph));
    return same.size > 0 ? { node, same } : undefined;
  },
  check: ({ same }) => [...same].every((inner) => inner.output.soleConsumer) || "the inner result is read elsewhere too",
  rewrite({ node, same }) {
    const flat = (input: Value | undefined) => (input?.producer && same.has(input.producer) ? input.producer.inputs : [input]);
    node.setInputs(node.inputs.flatMap(flat));
    for (const inner of same) prune(inner);
  },
});
