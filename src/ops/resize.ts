import { type Dim, floorDivDims, mulDims, numel, type Shape, toNumbers } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { sameAxes } from "./channel-links.ts";
import { type Cost, defineOp, type StaticInfo, sameScale, type TensorInfo } from "./define.ts";
import { depthToSpaceBy, spaceToDepthBy } from "./gradients/expansions.ts";
import { resizeGradient } from "./gradients/resize.ts";
import { anyOfRank, axisIndex, elementsOf, like, type Reject, unranked } from "./type-rules.ts";

/** Neighbours that one output element is interpolated from, along an axis that changes. */
const taps: Readonly<Record<string, number>> = { nearest: 1, linear: 2, cubic: 4 };

/** Each output element is a weighted sum of its neighbours; nearest only copies. */
function resizeCost(x: StaticInfo, y: StaticInfo, mode: string): Cost {
  const perAxis = taps[mode] ?? 1;
  const changed = x.shape.filter((dim, i) => dim !== y.shape[i]).length;
  return { macs: 0, flops: perAxis === 1 ? 0 : 2 * perAxis ** changed * numel(y.shape) };
}

/** floor(extent · scale), in float32 as onnxruntime computes it; exact for symbols where the scale is a small fraction. */
function scaled(extent: Dim, scale: number): Dim {
  if (typeof extent === "number") return Math.floor(Math.fround(extent * scale));
  for (let denominator = 1; denominator <= 64; denominator++) {
    const numerator = scale * denominator;
    if (Number.isInteger(numerator)) return floorDivDims(mulDims(extent, numerator), denominator);
  }
  return "?";
}

const floatsOf = (info: TensorInfo | undefined): readonly number[] | undefined =>
  info?.constant && info.constant.size <= 64 ? toNumbers(info.constant) : undefined;

/** An empty tensor stands for an input that is left out (opset 11 and 12 wrote it so). */
const isGiven = (info: TensorInfo | undefined): boolean => info !== undefined && info.shape?.[0] !== 0;

/** `not_larger` and `not_smaller` keep the aspect ratio: one scale for all axes, extents rounded half up. */
function keepAspect(extents: readonly Dim[], sizes: readonly Dim[], policy: string): readonly Dim[] {
  if (policy === "stretch") return sizes;
  if (![...extents, ...sizes].every((dim) => typeof dim === "number")) return sizes.map(() => "?");
  const ratios = sizes.map((size, i) => (size as number) / (extents[i] as number));
  const scale = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  return extents.map((extent) => Math.round((extent as number) * scale));
}

interface Wanted {
  readonly scales: TensorInfo | undefined;
  readonly sizes: TensorInfo | undefined;
  readonly axes: readonly number[] | undefined;
  readonly policy: string;
}

function resizeShape(shape: Shape, wanted: Wanted, reject: Reject): Dim[] {
  const axes = (wanted.axes ?? shape.map((_, i) => i)).map((axis) => axisIndex(axis, shape.length, reject));
  const chosen = axes.map((axis) => shape[axis] as Dim);
  const extents = isGiven(wanted.sizes)
    ? sizesGiven(chosen, wanted, reject)
    : isGiven(wanted.scales)
      ? scalesGiven(chosen, wanted, reject)
      : reject("neither scales nor sizes are given");
  const result = [...shape];
  axes.forEach((axis, i) => {
    result[axis] = extents?.[i] ?? "?";
  });
  return result;
}

function sizesGiven(chosen: readonly Dim[], wanted: Wanted, reject: Reject): readonly Dim[] | undefined {
  const sizes = elementsOf(wanted.sizes);
  if (sizes && sizes.length !== chosen.length) reject(`sizes has ${sizes.length} entries for ${chosen.length} axes`);
  return sizes && keepAspect(chosen, sizes, wanted.policy);
}

function scalesGiven(chosen: readonly Dim[], wanted: Wanted, reject: Reject): readonly Dim[] | undefined {
  const scales = floatsOf(wanted.scales);
  if (scales && scales.length !== chosen.length) reject(`scales has ${scales.length} entries for ${chosen.length} axes`);
  if (scales?.some((scale) => !(scale > 0))) reject(`scales [${scales}] must be positive`);
  return scales && chosen.map((extent, i) => scaled(extent, scales[i] as number));
}

const unchangedAxes = ({
  inputShapes,
  outputShapes,
}: {
  inputShapes: readonly (Shape | undefined)[];
  outputShapes: readonly (Shape | undefined)[];
}) =>
  sameAxes(
    inputShapes[0]?.length,
    (axis) => inputShapes[0]?.[axis] !== outputShapes[0]?.[axis] || inputShapes[0]?.[axis] === "?",
  );

/**
 * The region of interest of tf_crop_and_resize does not change the extents: ONNX's text multiplies its size in, onnxruntime gives
 * floor(extent · scale) all the same.
 */
