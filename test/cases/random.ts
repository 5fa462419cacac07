import { opCases, random } from "./define.ts";

const uncut = "results differ between two runs";
const x = random([2, 3, 4], { low: 0, high: 1 });

export const generators = [
  opCases("RandomNormal", [
    { name: "float", inputs: [], attributes: { shape: [2, 3], mean: 1, seed: 7 } },
    { name: "double", inputs: [], attributes: { shape: [4], dtype: 11 } },
  ]),
  opCases("RandomUniform", [{ name: "float", inputs: [], attributes: { shape: [2, 3], low: -1, high: 1 } }]),
  opCases("RandomNormalLike", [
    { name: "same type", inputs: [x] },
    { name: "double", inputs: [x], attributes: { dtype: 11 } },
  ]),
  opCases("RandomUniformLike", [{ name: "same type", inputs: [x] }]),
  opCases("Bernoulli", [
    { name: "same type", inputs: [x], uncut },
    { name: "int32", inputs: [x], attributes: { dtype: 6 }, uncut },
  ]),
  opCases("Multinomial", [
    { name: "int32", inputs: [random([3, 5])], attributes: { sample_size: 4 } },
    { name: "int64", inputs: [random([3, 5])], attributes: { sample_size: 2, dtype: 7 } },
  ]),
];
