import { constant, fed, int64s, opCases, random, scalar } from "./define.ts";

const x = random([2, 3, 4, 5]);

export const pads = [
  opCases("Pad", [
    { name: "zeros around the image", inputs: [x, int64s(0, 0, 1, 2, 0, 0, 3, 0)] },
    { name: "a value, given axes", inputs: [x, int64s(1, 2), scalar("float32", -1), int64s(-1)] },
    { name: "cropped", inputs: [x, int64s(0, 0, -1, 0, 0, 0, 0, -2)] },
    { name: "channels", inputs: [x, int64s(0, 2, 0, 0, 0, 1, 0, 0)] },
    { name: "reflected", inputs: [x, int64s(0, 0, 1, 1, 0, 0, 2, 2)], attributes: { mode: "reflect" } },
    { name: "edge", inputs: [x, int64s(0, 0, 1, 1, 0, 0, 2, 2)], attributes: { mode: "edge" } },
    { name: "wrapped", inputs: [x, int64s(0, 0, 1, 1, 0, 0, 2, 2)], attributes: { mode: "wrap" } },
    {
      name: "computed amounts",
      inputs: [random([2, 3]), fed("int64", [4], [0, 1, 0, 1])],
      dataDependent: "the amounts are computed at run time",
    },
  ]),
  opCases("CenterCropPad", [
    { name: "given axes", inputs: [x, int64s(6, 3)], attributes: { axes: [2, 3] } },
    { name: "all axes", inputs: [random([4, 5]), int64s(2, 8)] },
  ]),
  opCases("Trilu", [
    { name: "upper", inputs: [random([3, 4, 4])] },
    { name: "lower, shifted", inputs: [random([4, 5]), constant("int64", [], [-1])], attributes: { upper: 0 } },
  ]),
];
