import { opCases, random } from "./define.ts";

export const transpose = opCases("Transpose", [
  { name: "NCHW to NHWC", inputs: [random([2, 3, 4, 5])], attributes: { perm: [0, 2, 3, 1] } },
  { name: "reversed by default", inputs: [random([2, 3, 4])] },
  { name: "of a matrix of integers", inputs: [random([2, 3], { dtype: "int64" })], attributes: { perm: [1, 0] } },
]);
