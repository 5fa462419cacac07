import { int64s, opCases, random } from "./define.ts";

export const grids = [
  opCases("GridSample", [
    { name: "bilinear", inputs: [random([2, 3, 4, 5]), random([2, 6, 7, 2])] },
    {
      name: "cubic, aligned",
      inputs: [random([1, 2, 5, 5]), random([1, 3, 4, 2])],
      attributes: { mode: "cubic", align_corners: 1 },
    },
    { name: "volumes", inputs: [random([1, 2, 3, 4, 5]), random([1, 2, 3, 4, 3])], attributes: { padding_mode: "border" } },
  ]),
  opCases("AffineGrid", [
    { name: "images", inputs: [random([2, 2, 3]), int64s(2, 3, 4, 5)] },
    { name: "volumes", inputs: [random([1, 3, 4]), int64s(1, 2, 3, 4, 5)], attributes: { align_corners: 1 } },
  ]),
  opCases("Col2Im", [
    { name: "blocks of 2x3", inputs: [random([1, 12, 20]), int64s(5, 7), int64s(2, 3)] },
    {
      name: "strides and pads",
      inputs: [random([1, 9, 9]), int64s(5, 5), int64s(3, 3)],
      attributes: { strides: [2, 2], pads: [1, 1, 1, 1] },
    },
  ]),
];
