import { constant, fed, int64s, opCases, random } from "./define.ts";

const x = random([1, 3, 8, 10]);
const empty = constant("float32", [0], []);
const scales = (...values: readonly number[]) => constant("float32", [values.length], values);
const fraction = "extents times a scale that is no small fraction are not followed symbolically";

export const resizes = [
  opCases("Resize", [
    { name: "twice as large", inputs: [x, undefined, scales(1, 1, 2, 2)] },
    { name: "half, bilinear", inputs: [x, undefined, scales(1, 1, 0.5, 0.5)], attributes: { mode: "linear" } },
    {
      name: "odd scale, asymmetric",
      inputs: [x, undefined, scales(1, 1, 0.7, 1.3)],
      attributes: { coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" },
      symbolicUnknown: fraction,
    },
    { name: "given sizes, cubic", inputs: [x, undefined, undefined, int64s(1, 3, 5, 17)], attributes: { mode: "cubic" } },
    {
      name: "sizes of two axes, antialiased",
      inputs: [x, undefined, undefined, int64s(4, 5)],
      attributes: { axes: [2, 3], mode: "linear", antialias: 1 },
    },
    {
      name: "aspect ratio kept",
      inputs: [x, undefined, undefined, int64s(7, 6)],
      attributes: { axes: [2, 3], keep_aspect_ratio_policy: "not_larger" },
      symbolicUnknown: "the common scale is a minimum of ratios",
    },
    {
      name: "cropped",
      inputs: [x, scales(0, 0, 0.25, 0.1, 1, 1, 0.75, 0.9), scales(1, 1, 1.5, 2)],
      attributes: { mode: "linear", coordinate_transformation_mode: "tf_crop_and_resize" },
    },
    { name: "empty roi of opset 11", inputs: [x, empty, scales(1, 1, 3, 1)], opset: 11 },
    { name: "opset 10", inputs: [x, scales(1, 1, 2, 2)], opset: 10 },
    {
      name: "computed sizes",
      inputs: [x, undefined, undefined, fed("int64", [4], [1, 3, 4, 4])],
      dataDependent: "sizes are computed at run time",
    },
  ]),
  opCases(
    "Upsample",
    [
      { name: "scales as input", inputs: [x, scales(1, 1, 2, 3)] },
      { name: "scales as attribute", inputs: [x], attributes: { scales: [1, 1, 2, 2], mode: "linear" }, opset: 7 },
    ],
    { opset: 9 },
  ),
  opCases("DepthToSpace", [
    { name: "depth first", inputs: [random([2, 12, 3, 4])], attributes: { blocksize: 2 } },
    { name: "column first", inputs: [random([1, 9, 2, 2])], attributes: { blocksize: 3, mode: "CRD" } },
  ]),
  opCases("SpaceToDepth", [{ name: "blocks of 2", inputs: [random([2, 3, 4, 6])], attributes: { blocksize: 2 } }]),
];
