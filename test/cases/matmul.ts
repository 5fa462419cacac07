import { opCases, random, weight } from "./define.ts";

export const matMul = opCases("MatMul", [
  { name: "matrices", inputs: [random([4, 5]), weight([5, 3])] },
  { name: "both fed", inputs: [random([4, 5]), random([5, 3])] },
  { name: "batch on the left", inputs: [random([2, 4, 5]), weight([5, 3])] },
  { name: "batches", inputs: [random([2, 6, 4, 5]), random([2, 6, 5, 3])] },
  { name: "batches that broadcast", inputs: [random([6, 4, 5]), random([2, 1, 5, 3])] },
  { name: "vector on the left", inputs: [random([5]), weight([5, 3])] },
  { name: "vector on the left of a batch", inputs: [random([5]), random([2, 5, 3])] },
  { name: "vector on the right", inputs: [random([2, 4, 5]), weight([5])] },
  { name: "two vectors", inputs: [random([5]), random([5])] },
  { name: "integers", inputs: [random([4, 5], { dtype: "int32" }), weight([5, 3], { dtype: "int32" })] },
  { name: "double", inputs: [random([4, 5], { dtype: "float64" }), weight([5, 3], { dtype: "float64" })] },
]);

export const gemm = opCases("Gemm", [
  { name: "plain", inputs: [random([4, 5]), weight([5, 3])] },
  { name: "bias", inputs: [random([4, 5]), weight([5, 3]), weight([3])] },
  { name: "transB as frameworks export it", inputs: [random([4, 5]), weight([3, 5]), weight([3])], attributes: { transB: 1 } },
  {
    name: "transA, alpha and beta",
    inputs: [random([5, 4]), weight([5, 3]), weight([4, 1])],
    attributes: { transA: 1, alpha: 0.5, beta: 2 },
  },
  { name: "a whole matrix as C", inputs: [random([4, 5]), weight([5, 3]), weight([4, 3])] },
  { name: "one row as C", inputs: [random([4, 5]), weight([5, 3]), weight([1, 3])] },
  { name: "scalar C", inputs: [random([4, 5]), weight([5, 3]), weight([])] },
]);
