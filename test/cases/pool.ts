import { constant, fed, int64s, opCases, random } from "./define.ts";

const x = random([2, 3, 9, 8]);
const kernel = { kernel_shape: [3, 3] };
const rule = "whether the last window begins in the padding depends on the extent";

export const pools = [
  opCases("MaxPool", [
    { name: "plain", inputs: [x], attributes: kernel },
    { name: "stride and padding", inputs: [x], attributes: { ...kernel, strides: [2, 2], pads: [1, 1, 1, 1] } },
    { name: "ceil_mode", inputs: [x], attributes: { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 } },
    {
      name: "ceil_mode with padding at the end",
      inputs: [random([1, 2, 7, 6])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 1, 1], ceil_mode: 1 },
      symbolicUnknown: rule,
    },
    {
      name: "ceil_mode drops a window that begins in the padding",
      inputs: [random([1, 1, 4, 4])],
      attributes: { kernel_shape: [1, 1], strides: [2, 2], pads: [0, 0, 0, 0], ceil_mode: 1 },
      symbolicUnknown: rule,
    },
    { name: "dilation", inputs: [x], attributes: { ...kernel, dilations: [2, 2] } },
    { name: "auto_pad SAME_UPPER", inputs: [x], attributes: { ...kernel, strides: [2, 2], auto_pad: "SAME_UPPER" } },
    { name: "auto_pad VALID", inputs: [x], attributes: { ...kernel, strides: [2, 2], auto_pad: "VALID" } },
    { name: "indices", inputs: [x], attributes: { ...kernel, strides: [2, 2] }, outputs: 2 },
    { name: "1-D", inputs: [random([2, 3, 10])], attributes: { kernel_shape: [4], strides: [3] } },
    { name: "3-D", inputs: [random([1, 2, 5, 6, 7])], attributes: { kernel_shape: [2, 2, 2], strides: [2, 2, 2] } },
    { name: "8 bits", inputs: [random([1, 2, 6, 6], { dtype: "uint8" })], attributes: { kernel_shape: [2, 2] } },
  ]),
  opCases("AveragePool", [
    { name: "plain", inputs: [x], attributes: kernel },
    { name: "padding counted", inputs: [x], attributes: { ...kernel, pads: [1, 1, 1, 1], count_include_pad: 1 } },
    { name: "ceil_mode", inputs: [x], attributes: { ...kernel, strides: [2, 2], ceil_mode: 1 } },
    { name: "dilation", inputs: [x], attributes: { kernel_shape: [2, 2], dilations: [2, 2] } },
    { name: "auto_pad SAME_LOWER", inputs: [x], attributes: { kernel_shape: [2, 2], strides: [2, 2], auto_pad: "SAME_LOWER" } },
    { name: "1-D", inputs: [random([2, 3, 10])], attributes: { kernel_shape: [4] } },
  ]),
  opCases("LpPool", [
    { name: "plain", inputs: [x], attributes: kernel },
    { name: "p = 1, strided", inputs: [x], attributes: { ...kernel, p: 1, strides: [2, 2], pads: [1, 1, 1, 1] } },
  ]),
  opCases("GlobalAveragePool", [
    { name: "2-D", inputs: [x] },
    { name: "1-D", inputs: [random([2, 3, 7])] },
    { name: "3-D", inputs: [random([2, 3, 4, 5, 6])] },
  ]),
  opCases("GlobalMaxPool", [{ name: "2-D", inputs: [x] }]),
  opCases("GlobalLpPool", [{ name: "p = 1", inputs: [x], attributes: { p: 1 } }]),
  opCases("MaxUnpool", [
    {
      name: "extents from the kernel",
      inputs: [random([1, 1, 2, 2]), fed("int64", [1, 1, 2, 2], [5, 7, 13, 15])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
    {
      name: "extents given",
      inputs: [random([1, 1, 2, 2]), fed("int64", [1, 1, 2, 2], [5, 7, 13, 15]), int64s(1, 1, 5, 5)],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
  ]),
  opCases("RoiAlign", [
    {
      name: "two regions",
      inputs: [random([2, 3, 8, 8]), fed("float32", [2, 4], [0, 0, 4, 4, 1, 2, 6, 7]), fed("int64", [2], [0, 1])],
      attributes: { output_height: 3, output_width: 5, sampling_ratio: 2 },
      uncut: "a region names a batch entry: removing one of both makes a region invalid",
    },
    {
      name: "defaults",
      inputs: [random([1, 3, 8, 8]), constant("float32", [1, 4], [0, 0, 4, 4]), constant("int64", [1], [0])],
    },
  ]),
  opCases("MaxRoiPool", [
    {
      name: "two regions",
      inputs: [random([1, 3, 8, 8]), fed("float32", [2, 5], [0, 0, 0, 4, 4, 0, 1, 2, 6, 7])],
      attributes: { pooled_shape: [2, 3] },
    },
  ]),
];
