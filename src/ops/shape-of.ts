import { type Dim, productOf } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { bytesOf } from "./cost-bytes.ts";
import { defineOp, type TensorInfo } from "./define.ts";

const int64 = (shape: readonly Dim[], elements?: readonly Dim[]): TensorInfo => ({ dtype: "int64", shape, elements });

/** Python's slice bounds: negative from the end, clamped. */
const clamp = (bound: number, rank: number): number => Math.min(Math.max(bound < 0 ? bound + rank : bound, 0), rank);

export const shape = defineOp({
  type: "Shape",
  since: 1,
  inputs: ["data"],
  outputs: ["shape"],
  attributes: { start: attr.int(0), end: attr.int() },
  infer({ data }, { attributes }) {
    const rank = data.shape?.length;
    if (!data.shape || rank === undefined) return { shape: int64(["?"]) };
    const dims = data.shape.slice(clamp(attributes.start, rank), clamp(attributes.end ?? rank, rank));
    return { shape: int64([dims.length], dims) };
  },
  cost: (_, { shape: out }) => ({ macs: 0, flops: 0, bytes: bytesOf(out) }),
  channels: "barrier",
  gradient: "none",
});

export const size = defineOp({
  type: "Size",
  since: 1,
  inputs: ["data"],
  outputs: ["size"],
  infer: ({ data }) => ({ size: int64([], data.shape && [productOf(data.shape)]) }),
  cost: (_, { size: out }) => ({ macs: 0, flops: 0, bytes: bytesOf(out) }),
  channels: "barrier",
  gradient: "none",
});
