import type { Node, Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { prune, replaceNode } from "./edit.ts";
import { isFloatValue, producerOf, rankOf, shapeOf } from "./facts.ts";

// A B + C = Gemm(A, B, C)                         A, B matrices, C broadcast to the rows of the product
// Gemm(A', B) = Gemm<transA>(A, B)                likewise B;  A B' = Gemm<transB>(A, B)

export const fuseMatMulAdd = defineRule({
  name: "fuse-matmul-add",
  summary: "MatMul of matrices and Add of a bias to Gemm",
  anchors: ["Add"],
  match(node) {
    for (const [index, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const product = producerOf(node.inputs[index], "MatMul");
      const bias = node.inputs[other];
      if (product && bias && product.output.uses.size === 1) return { node, product, bias };
    }
    return undefined;
  },
  check({ node, product, bias }) {
    const [a, b] = product.inputs;
    if (product.output.isGraphOutput || product.graph !== node.graph) return "the product is read elsewhere too";
    if (rankOf(a) !== 2 || rankOf(b) !== 2) return "the operands are not known to be matrices";
    if (!isFloatValue(a) || !isFloatValue(bias)) return "the type is not known to be a float";
    const columns = shapeOf(b)?.[1];
    const shape = shapeOf(bias);
    const fits =
      shape && shape.length <= 2 && (shape.at(-1) === 1 || (shape.at(-1) === columns && columns !== "?") || shape.length === 0);
    return (fits && (shape.length < 2 || shape[0] === 1)) || "the bias is not one number per column";
  },
  rewrite({ node, product, bias }) {
    replaceNode(node, "Gemm", [product.inputs[0], product.inputs[1], bias]);
  },
});

const isMatrixTranspose = (node: Node): boolean => {
  const perm = node.ints("perm");
  return perm ? perm.length === 2 && perm[0] === 1 && perm[1] === 0 : rankOf(node.inputs[0]) === 2;
};

export const foldTransposeIntoGemm = defineRule({
  name: "fold-transpose-into-gemm",
  summary: "Transpose of an operand into Gemm, or MatMul of matrices",
  anchors: ["Gemm", "MatMul"],
  match(node) {
    for (const index of [0, 1] as const) {
      const transpose = producerOf(node.inputs[index], "Transpose");
      if (transpose && isMatrixTranspose(transpose)) return { node, index, transpose };
    }
    return undefined;
  },
  check({ node, transpose }) {
    if (!transpose.output.soleConsumer) return "the transposed matrix is read elsewhere too";
    if (node.opType === "Gemm") return true;
    return (
      (rankOf(node.inputs[0]) === 2 && rankOf(node.inputs[1]) === 2 && isFloatValue(node.inputs[0])) ||
      "the operands are not known to be matrices"
    );
  },
  rewrite({ node, index, transpose }) {
    const inputs: (Value | undefined)[] = [...node.inputs];
    inputs[index] = transpose.inputs[0];
    const name = index === 0 ? "transA" : "transB";
    if (node.opType === "MatMul") {
      replaceNode(node, "Gemm", inputs, { [name]: 1 });
      return;
    }
    node.setAttribute(name, { type: "int", value: 1 - node.int(name, 0) });
    node.setInputs(inputs);
    prune(transpose);
  },
});
