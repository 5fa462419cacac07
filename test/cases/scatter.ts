import { constant, fed, opCases, random } from "./define.ts";

const indices = constant("int64", [2, 2], [0, 2, 1, 0]);

export const scatters = [
  opCases("Scatter", [{ name: "rows", inputs: [random([3, 2]), indices, random([2, 2])] }], { opset: 10 }),
  opCases("ScatterElements", [
    { name: "along axis 1", inputs: [random([2, 3]), indices, random([2, 2])], attributes: { axis: 1 } },
    { name: "added", inputs: [random([3, 2]), indices, random([2, 2])], attributes: { reduction: "add" } },
  ]),
  opCases("ScatterND", [
    { name: "elements", inputs: [random([4, 5]), fed("int64", [2, 2], [0, 1, 3, 4]), random([2])] },
    {
      name: "slices, maximum",
      inputs: [random([4, 5]), constant("int64", [2, 1], [1, 3]), random([2, 5])],
      attributes: { reduction: "max" },
    },
  ]),
  opCases(
    "TensorScatter",
    [{ name: "one step of a cache", inputs: [random([2, 3, 6, 4]), random([2, 3, 1, 4]), constant("int64", [2], [1, 4])] }],
    { opset: 24 },
  ),
];
