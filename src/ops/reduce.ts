import { type Dim, isInteger, numel, type Shape } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, input, link, output } from "./channel-links.ts";
import {
  barrier,
  type ChannelCall,
  type ChannelLink,
  calibrated,
  defineOp,
  type PartialSums,
  type QuantizationFacet,
  sameScale,
  type TensorInfo,
} from "./define.ts";
import { type ElementRule, elementRules } from "./elements.ts";
import { reductionGradient } from "./gradients/reductions.ts";
import { squaresReduced, sumBeforeMean, sumOfMagnitudes } from "./partial-sums.ts";
import { anyOfRank, axisIndex, elementsOf, integersOf, like, type Reject } from "./type-rules.ts";

/** Which axes go, and whether they stay as extents of 1. */
interface Reduction {
  readonly axes: readonly number[];
  readonly keepdims: boolean;
}

export const reducedShape = (shape: Shape, { axes, keepdims }: Reduction): Dim[] =>
  keepdims ? shape.map((dim, i) => (axes.includes(i) ? 1 : dim)) : shape.filter((_, i) => !axes.includes(i));

/** Axes that are not reduced pass through, moved to the front by every dropped axis before them. */
export const keptAxes = (rank: number, { axes, keepdims }: Reduction): ChannelLink[] =>
  Array.from({ length: rank }, (_, axis) => axis)
    .filter((axis) => !axes.includes(axis))
    .map((axis) => link(input(0, axis), output(0, keepdims ? axis : axis - axes.filter((i) => i < axis).length)));

interface ReduceAttributes {
  readonly keepdims: number;
  readonly noop_with_empty_axes: number;
}

/** undefined: the axes are computed at run time. */
function reducedAxes(rank: number, axes: TensorInfo | undefined, noop: number, reject: Reject): readonly number[] | undefined {
  const given = axes ? integersOf(axes) : [];
  if (!given) return undefined;
  if (given.length === 0) return noop ? [] : Array.from({ length: rank }, (_, i) => i);
  return given.map((axis) => axisIndex(axis, rank, reject));
}

function inferReduced(data: TensorInfo, axes: TensorInfo | undefined, a: ReduceAttributes, reject: Reject): Shape | undefined {
  if (!data.shape) return undefined;
  const resolved = reducedAxes(data.shape.length, axes, a.noop_with_empty_axes, reject);
  const keepdims = a.keepdims !== 0;
  if (resolved) return reducedShape(data.shape, { axes: resolved, keepdims });
  if (keepdims) return anyOfRank(data.shape.length);
  const count = axes?.shape?.[0];
  return typeof count === "number" && count > 0 ? anyOfRank(data.shape.length - count) : undefined;
}

/** The whole of a vector reduced by a two-argument rule; undefined where contents are unknown. */
function reduceElements(rule: ElementRule, data: TensorInfo, shape: Shape | undefined): readonly Dim[] | undefined {
  const elements = isInteger(data.dtype) && data.shape?.length === 1 ? elementsOf(data) : undefined;
  if (!elements || elements.length === 0 || !shape) return undefined;
  if (shape.length === 1 && shape[0] !== 1) return elements.length === shape[0] ? elements : undefined; // reduced over no axis
  return [elements.slice(1).reduce<Dim>(rule, elements[0] as Dim)];
}

interface ReduceOptions {
  readonly elements?: ElementRule;
  readonly quantization?: QuantizationFacet<"data">;
  readonly flops?: number;
  readonly partialSums?: PartialSums;
}

function reduction(type: string, since: number, options: ReduceOptions = {}) {
  return defineOp({
    type,
    since,
    inputs: ["data", "axes?"],
    outputs: ["reduced"],
    attributes: { keepdims: attr.int(1), noop_with_empty_axes: attr.int(0) },
    infer: ({ data, axes }, { attributes, reject }) => {
      const shape = inferReduced(data, axes, attributes, reject);
      const elements = options.elements && reduceElements(options.elements, data, shape);
      return { reduced: { ...like(data, shape), ...(elements ? { elements } : {}) } };
    },
    cost: ({ data }) => ({ macs: 0, flops: (options.flops ?? 1) * numel(data.shape) }),
    channels: reductionLinks,
    gradient: ({ b, inputs: { data, axes }, outputs: { reduced }, grads: { reduced: dy }, attributes }) =>
      dy ? { data: reductionGradient(type, b, { data, axes, reduced, dy }, attributes.noop_with_empty_axes !== 0) } : {},
    ...(options.quantization ? { quantization: options.quantization } : {}),
    ...(options.partialSums ? { partialSums: options.partialSums } : {}),
  });
}

/**
 * The facet sees shapes, not the contents of `axes`: what was reduced is read off input and output where that is unambiguous
 * (an axis stays when its extent does and is not 1).
 */
