import { attr } from "./attributes.ts";
import { input, link, output } from "./channel-links.ts";
import { defineOp, sameScale } from "./define.ts";
import { contentsOf, fill, moves, stridesOf } from "./element-layout.ts";
import { unranked } from "./type-rules.ts";

const reversed = (rank: number): number[] => Array.from({ length: rank }, (_, i) => rank - 1 - i);

export const transpose = defineOp({
  type: "Transpose",
  since: 1,
  inputs: ["data"],
  outputs: ["transposed"],
  attributes: { perm: attr.ints() },
  infer({ data }, { attributes, reject }) {
    const rank = data.shape?.length ?? attributes.perm?.length;
    if (rank === undefined) return { transposed: unranked(data.dtype) };
    const perm = attributes.perm ?? reversed(rank);
    if (perm.length !== rank || [...perm].sort((a, b) => a - b).some((axis, i) => axis !== i))
      reject(`perm [${perm}] is not an order of ${rank} axes`);
    const shape = perm.map((axis) => data.shape?.[axis] ?? "?");
    const contents = contentsOf(data);
    const strides = contents && stridesOf(contents.shape);
    const elements =
      contents &&
      fill(
        perm.map((axis) => contents.shape[axis] as number),
        (at) => contents.elements[at.reduce((sum, index, i) => sum + index * (strides?.[perm[i] as number] as number), 0)] ?? "?",
      );
    return { transposed: { dtype: data.dtype, shape, elements } };
  },
  cost: moves,
  channels: ({ attributes, inputShapes }) =>
    ((attributes.perm as readonly number[] | undefined) ?? reversed(inputShapes[0]?.length ?? 0)).map((from, to) =>
      link(input(0, from), output(0, to)),
    ),
  quantization: sameScale("data"),
  gradient: ({ b, grads: { transposed: dy }, attributes }) => {
    if (!dy) return {};
    const perm = attributes.perm ?? reversed(b.rank(dy));
    return {
      data: b.transpose(
        dy,
        perm.map((_, axis) => perm.indexOf(axis)),
      ),
    };
  },
});
