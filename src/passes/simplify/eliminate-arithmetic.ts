import { type Node, sameShape } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { canReplace, replaceValue } from "./edit.ts";
import { broadcastsInto, constantOperand, dtypeOf, numbersOf, rankOf, shapeOf } from "./facts.ts";

// x + 0 = x,  x - 0 = x,  x * 1 = x,  x / 1 = x,  x ^ 1 = x,  x and true = x,  x or false = x
// when the constant does not broadcast x to a larger shape.

const neutral: Readonly<Record<string, { readonly value: number; readonly rightOnly: boolean }>> = {
  Add: { value: 0, rightOnly: false },
  Sub: { value: 0, rightOnly: true },
  Mul: { value: 1, rightOnly: false },
  Div: { value: 1, rightOnly: true },
  Pow: { value: 1, rightOnly: true },
  And: { value: 1, rightOnly: false },
  Or: { value: 0, rightOnly: false },
};
/** Larger constants are not looked through: a scan of all weights would cost more than it finds. */
const largest = 65536;

function keepsShape(node: Node, constantShape: readonly number[], other: Node["inputs"][number]): boolean {
  const rank = rankOf(other);
  if (rank !== undefined && constantShape.length <= rank && constantShape.every((dim) => dim === 1)) return true;
  return broadcastsInto(constantShape, shapeOf(other)) || sameShape(shapeOf(other), shapeOf(node.output));
}

export const eliminateArithmetic = defineRule({
  name: "eliminate-arithmetic",
  summary: "Add 0, Mul 1 and their like",
  anchors: Object.keys(neutral),
  match(node) {
    const operands = constantOperand(node);
    const rule = neutral[node.opType];
    if (!operands || !rule || (rule.rightOnly && operands.constantIndex === 0)) return undefined;
    const numbers = numbersOf(node.inputs[operands.constantIndex], largest);
    return numbers?.every((n) => n === rule.value) ? { node, ...operands } : undefined;
  },
  check({ node, constant, other }) {
    if (!keepsShape(node, constant.shape, other))
      return "the constant broadcasts the tensor to a larger shape, or the shape is not known";
    if (dtypeOf(other) !== dtypeOf(node.output) && dtypeOf(node.output)) return "the result has another type";
    return canReplace(node.output, other);
  },
  rewrite: ({ node, other }) => replaceValue(node.output, other),
});
