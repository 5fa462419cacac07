import { type Dim, isStatic, numel, type Shape } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, input, link, output, sameAxes } from "./channel-links.ts";
import { bytesOf } from "./cost-bytes.ts";
import { type Cost, defineOp, type StaticInfo, sameScale, type TensorInfo } from "./define.ts";
import { gatherGradient, movedBack } from "./gradients/moves.ts";
import { axisIndex, broadcastOf, elementsOf, integersOf, like, replaceDim, unranked } from "./type-rules.ts";

/** What is picked is read and written, and the indices are read; the rest of the table is not touched. */
const pickCost = (indices: StaticInfo, result: StaticInfo): Cost => ({
  macs: 0,
  flops: 0,
  bytes: 2 * bytesOf(result) + bytesOf(indices),
});

/** Contents of a picked vector, for shape arithmetic. */
function gatherElements(data: TensorInfo, indices: TensorInfo): readonly Dim[] | undefined {
  const contents = data.shape?.length === 1 ? elementsOf(data) : undefined;
  return (
    contents &&
    elementsOf(indices)?.map((index) =>
      typeof index === "number" ? (contents[index < 0 ? index + contents.length : index] ?? "?") : "?",
    )
  );
}

export const gather = defineOp({
  type: "Gather",
  since: 1,
  inputs: ["data", "indices"],
  outputs: ["output"],
  attributes: { axis: attr.int(0) },
  infer({ data, indices }, { attributes, reject }) {
    if (!data.shape || !indices.shape) return { output: unranked(data.dtype) };
    const axis = axisIndex(attributes.axis, data.shape.length, reject);
    const extent = data.shape[axis] as Dim;
    for (const index of integersOf(indices) ?? [])
      if (typeof extent === "number" && (index < -extent || index >= extent))
        reject(`index ${index} is outside axis ${axis} of extent ${extent}`);
    const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
    return { output: { dtype: data.dtype, shape, elements: gatherElements(data, indices) } };
  },
  cost: ({ indices }, { output: result }) => pickCost(indices, result),
  channels: ({ attributes, inputShapes }) => {
    const [data, indices] = inputShapes;
    if (!data || !indices) return [];
    const axis = fromEnd(Number(attributes.axis), data.length);
    const beside = data.flatMap((_, i) =>
      i === axis ? [] : [link(input(0, i), output(0, i < axis ? i : i + indices.length - 1))],
    );
    return [...beside, ...indices.map((_, i) => link(input(1, i), output(0, axis + i)))];
  },
  quantization: sameScale("data"),
  learned: ["data"],
  gradient: ({ b, inputs: { data, indices }, grads: { output: dy }, attributes: { axis } }) =>
    dy ? { data: gatherGradient(b, data, indices, axis, dy) } : {},
});

export const gatherElementsOp = defineOp({
  type: "GatherElements",
  since: 11,
  inputs: ["data", "indices"],
  outputs: ["output"],
  attributes: { axis: attr.int(0) },
  infer({ data, indices }, { attributes, reject }) {
    if (data.shape && indices.shape && data.shape.length !== indices.shape.length)
      reject(`data [${data.shape}] and indices [${indices.shape}] have different ranks`);
    if (data.shape) axisIndex(attributes.axis, data.shape.length, reject);
    return { output: like(data, indices.shape) };
  },
  cost: ({ indices }, { output: result }) => pickCost(indices, result),
  channels: "barrier",
  quantization: sameScale("data"),
  gradient: ({ b, inputs: { data, indices }, grads: { output: dy }, attributes: { axis } }) =>
    dy ? { data: b.op("ScatterElements", [b.zeros(b.shape(data)), indices, dy], { axis, reduction: "add" }) } : {},
});

export const gatherNd = defineOp({
  type: "GatherND",
  since: 11,
  inputs: ["data", "indices"],
  outputs: ["output"],
  attributes: { batch_dims: attr.int(0) },
  infer({ data, indices }, { attributes: { batch_dims: batch }, reject }) {
    const depth = indices.shape?.at(-1);
    if (indices.shape?.length === 0) reject("indices must have at least one axis");
    if (!data.shape || !indices.shape || typeof depth !== "number") return { output: unranked(data.dtype) };
    if (batch + depth > data.shape.length)
      reject(`indices of ${depth} coordinates after ${batch} batch axes are too long for data of rank ${data.shape.length}`);
    return { output: like(data, [...indices.shape.slice(0, -1), ...data.shape.slice(batch + depth)]) };
  },
  cost: ({ indices }, { output: result }) => pickCost(indices, result),
  channels: "barrier",
  quantization: sameScale("data"),
  gradient: ({ b, inputs: { data, indices }, grads: { output: dy }, attributes: { batch_dims } }) =>
    dy ? { data: movedBack(b, data, dy, (at) => b.op("GatherND", [at, indices], { batch_dims })) } : {},
});

