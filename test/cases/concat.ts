import { fed, int64s, opCases, random, weight } from "./define.ts";

export const joins = [
  opCases("Concat", [
    { name: "channels", inputs: [random([2, 3, 4]), random([2, 5, 4])], attributes: { axis: 1 } },
    { name: "three, along the last axis", inputs: [random([2, 3]), random([2, 1]), random([2, 4])], attributes: { axis: -1 } },
    { name: "with a constant", inputs: [random([2, 3]), weight([1, 3])], attributes: { axis: 0 } },
    { name: "one input", inputs: [random([2, 3])], attributes: { axis: 0 } },
  ]),
  opCases("Split", [
    { name: "into equal parts", inputs: [random([2, 6, 3])], attributes: { axis: 1, num_outputs: 3 }, outputs: 3 },
    { name: "last part smaller", inputs: [random([7, 2])], attributes: { num_outputs: 3 }, outputs: 3 },
    { name: "given sizes", inputs: [random([2, 6]), int64s(1, 3, 2)], attributes: { axis: -1 }, outputs: 3 },
    {
      name: "computed sizes",
      inputs: [random([6, 2]), fed("int64", [2], [4, 2])],
      outputs: 2,
      dataDependent: "the sizes are computed at run time",
    },
  ]),
];
