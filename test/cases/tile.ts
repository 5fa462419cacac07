import { fed, int64s, opCases, random } from "./define.ts";

export const repeats = [
  opCases("Tile", [
    { name: "two axes", inputs: [random([2, 3, 4]), int64s(1, 2, 3)] },
    { name: "no repetition", inputs: [random([2, 3]), int64s(1, 1)] },
    { name: "computed", inputs: [random([2, 3]), fed("int64", [2], [2, 1])], dataDependent: "counts are computed at run time" },
  ]),
  opCases("Expand", [
    { name: "more axes", inputs: [random([3, 1]), int64s(2, 1, 6)] },
    { name: "narrower than the input", inputs: [random([2, 3, 4]), int64s(3, 1)] },
    { name: "computed", inputs: [random([3, 1]), fed("int64", [2], [3, 5])], dataDependent: "the shape is computed at run time" },
  ]),
];
