import { opCases, random, weight } from "./define.ts";

const x = random([2, 4, 9, 8]);

export const conv = opCases("Conv", [
  { name: "plain", inputs: [x, weight([6, 4, 3, 3])] },
  { name: "bias", inputs: [x, weight([6, 4, 3, 3]), weight([6])] },
  { name: "kernel extents given", inputs: [x, weight([6, 4, 3, 3])], attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } },
  { name: "stride 2", inputs: [x, weight([6, 4, 3, 3])], attributes: { strides: [2, 2], pads: [1, 1, 1, 1] } },
  { name: "uneven strides", inputs: [x, weight([6, 4, 3, 2])], attributes: { strides: [3, 2] } },
  { name: "one-sided padding", inputs: [x, weight([6, 4, 3, 3])], attributes: { pads: [0, 0, 1, 2], strides: [2, 2] } },
  { name: "dilation", inputs: [x, weight([6, 4, 3, 3])], attributes: { dilations: [2, 3], pads: [2, 3, 2, 3] } },
  { name: "auto_pad SAME_UPPER", inputs: [x, weight([6, 4, 3, 3])], attributes: { auto_pad: "SAME_UPPER", strides: [2, 2] } },
  { name: "auto_pad SAME_LOWER", inputs: [x, weight([6, 4, 2, 2])], attributes: { auto_pad: "SAME_LOWER", strides: [2, 3] } },
  { name: "auto_pad VALID", inputs: [x, weight([6, 4, 3, 3])], attributes: { auto_pad: "VALID", strides: [2, 2] } },
  { name: "1x1", inputs: [x, weight([5, 4, 1, 1]), weight([5])] },
  { name: "depthwise", inputs: [x, weight([4, 1, 3, 3]), weight([4])], attributes: { group: 4, pads: [1, 1, 1, 1] } },
  { name: "depthwise with multiplier 2", inputs: [x, weight([8, 1, 3, 3])], attributes: { group: 4 } },
  { name: "grouped", inputs: [x, weight([6, 2, 3, 3]), weight([6])], attributes: { group: 2 } },
  { name: "1-D", inputs: [random([2, 3, 16]), weight([5, 3, 4]), weight([5])], attributes: { strides: [4] } },
  {
    name: "3-D",
    inputs: [random([1, 2, 5, 6, 7]), weight([3, 2, 3, 3, 3])],
    attributes: { pads: [1, 1, 1, 1, 1, 1], strides: [1, 2, 2] },
  },
  { name: "the kernel covers all", inputs: [random([1, 3, 4, 4]), weight([2, 3, 4, 4])] },
]);

export const convTranspose = opCases("ConvTranspose", [
  { name: "plain", inputs: [x, weight([4, 6, 3, 3])] },
  { name: "stride 2 with bias", inputs: [x, weight([4, 6, 2, 2]), weight([6])], attributes: { strides: [2, 2] } },
  {
    name: "output padding",
    inputs: [x, weight([4, 6, 3, 3])],
    attributes: { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] },
  },
  { name: "output shape", inputs: [x, weight([4, 6, 3, 3])], attributes: { strides: [2, 2], output_shape: [18, 17] } },
  { name: "auto_pad SAME_UPPER", inputs: [x, weight([4, 6, 3, 3])], attributes: { strides: [2, 2], auto_pad: "SAME_UPPER" } },
  { name: "dilation", inputs: [x, weight([4, 6, 3, 3])], attributes: { dilations: [2, 2] } },
  { name: "grouped", inputs: [x, weight([4, 3, 3, 3])], attributes: { group: 2 } },
  { name: "depthwise", inputs: [x, weight([4, 1, 2, 2]), weight([4])], attributes: { group: 4, strides: [2, 2] } },
  { name: "1-D", inputs: [random([1, 3, 7]), weight([3, 2, 4])], attributes: { strides: [2], pads: [1, 1] } },
  { name: "3-D", inputs: [random([1, 2, 3, 4, 5]), weight([2, 2, 2, 2, 2])] },
]);

export const deformConv = opCases("DeformConv", [
  { name: "plain", inputs: [random([1, 4, 6, 6]), weight([3, 4, 3, 3]), random([1, 18, 4, 4])] },
  {
    name: "mask, bias and padding",
    inputs: [random([1, 4, 6, 6]), weight([3, 4, 3, 3]), random([1, 18, 6, 6]), weight([3]), random([1, 9, 6, 6])],
    attributes: { pads: [1, 1, 1, 1] },
  },
]);
