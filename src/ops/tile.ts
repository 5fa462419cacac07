import { broadcastShapes, mulDims } from "../ir/index.ts";
import { sameAxes } from "./channel-links.ts";
import { defineOp, sameScale } from "./define.ts";
import { moves } from "./element-layout.ts";
import { tileGradient } from "./gradients/moves.ts";
import { repeatedElements } from "./pad.ts";
import { anyOfRank, elementsOf, like, unranked } from "./type-rules.ts";

export const tile = defineOp({
  type: "Tile",
  since: 6,
  inputs: ["input", "repeats"],
  outputs: ["output"],
  infer({ input, repeats }, { reject }) {
    const { shape } = input;
    if (!shape) return { output: unranked(input.dtype) };
    const counts = elementsOf(repeats);
    if (!counts) return { output: like(input, anyOfRank(shape.length)) };
    if (counts.length !== shape.length) reject(`repeats has ${counts.length} entries for ${shape.length} axes`);
    const result = shape.map((dim, i) => mulDims(dim, counts[i] ?? "?"));
    return { output: { ...like(input, result), elements: repeatedElements(input, result) } };
  },
  cost: moves,
  // An axis that is not repeated has the same extent on both sides.
  channels: ({ inputShapes, outputShapes }) =>
    sameAxes(
      inputShapes[0]?.length,
      (axis) => inputShapes[0]?.[axis] !== outputShapes[0]?.[axis] || inputShapes[0]?.[axis] === "?",
    ),
  quantization: sameScale("input"),
  gradient: ({ b, inputs: { input }, grads: { output: dy } }) => (dy ? { input: tileGradient(b, input, dy) } : {}),
});

export const expand = defineOp({
  type: "Expand",
  since: 8,
  inputs: ["input", "shape"],
  outputs: ["output"],
  infer({ input, shape: wanted }, { reject }) {
    const target = elementsOf(wanted);
    const rank = wanted.shape?.[0];
    if (target) {
      const shape = broadcastShapes([input.shape, target], reject);
      return { output: { ...unranked(input.dtype), shape, elements: shape && repeatedElements(input, shape) } };
    }
    if (typeof rank !== "number" || !input.shape) return { output: unranked(input.dtype) };
    return { output: like(input, broadcastShapes([input.shape, anyOfRank(rank)], reject)) };
  },
  cost: moves,
  channels: "elementwise",
  quantization: sameScale("input"),
  gradient: ({ b, inputs: { input }, grads: { output: dy } }) => (dy ? { input: b.sumTo(dy, b.shape(input)) } : {}),
});
