import { int64Tensor, type Node } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { addConstant, canReplace, prune, replaceNode, replaceValue } from "./edit.ts";
import { producerOf, rankOf, shapeOf } from "./facts.ts";
import { reshapeTarget, views } from "./views.ts";

// Transpose<identity>(x) = x
// Transpose<q>(Transpose<p>(x)) = Transpose<p∘q>(x),   (p∘q)[i] = p[q[i]]
// Transpose<p>(x) = Reshape(x, permuted shape)          when axes longer than 1 keep their order

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

export const transposeToReshape = defineRule({
  name: "transpose-to-reshape",
  summary: "Transpose that only moves axes of extent 1, beside a Reshape that can take it",
  anchors: ["Transpose"],
  match(node) {
    const input = node.inputs[0];
    const perm = permutation(node);
    const shape = shapeOf(input);
    const moved = perm?.filter((axis) => shape?.[axis] !== 1);
    if (!input || !shape || !perm || !moved?.every((axis, i) => i === 0 || axis > (moved[i - 1] as number))) return undefined;
    return {
      node,
      target: reshapeTarget(
        shape,
        perm.map((axis) => shape[axis] as number | string),
      ),
      input,
    };
  },
  check({ node, target, input }) {
    if (!target) return "more than one extent is not known";
    const beside =
      producerOf(input, ...views) !== undefined ||
      [...node.output.uses].some(({ node: next }) => next.domain === "" && views.includes(next.opType));
    return beside || "no Reshape is beside it";
  },
  rewrite({ node, target, input }) {
    if (target) replaceNode(node, "Reshape", [input, addConstant(node, "shape", int64Tensor(target))]);
  },
});