export const compress = defineOp({
  type: "Compress",
  since: 9,
  inputs: ["input", "condition"],
  outputs: ["output"],
  attributes: { axis: attr.int() },
  infer({ input: data, condition }, { attributes: { axis }, reject }) {
    const kept: Dim = integersOf(condition)?.filter((keep) => keep !== 0).length ?? "?";
    if (axis === undefined) return { output: like(data, [kept]) };
    if (!data.shape) return { output: unranked(data.dtype) };
    return { output: like(data, replaceDim(data.shape, axisIndex(axis, data.shape.length, reject), kept)) };
  },
  cost: ({ condition }, { output: result }) => pickCost(condition, result),
  channels: ({ attributes, inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    const axis = attributes.axis;
    return axis === undefined ? [] : sameAxes(rank, (i) => i === fromEnd(Number(axis), rank));
  },
  quantization: sameScale("input"),
  gradient: ({ b, inputs: { input: data, condition }, grads: { output: dy }, attributes: { axis } }) =>
    dy ? { input: movedBack(b, data, dy, (at) => b.op("Compress", [at, condition], { axis })) } : {},
});

/** [1, 0, 2] with depth 3 gives rows of on and off values; the new axis goes where `axis` says. */
export const oneHot = defineOp({
  type: "OneHot",
  since: 9,
  inputs: ["indices", "depth", "values"],
  outputs: ["output"],
  attributes: { axis: attr.int(-1) },
  infer({ indices, depth, values }, { attributes, reject }) {
    if (!indices.shape) return { output: unranked(values.dtype) };
    const axis = axisIndex(attributes.axis, indices.shape.length + 1, reject);
    const shape: Shape = [...indices.shape.slice(0, axis), elementsOf(depth)?.[0] ?? "?", ...indices.shape.slice(axis)];
    return { output: { dtype: values.dtype, shape } };
  },
  cost: () => ({ macs: 0, flops: 0 }),
  channels: ({ attributes, inputShapes }) => {
    const rank = (inputShapes[0]?.length ?? 0) + 1;
    const axis = fromEnd(Number(attributes.axis), rank);
    return (inputShapes[0] ?? []).map((_, i) => link(input(0, i), output(0, i < axis ? i : i + 1)));
  },
  // on and off values: where the hot entries are and where they are not
  gradient: ({ b, inputs: { indices, depth, values }, grads: { output: dy }, attributes: { axis } }) => {
    if (!dy) return {};
    const hot = b.op("OneHot", [indices, depth, b.floats([2], [0, 1])], { axis });
    const on = b.reduceSum(b.mul(dy, hot), undefined, false);
    const off = b.sub(b.reduceSum(dy, undefined, false), on);
    return { values: b.reshape(b.concat([b.reshape(off, [1]), b.reshape(on, [1])], 0), b.shape(values)) };
  },
});

/** The reversed part depends on values; the shape never does. */
export const reverseSequence = defineOp({
  type: "ReverseSequence",
  since: 10,
  inputs: ["input", "sequence_lens"],
  outputs: ["Y"],
  attributes: { batch_axis: attr.int(1), time_axis: attr.int(0) },
  infer: ({ input: data }) => ({ Y: like(data) }),
  cost: () => ({ macs: 0, flops: 0 }),
  channels: ({ attributes, inputShapes }) => [
    ...sameAxes(inputShapes[0]?.length, (axis) => axis === attributes.time_axis),
    link(input(1, 0), output(0, Number(attributes.batch_axis ?? 1))),
  ],
  quantization: sameScale("input"),
  gradient: ({ b, inputs: { sequence_lens }, grads: { Y: dy }, attributes }) =>
    dy ? { input: b.op("ReverseSequence", [dy, sequence_lens], { ...attributes }) } : {},
});

/** Elements of the inputs' broadcast shape, each from X or from Y. */
export const where = defineOp({
  type: "Where",
  since: 9,
  inputs: ["condition", "X", "Y"],
  outputs: ["output"],
  infer({ condition, X, Y }, { reject }) {
    const shape = broadcastOf([condition, X, Y], reject);
    return { output: { dtype: X.dtype, shape, elements: chosen(condition, X, Y, shape) } };
  },
  cost: () => ({ macs: 0, flops: 0 }),
  channels: "elementwise",
  quantization: sameScale("X", "Y"),
  gradient: ({ b, inputs: { condition, X, Y }, grads: { output: dy }, wants }) => {
    if (!dy) return {};
    const zero = b.scalar(0);
    return {
      X: wants("X") ? b.sumTo(b.op("Where", [condition, dy, zero]), b.shape(X)) : undefined,
      Y: wants("Y") ? b.sumTo(b.op("Where", [condition, zero, dy]), b.shape(Y)) : undefined,
    };
  },
});

function chosen(condition: TensorInfo, x: TensorInfo, y: TensorInfo, shape: Shape | undefined): readonly Dim[] | undefined {
  const [which, left, right] = [condition, x, y].map(elementsOf);
  if (!which || !left || !right || !isStatic(shape) || shape.length > 1) return undefined;
  const at = (list: readonly Dim[], i: number): Dim => list[list.length === 1 ? 0 : i] ?? "?";
  return Array.from({ length: numel(shape) }, (_, i) => {
    const picks = at(which, i);
    const [a, b] = [at(left, i), at(right, i)];
    if (typeof picks === "number") return picks !== 0 ? a : b;
    return a === b ? a : "?";
  });
}
