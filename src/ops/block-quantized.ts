import { numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { bytesOf } from "./cost-bytes.ts";
import { barrier, defineOp } from "./define.ts";
import { axisIndex, like, unranked } from "./type-rules.ts";

/** Rows of a table stored in blocks of 4 or 8 bits along its last axis; uint8 data pack 8/bits entries a byte, 4-bit types do not show it. */
export const gatherBlockQuantized = defineOp({
  type: "GatherBlockQuantized",
  domain: "com.microsoft",
  since: 1,
  inputs: ["data", "indices", "scales", "zero_points?"],
  outputs: ["output"],
  attributes: { bits: attr.int(4), block_size: attr.int(128), gather_axis: attr.int(0), quantize_axis: attr.int(1) },
  infer({ data, indices, scales }, { attributes, reject }) {
    if (!data.shape || !indices.shape) return { output: unranked(scales.dtype) };
    const axis = axisIndex(attributes.gather_axis, data.shape.length, reject);
    const packed = data.dtype === "uint8" ? 8 / attributes.bits : 1;
    const last = data.shape.at(-1);
    const entries = data.shape.with(-1, typeof last === "number" ? last * packed : "?");
    return { output: like(scales, [...entries.slice(0, axis), ...indices.shape, ...entries.slice(axis + 1)]) };
  },
  cost: ({ indices }, { output }, { bits }) => ({
    macs: 0,
    flops: 2 * numel(output.shape),
    bytes: bytesOf(output) + bytesOf(indices) + (numel(output.shape) * bits) / 8,
  }),
  channels: barrier, // rows are packed in blocks
});
