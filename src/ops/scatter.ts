import type { Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import { bytesOf } from "./cost-bytes.ts";
import { type Cost, defineOp, type StaticInfo, sameScale, type TensorInfo } from "./define.ts";
import { axisIndex, like, type Reject } from "./type-rules.ts";

/** The target is copied, then the updates are read and written. A reduction is one FLOP per update. */
const scatterCost = (data: StaticInfo, indices: StaticInfo, updates: StaticInfo): Cost => ({
  macs: 0,
  flops: 0,
  bytes: 2 * bytesOf(data) + bytesOf(indices) + 2 * bytesOf(updates),
});

function checkRanks(data: TensorInfo, indices: TensorInfo, updates: TensorInfo, axis: number, reject: Reject): void {
  if (data.shape) axisIndex(axis, data.shape.length, reject);
  for (const other of [indices, updates])
    if (data.shape && other.shape && other.shape.length !== data.shape.length)
      reject(`data [${data.shape}] and [${other.shape}] have different ranks`);
}

/** The name ScatterElements had in opset 9 and 10. */
export const scatter = defineOp({
  type: "Scatter",
  since: 9,
  inputs: ["data", "indices", "updates"],
  outputs: ["output"],
  attributes: { axis: attr.int(0) },
  infer({ data, indices, updates }, { attributes, reject }) {
    checkRanks(data, indices, updates, attributes.axis, reject);
    return { output: like(data) };
  },
  cost: ({ data, indices, updates }) => scatterCost(data, indices, updates),
  channels: "barrier",
  quantization: sameScale("data", "updates"),
});

interface Scattered {
  readonly b: GraphBuilder;
  readonly data: Value;
  readonly updates: Value;
  readonly y: Value;
  readonly dy: Value;
  readonly reduction: string;
  /** Reads a tensor of the data's shape where updates went. */
  readonly gather: (from: Value) => Value;
  /** Sets these places to zero. */
  readonly clear: (from: Value) => Value;
  readonly wants: (port: "data" | "updates") => boolean;
}

/** By reduction: replaced data lose their gradient, sums share it, products divide it, the extreme keeps it (all of them, on ties). */
function scatterGradient({ b, data, updates, y, dy, reduction, gather, clear, wants }: Scattered) {
  const equal = (a: Value, z: Value): Value => b.cast(b.op("Equal", [a, z]), "float32");
  const toData = (): Value => {
    if (reduction === "none") return clear(dy);
    if (reduction === "add") return dy;
    return reduction === "mul" ? b.div(b.mul(dy, y), data) : b.mul(dy, equal(y, data));
  };
  const toUpdates = (): Value => {
    if (reduction === "mul") return b.div(gather(b.mul(dy, y)), updates);
    return reduction === "max" || reduction === "min" ? b.mul(gather(dy), equal(gather(y), updates)) : gather(dy);
  };
  return { data: wants("data") ? toData() : undefined, updates: wants("updates") ? toUpdates() : undefined };
}

export const scatterElements = defineOp({
  type: "ScatterElements",
  since: 11,
  inputs: ["data", "indices", "updates"],
  outputs: ["output"],
  attributes: { axis: attr.int(0), reduction: attr.string("none") },
  infer({ data, indices, updates }, { attributes, reject }) {
    checkRanks(data, indices, updates, attributes.axis, reject);
    return { output: like(data) };
  },
  cost: ({ data, indices, updates }) => scatterCost(data, indices, updates),
  channels: "barrier",
  quantization: sameScale("data", "updates"),
  gradient: ({ b, inputs: { data, indices, updates }, outputs: { output: y }, grads: { output: dy }, attributes, wants }) => {
    if (!dy) return {};
    const { axis, reduction } = attributes;
    const gather = (from: Value): Value => b.op("GatherElements", [from, indices], { axis });
    const clear = (from: Value): Value => b.op("ScatterElements", [from, indices, b.zeros(b.shape(updates))], { axis });
    return scatterGradient({ b, data, updates, y, dy, reduction, gather, clear, wants });
  },
});

export const scatterNd = defineOp({
  type: "ScatterND",
  since: 11,
  inputs: ["data", "indices", "updates"],
  outputs: ["output"],
  attributes: { reduction: attr.string("none") },
  infer({ data, indices }, { reject }) {
    const depth = indices.shape?.at(-1);
    if (data.shape && typeof depth === "number" && depth > data.shape.length)
      reject(`indices of ${depth} coordinates are too long for data of rank ${data.shape.length}`);
    return { output: like(data) };
  },
  cost: ({ data, indices, updates }) => scatterCost(data, indices, updates),
  channels: "barrier",
  quantization: sameScale("data", "updates"),
  gradient: ({ b, inputs: { data, indices, updates }, outputs: { output: y }, grads: { output: dy }, attributes, wants }) => {
    if (!dy) return {};
    const gather = (from: Value): Value => b.op("GatherND", [from, indices]);
    const clear = (from: Value): Value => b.op("ScatterND", [from, indices, b.zeros(b.shape(updates))]);
    return scatterGradient({ b, data, updates, y, dy, reduction: attributes.reduction, gather, clear, wants });
  },
});

/** Writes `update` into a cache of keys or values, along the sequence axis. */
export const tensorScatter = defineOp({
  type: "TensorScatter",
  since: 24,
  inputs: ["past_cache", "update", "write_indices?"],
  outputs: ["present_cache"],
  attributes: { axis: attr.int(-2), mode: attr.string("linear") },
  infer({ past_cache: cache, update }, { reject }) {
    if (cache.shape && update.shape && cache.shape.length !== update.shape.length)
      reject(`cache [${cache.shape}] and update [${update.shape}] have different ranks`);
    return { present_cache: like(cache) };
  },
  cost: ({ past_cache: cache, update }) => ({ macs: 0, flops: 0, bytes: 2 * bytesOf(cache) + 2 * bytesOf(update) }),
  channels: "barrier",
  quantization: sameScale("past_cache", "update"),
});
