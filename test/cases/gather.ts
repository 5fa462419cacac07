import { constant, fed, opCases, random, scalar, weight } from "./define.ts";

const x = random([4, 5, 6]);
const chosen = (shape: readonly number[], ...values: readonly number[]) => constant("int64", shape, values);

export const gathers = [
  opCases("Gather", [
    { name: "rows of a table", inputs: [weight([10, 3]), fed("int64", [2, 4], [1, 0, 9, 3, 2, 2, 5, 7])] },
    { name: "one index drops the axis", inputs: [x, scalar("int64", 2)], attributes: { axis: 1 } },
    { name: "a list along the last axis", inputs: [x, chosen([3], 0, -1, 2)], attributes: { axis: -1 } },
  ]),
  opCases("GatherElements", [
    { name: "along axis 1", inputs: [random([2, 3]), chosen([2, 2], 0, 2, 1, -1)], attributes: { axis: 1 } },
    { name: "more rows than data", inputs: [random([2, 2]), fed("int64", [3, 2], [0, 1, 1, 0, 1, 1])] },
  ]),
  opCases("GatherND", [
    { name: "whole coordinates", inputs: [x, chosen([2, 3], 0, 0, 0, 3, 4, 5)] },
    { name: "slices", inputs: [x, chosen([2, 2, 1], 0, 3, 1, 2)] },
    { name: "batched", inputs: [x, chosen([4, 2, 1], 0, 1, 2, 3, 4, 0, 1, 2)], attributes: { batch_dims: 1 } },
  ]),
  opCases("Compress", [
    { name: "along an axis", inputs: [x, constant("bool", [5], [1, 0, 1, 1, 0])], attributes: { axis: 1 } },
    { name: "of all elements", inputs: [random([2, 3]), constant("bool", [4], [0, 1, 0, 1])] },
    {
      name: "computed condition",
      inputs: [x, fed("bool", [4], [1, 0, 1, 0])],
      attributes: { axis: 0 },
      dataDependent: "how many are kept is computed at run time",
    },
  ]),
  opCases("OneHot", [
    {
      name: "last axis",
      inputs: [fed("int64", [2, 3], [0, 1, 2, 3, 0, 1]), scalar("int64", 4), constant("float32", [2], [0, 1])],
    },
    {
      name: "first axis",
      inputs: [fed("int64", [3], [0, 1, 2]), constant("int64", [1], [5]), constant("float32", [2], [-1, 1])],
      attributes: { axis: 0 },
    },
    {
      name: "computed depth",
      inputs: [fed("int64", [3], [0, 1, 2]), fed("int64", [], [3]), constant("float32", [2], [0, 1])],
      dataDependent: "the depth is computed at run time",
    },
  ]),
  opCases("ReverseSequence", [
    { name: "time first", inputs: [random([4, 3, 2]), constant("int64", [3], [1, 4, 2])] },
    {
      name: "batch first",
      inputs: [random([3, 4]), constant("int64", [3], [1, 4, 2])],
      attributes: { batch_axis: 0, time_axis: 1 },
    },
  ]),
  opCases("Where", [
    { name: "equal shapes", inputs: [random([2, 3], { dtype: "bool" }), random([2, 3]), random([2, 3])] },
    { name: "broadcast", inputs: [random([4, 1, 3], { dtype: "bool" }), random([2, 1]), scalar("float32", 0)] },
    { name: "integers", inputs: [random([3], { dtype: "bool" }), random([3], { dtype: "int64" }), chosen([1], -1)] },
  ]),
];
