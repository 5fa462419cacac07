import { opCases, random, weight } from "./define.ts";

export const einsum = opCases("Einsum", [
  { name: "matrix product", inputs: [random([4, 5]), weight([5, 3])], attributes: { equation: "ij,jk->ik" } },
  { name: "implicit result", inputs: [random([4, 5]), weight([5, 3])], attributes: { equation: "ij,jk" } },
  { name: "transposed", inputs: [random([2, 3, 4])], attributes: { equation: "abc->cab" } },
  { name: "sum over one axis", inputs: [random([2, 3, 4])], attributes: { equation: "abc -> ac" } },
  {
    name: "attention scores",
    inputs: [random([2, 3, 4, 5]), random([2, 3, 6, 5])],
    attributes: { equation: "bhqd,bhkd->bhqk" },
  },
  { name: "ellipsis", inputs: [random([2, 3, 4, 5]), random([2, 1, 5, 6])], attributes: { equation: "...ij,...jk->...ik" } },
  { name: "diagonal", inputs: [random([4, 4])], attributes: { equation: "ii->i" } },
  { name: "outer product of three", inputs: [random([2]), random([3]), random([4])], attributes: { equation: "a,b,c->abc" } },
]);
