import type { Node } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { canReplace, prune, replaceValue } from "./edit.ts";
import { producerOf, rankOf } from "./facts.ts";

// Transpose<identity>(x) = x
// Transpose<q>(Transpose<p>(x)) = Transpose<p∘q>(x),   (p∘q)[i] = p[q[i]]

/** The permutation; reversed axes when it is left out. */
function permutation(node: Node): readonly number[] | undefined {
  const perm = node.ints("perm");
  const rank = perm?.length ?? rankOf(node.inputs[0]);
  return perm ?? (rank === undefined ? undefined : Array.from({ length: rank }, (_, i) => rank - 1 - i));
}

export const eliminateTranspose = defineRule({
  name: "eliminate-transpose",
  summary: "Transpose that keeps the order of axes",
  anchors: ["Transpose"],
  match(node) {
    const input = node.inputs[0];
    return input && permutation(node)?.every((axis, i) => axis === i) ? { node, input } : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});

export const fuseTransposes = defineRule({
  name: "fuse-transposes",
  summary: "Transpose after Transpose",
  anchors: ["Transpose"],
  match(node) {
    const first = producerOf(node.inputs[0], "Transpose");
    const input = first?.inputs[0];
    const inner = first && permutation(first);
    const outer = permutation(node);
    return first && input && inner && outer
      ? { node, first, input, perm: outer.map((axis) => inner[axis] as number) }
      : undefined;
  },
  rewrite({ node, first, input, perm }) {
    node.setInput(0, input);
    node.setAttribute("perm", { type: "ints", value: perm });
    prune(first);
  },
});
