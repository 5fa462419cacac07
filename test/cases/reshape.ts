import { fed, int64s, opCases, random, weight } from "./define.ts";

const x = random([2, 3, 4, 5]);
const computed = "the target is computed at run time";

export const reshapes = [
  opCases("Reshape", [
    { name: "flattened but for the batch", inputs: [x, int64s(0, -1)] },
    { name: "channels split into groups", inputs: [random([2, 6, 4]), int64s(2, 3, 2, 4)] },
    { name: "channels joined", inputs: [random([2, 3, 2, 4]), int64s(0, 6, 4)] },
    { name: "one -1 in the middle", inputs: [x, int64s(4, -1, 5)] },
    { name: "to a vector", inputs: [x, int64s(-1)] },
    { name: "to a scalar", inputs: [random([1, 1]), int64s()] },
    { name: "zero means zero", inputs: [random([0, 3]), int64s(0, 5)], attributes: { allowzero: 1 } },
    { name: "computed shape", inputs: [x, fed("int64", [2], [6, 20])], dataDependent: computed },
    { name: "constant data", inputs: [weight([2, 6]), int64s(3, 4)] },
  ]),
  opCases("Flatten", [
    { name: "default axis", inputs: [x] },
    { name: "axis 0", inputs: [x], attributes: { axis: 0 } },
    { name: "negative axis", inputs: [x], attributes: { axis: -1 } },
    { name: "axis after the last", inputs: [x], attributes: { axis: 4 } },
  ]),
  opCases("Squeeze", [
    { name: "given axes", inputs: [random([1, 3, 1, 5]), int64s(0, -2)] },
    {
      name: "all axes of extent 1",
      inputs: [random([1, 3, 1, 5])],
      symbolicUnknown: "which symbols turn out as 1 is not known",
    },
    { name: "computed axes", inputs: [random([1, 3]), fed("int64", [1], [0])], dataDependent: computed },
  ]),
  opCases("Unsqueeze", [
    { name: "front and back", inputs: [random([3, 5]), int64s(0, -1)] },
    { name: "middle", inputs: [random([3, 5]), int64s(1)] },
    { name: "of a scalar", inputs: [random([]), int64s(0)] },
    { name: "computed axes", inputs: [random([3]), fed("int64", [1], [0])], dataDependent: computed },
  ]),
];