function reductionLinks({ attributes, inputShapes, outputShapes }: ChannelCall): ChannelLink[] {
  const before = inputShapes[0];
  const after = outputShapes[0];
  if (!before || !after) return [];
  if (Number(attributes.keepdims ?? 1)) {
    const axes = after.flatMap((dim, i) => (dim === 1 ? [i] : []));
    return keptAxes(before.length, { axes, keepdims: true });
  }
  const candidates = subsets(before.length, before.length - after.length).filter((axes) =>
    reducedShape(before, { axes, keepdims: false }).every((dim, i) => dim === after[i] && dim !== "?"),
  );
  return candidates.length === 1 ? keptAxes(before.length, { axes: candidates[0] as readonly number[], keepdims: false }) : [];
}

/** All ways to choose `count` of the first `rank` axes. */
function subsets(rank: number, count: number): number[][] {
  if (rank > 8 || count < 0) return [];
  const masks = Array.from({ length: 1 << rank }, (_, mask) =>
    Array.from({ length: rank }, (_, i) => i).filter((i) => (mask >> i) & 1),
  );
  return masks.filter((axes) => axes.length === count);
}

export const reductions = [
  reduction("ReduceSum", 13, { elements: elementRules.Add, quantization: calibrated("data"), partialSums: sumOfMagnitudes }),
  reduction("ReduceMean", 18, { quantization: calibrated("data"), partialSums: sumBeforeMean }),
  reduction("ReduceMax", 20, { elements: elementRules.Max, quantization: sameScale("data") }),
  reduction("ReduceMin", 20, { elements: elementRules.Min, quantization: sameScale("data") }),
  reduction("ReduceProd", 18, { elements: elementRules.Mul }),
  reduction("ReduceL1", 18, { flops: 2 }),
  reduction("ReduceL2", 18, { flops: 2, partialSums: squaresReduced }),
  reduction("ReduceLogSum", 18),
  reduction("ReduceLogSumExp", 18, { flops: 11 }),
  reduction("ReduceSumSquare", 18, { flops: 2 }),
];

function argument(type: string) {
  return defineOp({
    type,
    since: 13,
    inputs: ["data"],
    outputs: ["reduced"],
    attributes: { axis: attr.int(0), keepdims: attr.int(1), select_last_index: attr.int(0) },
    infer: ({ data }, { attributes, reject }) => {
      if (!data.shape) return { reduced: like(data, undefined, "int64") };
      const axis = axisIndex(attributes.axis, data.shape.length, reject);
      const shape = reducedShape(data.shape, { axes: [axis], keepdims: attributes.keepdims !== 0 });
      return { reduced: like(data, shape, "int64") };
    },
    cost: ({ data }) => ({ macs: 0, flops: numel(data.shape) }),
    channels: ({ attributes, inputShapes }) => {
      const rank = inputShapes[0]?.length ?? 0;
      const axes = [fromEnd(Number(attributes.axis ?? 0), rank)];
      return keptAxes(rank, { axes, keepdims: Number(attributes.keepdims ?? 1) !== 0 });
    },
    quantization: { activations: ["data"], output: "none" },
    gradient: "none",
  });
}

export const argumentOps = [argument("ArgMax"), argument("ArgMin")];

export const topK = defineOp({
  type: "TopK",
  since: 11,
  inputs: ["X", "K"],
  outputs: ["Values", "Indices"],
  attributes: { axis: attr.int(-1), largest: attr.int(1), sorted: attr.int(1) },
  infer: ({ X, K }, { attributes, reject }) => {
    if (!X.shape) return { Values: like(X), Indices: like(X, undefined, "int64") };
    const axis = axisIndex(attributes.axis, X.shape.length, reject);
    const count = elementsOf(K)?.[0] ?? "?";
    const shape = X.shape.map((dim, i) => (i === axis ? count : dim));
    return { Values: like(X, shape), Indices: like(X, shape, "int64") };
  },
  // A heap of K entries over every element.
  cost: ({ X }, { Values }, { axis }) => {
    const kept = Values.shape.at(axis) ?? 1;
    return { macs: 0, flops: numel(X.shape) * Math.max(1, Math.ceil(Math.log2(kept + 1))) };
  },
  channels: ({ attributes, inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    const kept = keptAxes(rank, { axes: [fromEnd(Number(attributes.axis ?? -1), rank)], keepdims: true });
    return kept.flatMap(({ a, b }) => [link(a, b), link(a, output(1, b.axis))]);
  },
  gradient: ({ b, inputs: { X }, outputs: { Indices }, grads: { Values: dy }, attributes: { axis } }) =>
    dy ? { X: b.op("ScatterElements", [b.zeros(b.shape(X)), Indices, dy], { axis, reduction: "add" }) } : {},
});

const cumulative = (type: string, since: number) =>
  defineOp({
    type,
    since,
    inputs: ["x", "axis"],
    outputs: ["y"],
    attributes: { exclusive: attr.int(0), reverse: attr.int(0) },
    infer: ({ x }) => ({ y: like(x) }),
    channels: barrier, // which axis runs is an input
    // the sum of what comes after instead of before
    gradient: ({ b, inputs: { axis }, grads: { y: dy }, attributes: { exclusive, reverse } }) =>
      dy ? { x: b.op(type, [dy, axis], { exclusive, reverse: 1 - reverse }) } : {},
  });

export const cumulativeOps = [cumulative("CumSum", 14)];
