import { constant, fed, int64s, type OpCases, opCases, random } from "./define.ts";

const x = random([2, 3, 4, 5], { low: 0.5, high: 2 });
const computed = "the axes are computed at run time";

const reduction = (type: string): OpCases =>
  opCases(type, [
    { name: "spatial axes", inputs: [x, int64s(2, 3)] },
    { name: "negative axis, dropped", inputs: [x, int64s(-1)], attributes: { keepdims: 0 } },
    { name: "all axes", inputs: [x] },
    { name: "all axes, dropped", inputs: [x], attributes: { keepdims: 0 } },
    { name: "no axes, on purpose", inputs: [x, int64s()], attributes: { noop_with_empty_axes: 1 } },
    { name: "axes in any order, dropped", inputs: [x, int64s(3, 0)], attributes: { keepdims: 0 } },
    { name: "computed axes", inputs: [x, fed("int64", [1], [1])], dataDependent: computed },
    {
      name: "computed axes, dropped",
      inputs: [x, fed("int64", [2], [1, 2])],
      attributes: { keepdims: 0 },
      dataDependent: computed,
    },
  ]);

const index = (type: string): OpCases =>
  opCases(type, [
    { name: "default axis", inputs: [x] },
    { name: "last axis, dropped", inputs: [x], attributes: { axis: -1, keepdims: 0 } },
    { name: "last index", inputs: [x], attributes: { axis: 1, select_last_index: 1 } },
  ]);

export const reductions = [
  ...["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"].map((name) =>
    reduction(`Reduce${name}`),
  ),
  index("ArgMax"),
  index("ArgMin"),
  opCases("TopK", [
    { name: "constant K", inputs: [random([3, 7]), int64s(2)], outputs: 2 },
    { name: "first axis, smallest", inputs: [random([7, 3]), int64s(4)], attributes: { axis: 0, largest: 0 }, outputs: 2 },
    {
      name: "computed K",
      inputs: [random([3, 7]), fed("int64", [1], [2])],
      outputs: 2,
      dataDependent: "K is computed at run time",
    },
  ]),
  opCases("CumSum", [
    { name: "plain", inputs: [random([3, 4]), constant("int64", [], [1])] },
    {
      name: "reverse and exclusive",
      inputs: [random([3, 4]), constant("int32", [], [0])],
      attributes: { reverse: 1, exclusive: 1 },
    },
  ]),
];
