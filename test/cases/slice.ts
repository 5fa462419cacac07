import { fed, int64s, opCases, random } from "./define.ts";

const x = random([4, 6, 9]);
const largest = 2 ** 31 - 1;

export const slice = opCases("Slice", [
  { name: "one axis", inputs: [x, int64s(1), int64s(3), int64s(0)] },
  { name: "all axes in order", inputs: [x, int64s(0, 1, 2), int64s(2, 5, 9)] },
  { name: "to the end", inputs: [x, int64s(2), int64s(largest), int64s(1)] },
  { name: "from the end", inputs: [x, int64s(-3), int64s(-1), int64s(-1)] },
  { name: "every second", inputs: [x, int64s(0, 1), int64s(largest, largest), int64s(1, 2), int64s(2, 3)] },
  { name: "reversed", inputs: [x, int64s(-1), int64s(-largest), int64s(2), int64s(-1)] },
  { name: "backwards in steps", inputs: [x, int64s(7), int64s(0), int64s(2), int64s(-3)] },
  { name: "past the end", inputs: [x, int64s(2), int64s(100), int64s(0)] },
  { name: "end before the start of the axis", inputs: [x, int64s(1), int64s(-100), int64s(0)] },
  { name: "backwards from before the start", inputs: [x, int64s(-100), int64s(-largest), int64s(0), int64s(-1)] },
  { name: "nothing left", inputs: [x, int64s(3), int64s(1), int64s(0)] },
  {
    name: "computed bounds",
    inputs: [x, fed("int64", [1], [1]), fed("int64", [1], [3]), int64s(0)],
    dataDependent: "the bounds are computed at run time",
  },
]);
