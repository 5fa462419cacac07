import { type DataType, dataTypeFromCode, numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, input, link, sameAxes } from "./channel-links.ts";
import { barrier, type ChannelCall, type ChannelLink, defineOp, type TensorInfo } from "./define.ts";
import { dequantizeScaleGradient, quantizeGradient } from "./gradients/quantize-linear.ts";
import { like } from "./type-rules.ts";

/**
 * Every axis passes through; a scale and zero point of one entry per channel follow their axis. Blocked ones have x's rank: the
 * blocked axis cannot be cut, the others follow.
 */
function scaledLinks({ attributes, inputShapes }: ChannelCall): ChannelLink[] {
  const rank = inputShapes[0]?.length ?? 0;
  const axis = fromEnd(Number(attributes.axis ?? 1), rank);
  const parameters = [1, 2].filter((i) => inputShapes[i]);
  const scale = inputShapes[1] ?? [];
  if (scale.length > 1) {
    const free = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
    return [...sameAxes(rank, (i) => i === axis), ...parameters.flatMap((p) => free.map((i) => link(input(0, i), input(p, i))))];
  }
  const perChannel = scale.length === 1 && scale[0] !== 1 && rank > 0 ? parameters : [];
  return [...sameAxes(rank, () => false), ...perChannel.map((i) => link(input(0, axis), input(i, 0)))];
}

const quantizedType = (zeroPoint: TensorInfo | undefined, code: number): DataType =>
  zeroPoint?.dtype ?? dataTypeFromCode(code) ?? "uint8";

export const quantizeLinear = defineOp({
  type: "QuantizeLinear",
  fixedFloat32: true,
  since: 21,
  inputs: ["x", "y_scale", "y_zero_point?"],
  outputs: ["y"],
  attributes: { axis: attr.int(1), block_size: attr.int(0), output_dtype: attr.int(0), saturate: attr.int(1) },
  infer: ({ x, y_zero_point }, { attributes }) => ({
    y: like(x, x.shape, quantizedType(y_zero_point, attributes.output_dtype)),
  }),
  cost: (_, { y }) => ({ macs: 0, flops: 3 * numel(y.shape) }), // scale, round, shift
  channels: scaledLinks,
  gradient: ({ b, inputs: { x, y_scale, y_zero_point }, outputs: { y }, grads: { y: dy }, attributes, wants }) =>
    dy
      ? quantizeGradient(b, { x, scale: y_scale, zeroPoint: y_zero_point, y, dy, attributes, wantsScale: wants("y_scale") })
      : {},
});

export const dequantizeLinear = defineOp({
  type: "DequantizeLinear",
  fixedFloat32: true,
  since: 21,
  inputs: ["x", "x_scale", "x_zero_point?"],
  outputs: ["y"],
  attributes: { axis: attr.int(1), block_size: attr.int(0) },
  infer: ({ x, x_scale }) => ({ y: like(x, x.shape, x_scale.dtype) }),
  cost: (_, { y }) => ({ macs: 0, flops: 2 * numel(y.shape) }),
  channels: scaledLinks,
  gradient: ({ b, inputs: { x, x_scale, x_zero_point }, grads: { y: dy }, attributes, wants }) => {
    if (!dy) return {};
    const scaled = { x, scale: x_scale, zeroPoint: x_zero_point, dy, attributes };
    return { x: dy, x_scale: wants("x_scale") ? dequantizeScaleGradient(b, scaled) : undefined };
  },
});

export const dynamicQuantizeLinear = defineOp({
  type: "DynamicQuantizeLinear",
  fixedFloat32: true,
  since: 11,
  inputs: ["x"],
  outputs: ["y", "y_scale", "y_zero_point"],
  infer: ({ x }) => ({
    y: like(x, x.shape, "uint8"),
    y_scale: like(x, [], "float32"),
    y_zero_point: like(x, [], "uint8"),
  }),
  cost: ({ x }) => ({ macs: 0, flops: 5 * numel(x.shape) }), // range, then scale, round, shift
  channels: barrier, // the range is over the whole tensor
  gradient: "none",
});

// onnxruntime's own domain had 16-bit and 4-bit types before the standard took them in.
export const microsoftQuantizeLinear = defineOp({
  type: "QuantizeLinear",
  fixedFloat32: true,
  domain: "com.microsoft",
  since: 1,
  inputs: ["x", "y_scale", "y_zero_point?"],
  outputs: ["y"],
  attributes: { axis: attr.int(1), block_size: attr.int(0) },
  infer: ({ x, y_zero_point }) => ({ y: like(x, x.shape, y_zero_point?.dtype ?? "uint8") }),
  cost: (_, { y }) => ({ macs: 0, flops: 3 * numel(y.shape) }),
  channels: scaledLinks,
  gradient: ({ b, inputs: { x, y_scale, y_zero_point }, outputs: { y }, grads: { y: dy }, attributes, wants }) =>
    dy
      ? quantizeGradient(b, { x, scale: y_scale, zeroPoint: y_zero_point, y, dy, attributes, wantsScale: wants("y_scale") })
      : {},
});

export const microsoftDequantizeLinear = defineOp({
  type: "DequantizeLinear",
  fixedFloat32: true,
  domain: "com.microsoft",
  since: 1,
  inputs: ["x", "x_scale", "x_zero_point?"],
  outputs: ["y"],
  attributes: { axis: attr.int(1), block_size: attr.int(0) },
  infer: ({ x, x_scale }) => ({ y: like(x, x.shape, x_scale.dtype) }),
  cost: (_, { y }) => ({ macs: 0, flops: 2 * numel(y.shape) }),
  channels: scaledLinks,
  gradient: ({ b, inputs: { x, x_scale, x_zero_point }, grads: { y: dy }, attributes, wants }) => {
    if (!dy) return {};
    const scaled = { x, scale: x_scale, zeroPoint: x_zero_point, dy, attributes };
    return { x: dy, x_scale: wants("x_scale") ? dequantizeScaleGradient(b, scaled) : undefined };
  },
});