export const resize = defineOp({
  type: "Resize",
  fixedFloat32: ["roi", "scales"],
  since: 11,
  inputs: ["X", "roi?", "scales?", "sizes?"],
  outputs: ["Y"],
  attributes: {
    mode: attr.string("nearest"),
    axes: attr.ints(),
    antialias: attr.int(0),
    coordinate_transformation_mode: attr.string("half_pixel"),
    cubic_coeff_a: attr.float(-0.75),
    exclude_outside: attr.int(0),
    extrapolation_value: attr.float(0),
    keep_aspect_ratio_policy: attr.string("stretch"),
    nearest_mode: attr.string("round_prefer_floor"),
  },
  infer({ X, scales, sizes }, { attributes, reject }) {
    if (!X.shape) return { Y: unranked(X.dtype) };
    const wanted: Wanted = { scales, sizes, axes: attributes.axes, policy: attributes.keep_aspect_ratio_policy };
    return { Y: like(X, resizeShape(X.shape, wanted, reject)) };
  },
  cost: ({ X }, { Y }, { mode }) => resizeCost(X, Y, mode),
  channels: unchangedAxes,
  quantization: sameScale("X"),
  gradient: ({ b, inputs: { X, roi, scales }, outputs: { Y }, grads: { Y: dy }, attributes }) => {
    if (!dy) return {};
    const { axes, keep_aspect_ratio_policy: _, ...settings } = attributes;
    const listed = axes?.map((axis) => (axis < 0 ? axis + b.rank(X) : axis)) ?? b.shape(X).map((__, i) => i);
    return { X: resizeGradient({ b, x: X, y: Y, dy, scales, roi, attributes: settings, axes: listed }) };
  },
});

/** Resize's form in opset 10. */
export const resize10 = defineOp({
  type: "Resize",
  fixedFloat32: ["scales"],
  since: 10,
  inputs: ["X", "scales"],
  outputs: ["Y"],
  attributes: { mode: attr.string("nearest") },
  infer: ({ X, scales }, { reject }) => ({ Y: upsampled(X, floatsOf(scales), reject) }),
  cost: ({ X }, { Y }, { mode }) => resizeCost(X, Y, mode),
  channels: unchangedAxes,
  quantization: sameScale("X"),
});

function upsampled(X: TensorInfo, scales: readonly number[] | undefined, reject: Reject): TensorInfo {
  if (!X.shape) return unranked(X.dtype);
  if (!scales) return like(X, anyOfRank(X.shape.length));
  if (scales.length !== X.shape.length) reject(`scales has ${scales.length} entries for ${X.shape.length} axes`);
  return like(
    X,
    X.shape.map((extent, i) => scaled(extent, scales[i] as number)),
  );
}

/** Deprecated since opset 10 in favour of Resize; old models still have it. */
export const upsample = defineOp({
  type: "Upsample",
  fixedFloat32: ["scales"],
  since: 9,
  inputs: ["X", "scales"],
  outputs: ["Y"],
  attributes: { mode: attr.string("nearest") },
  infer: ({ X, scales }, { reject }) => ({ Y: upsampled(X, floatsOf(scales), reject) }),
  cost: ({ X }, { Y }, { mode }) => resizeCost(X, Y, mode),
  channels: unchangedAxes,
  quantization: sameScale("X"),
});

export const upsample7 = defineOp({
  type: "Upsample",
  since: 7,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: { mode: attr.string("nearest"), scales: attr.floats() },
  infer: ({ X }, { attributes, reject }) => ({ Y: upsampled(X, attributes.scales, reject) }),
  cost: ({ X }, { Y }, { mode }) => resizeCost(X, Y, mode),
  channels: unchangedAxes,
  quantization: sameScale("X"),
});

/** Moves blocks of channels into space: [N, C·b², H, W] → [N, C, H·b, W·b]. */
export const depthToSpace = defineOp({
  type: "DepthToSpace",
  since: 1,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { blocksize: attr.required.int(), mode: attr.string("DCR") },
  infer({ input }, { attributes: { blocksize: b }, reject }) {
    const [n, c, h, w] = blockShape(input.shape, b, reject) ?? anyOfRank(4);
    if (typeof c === "number" && c % (b * b) !== 0) reject(`${c} channels cannot be divided into blocks of ${b}x${b}`);
    return { output: like(input, [n as Dim, floorDivDims(c as Dim, b * b), mulDims(h as Dim, b), mulDims(w as Dim, b)]) };
  },
  cost: () => ({ macs: 0, flops: 0 }),
  channels: unchangedAxes,
  quantization: sameScale("input"),
  gradient: {
    expand: ({ b, inputs: { input }, attributes: { blocksize, mode } }) => ({
      output: depthToSpaceBy(b, input, blocksize, mode),
    }),
  },
});

/** The inverse of DepthToSpace: [N, C, H·b, W·b] → [N, C·b², H, W]. */
export const spaceToDepth = defineOp({
  type: "SpaceToDepth",
  since: 1,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { blocksize: attr.required.int(), mode: attr.string("DCR") },
  infer({ input }, { attributes: { blocksize: b }, reject }) {
    const [n, c, h, w] = blockShape(input.shape, b, reject) ?? anyOfRank(4);
    for (const extent of [h, w])
      if (typeof extent === "number" && extent % b !== 0) reject(`extent ${extent} cannot be divided into blocks of ${b}`);
    return { output: like(input, [n as Dim, mulDims(c as Dim, b * b), floorDivDims(h as Dim, b), floorDivDims(w as Dim, b)]) };
  },
  cost: () => ({ macs: 0, flops: 0 }),
  channels: unchangedAxes,
  quantization: sameScale("input"),
  gradient: {
    expand: ({ b, inputs: { input }, attributes: { blocksize, mode } }) => ({
      output: spaceToDepthBy(b, input, blocksize, mode),
    }),
  },
});

function blockShape(shape: Shape | undefined, block: number, reject: Reject): Shape | undefined {
  if (block < 1) reject(`blocksize ${block} must be positive`);
  if (shape && shape.length !== 4) reject(`the input [${shape}] does not have rank 4`);
  return shape;
}
