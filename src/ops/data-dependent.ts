import { type Dim, numel } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { defineOp, type TensorInfo } from "./define.ts";
import { anyOfRank, axisIndex, like, replaceDim } from "./type-rules.ts";

const indices = (shape: readonly Dim[]): TensorInfo => ({ dtype: "int64", shape });

/** Indices of the elements that are not zero, [rank, count]; the count depends on values. */
export const nonZero = defineOp({
  type: "NonZero",
  since: 9,
  inputs: ["X"],
  outputs: ["Y"],
  infer: ({ X }) => ({ Y: indices([X.shape?.length ?? "?", "?"]) }),
  cost: ({ X }) => ({ macs: 0, flops: numel(X.shape) }),
  channels: "barrier",
  gradient: "none",
});

/** Rows of [batch, class, box]; how many survive depends on values. */
export const nonMaxSuppression = defineOp({
  type: "NonMaxSuppression",
  fixedFloat32: true,
  since: 10,
  inputs: ["boxes", "scores", "max_output_boxes_per_class?", "iou_threshold?", "score_threshold?"],
  outputs: ["selected_indices"],
  attributes: { center_point_box: attr.int(0) },
  infer({ boxes, scores }, { reject }) {
    if (boxes.shape && (boxes.shape.length !== 3 || (typeof boxes.shape[2] === "number" && boxes.shape[2] !== 4)))
      reject(`boxes [${boxes.shape}] are not of shape [batch, boxes, 4]`);
    if (scores.shape && scores.shape.length !== 3) reject(`scores [${scores.shape}] are not of shape [batch, classes, boxes]`);
    return { selected_indices: indices(["?", 3]) };
  },
  // Scores are compared once each; the overlap of a pair takes about 16 operations, for the few boxes that pass, which only values tell.
  cost: ({ scores }) => ({ macs: 0, flops: numel(scores.shape) }),
  channels: "barrier",
  gradient: "none",
});

export const unique = defineOp({
  type: "Unique",
  since: 11,
  inputs: ["X"],
  outputs: ["Y", "indices?", "inverse_indices?", "counts?"],
  attributes: { axis: attr.int(), sorted: attr.int(1) },
  infer({ X }, { attributes: { axis }, reject }) {
    const at = axis === undefined || !X.shape ? undefined : axisIndex(axis, X.shape.length, reject);
    const count = at === undefined ? undefined : X.shape?.[at];
    const flat = X.shape?.every((dim) => typeof dim === "number") ? numel(X.shape as readonly number[]) : "?";
    const shape = axis === undefined ? ["?"] : at === undefined ? undefined : replaceDim(X.shape ?? anyOfRank(1), at, "?");
    return {
      Y: { dtype: X.dtype, shape },
      indices: indices(["?"]),
      inverse_indices: indices([axis === undefined ? flat : (count ?? "?")]),
      counts: indices(["?"]),
    };
  },
  cost: ({ X }) => ({ macs: 0, flops: numel(X.shape) * Math.ceil(Math.log2(Math.max(2, numel(X.shape)))) }),
  channels: "barrier",
});

/** Same strings, normalised; a stop word makes an element go, so that the count depends on values. */
export const stringNormalizer = defineOp({
  type: "StringNormalizer",
  since: 10,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: {
    case_change_action: attr.string("NONE"),
    is_case_sensitive: attr.int(0),
    locale: attr.string(),
    stopwords: attr.strings(),
  },
  infer({ X }, { attributes }) {
    const kept = !attributes.stopwords?.length;
    return { Y: kept ? like(X) : like(X, X.shape && replaceDim(X.shape, X.shape.length - 1, "?")) };
  },
  cost: () => ({ macs: 0, flops: 0 }),
  channels: "barrier",
  gradient: "none",
});

export const regexFullMatch = defineOp({
  type: "RegexFullMatch",
  since: 20,
  inputs: ["X"],
  outputs: ["Y"],
  attributes: { pattern: attr.string() },
  infer: ({ X }) => ({ Y: like(X, X.shape, "bool") }),
  cost: () => ({ macs: 0, flops: 0 }),
  channels: "barrier",
  gradient: "none",
});
