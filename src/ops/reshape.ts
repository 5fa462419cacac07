import { type Dim, floorDivDims, isKnown, isStatic, numel, productOf, type Shape } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { defineOp, sameScale, type TensorInfo } from "./define.ts";
import { views } from "./element-layout.ts";
import { reshapedBack } from "./gradients/moves.ts";
import { reshapeLinks } from "./reshape-links.ts";
import { axisIndex, elementsOf, integersOf, type Reject, unranked } from "./type-rules.ts";

/** The same elements in the same order under another shape; contents and constants stay known. */
export function reshaped(data: TensorInfo, shape: Shape): TensorInfo {
  const same = isStatic(shape) && (!isStatic(data.shape) || numel(shape) === numel(data.shape));
  return {
    dtype: data.dtype,
    shape,
    elements: elementsOf(data),
    constant: same && data.constant && data.constant.size === numel(shape) ? data.constant.reshape(shape) : undefined,
  };
}

/** Resolves 0 ("copy the input's extent", unless `allowzero`) and -1 ("what is left") in Reshape's shape. */
export function reshapeTarget(input: Shape | undefined, wanted: readonly Dim[], allowzero: boolean, reject: Reject): Dim[] {
  const copied = wanted.map(
    (dim, i) => dim === 0 && !allowzero && (i < (input?.length ?? Number.POSITIVE_INFINITY) || missing(i)),
  );
  function missing(axis: number): never {
    return reject(`shape [${wanted}] copies axis ${axis}, which the input [${input}] does not have`);
  }
  const shape = wanted.map((dim, i) => (copied[i] ? (input?.[i] ?? "?") : dim));
  if (wanted.filter((dim) => dim === -1).length > 1) reject(`shape [${wanted}] has more than one -1`);
  // An entry that is not known can be solved for like -1, when it is the only one.
  const open = shape.flatMap((dim, i) => (!copied[i] && (dim === -1 || !isKnown(dim)) ? [i] : []));
  const at = wanted.indexOf(-1) >= 0 ? wanted.indexOf(-1) : open[0];
  if (at !== undefined) shape[at] = open.length === 1 ? remaining(input, shape, copied, at, reject) : "?";
  if (isStatic(input) && isStatic(shape) && numel(input) !== numel(shape))
    reject(`${numel(input)} elements of shape [${input}] do not fit the shape [${shape}]`);
  return shape;
}

/** What is left for axis `at`: copied axes cancel out, so that they need not even be known. */
function remaining(input: Shape | undefined, shape: Shape, copied: readonly boolean[], at: number, reject: Reject): Dim {
  if (!input) return "?";
  const total = productOf(input.filter((_, i) => !copied[i]));
  const taken = productOf(shape.filter((_, i) => i !== at && !copied[i]));
  if (taken === 0) return total === 0 ? 0 : "?";
  const left = floorDivDims(total, taken);
  if (typeof total === "number" && typeof taken === "number" && total % taken !== 0)
    reject(`${total} elements cannot be divided into groups of ${taken}`);
  return left;
}

export const reshape = defineOp({
  type: "Reshape",
  since: 5,
  inputs: ["data", "shape"],
  outputs: ["reshaped"],
  attributes: { allowzero: attr.int(0) },
  infer({ data, shape }, { attributes, reject }) {
    const wanted = elementsOf(shape);
    const rank = shape.shape?.[0];
    if (wanted) return { reshaped: reshaped(data, reshapeTarget(data.shape, wanted, attributes.allowzero !== 0, reject)) };
    return { reshaped: typeof rank === "number" ? { dtype: data.dtype, shape: Array(rank).fill("?") } : unranked(data.dtype) };
  },
  cost: views,
  channels: reshapeLinks,
  quantization: sameScale("data"),
  gradient: ({ b, inputs: { data }, grads: { reshaped: dy } }) => (dy ? { data: reshapedBack(b, data, dy) } : {}),
});

export const flatten = defineOp({
  type: "Flatten",
  since: 1,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { axis: attr.int(1) },
  infer({ input }, { attributes, reject }) {
    if (!input.shape) return { output: { dtype: input.dtype, shape: ["?", "?"] } };
    const rank = input.shape.length;
    const axis = attributes.axis === rank ? rank : axisIndex(attributes.axis, rank, reject);
    return { output: reshaped(input, [productOf(input.shape.slice(0, axis)), productOf(input.shape.slice(axis))]) };
  },
  cost: views,
  channels: reshapeLinks,
  quantization: sameScale("input"),
  gradient: ({ b, inputs: { input }, grads: { output: dy } }) => (dy ? { input: reshapedBack(b, input, dy) } : {}),
});

export const squeeze = defineOp({
  type: "Squeeze",
  since: 13,
  inputs: ["data", "axes?"],
  outputs: ["squeezed"],
  infer({ data, axes }, { reject }) {
    const { shape } = data;
    const listed = integersOf(axes);
    if (!shape || (axes && !listed)) return { squeezed: unranked(data.dtype) };
    const drop = new Set(listed?.map((axis) => axisIndex(axis, shape.length, reject)));
    for (const axis of drop)
      if (typeof shape[axis] === "number" && shape[axis] !== 1)
        reject(`axis ${axis} of [${shape}] cannot be squeezed: it is not 1`);
    if (listed)
      return {
        squeezed: reshaped(
          data,
          shape.filter((_, i) => !drop.has(i)),
        ),
      };
    // Without axes, every extent of 1 goes: which ones these are must be known.
    const sure = shape.every((dim) => typeof dim === "number");
    return {
      squeezed: sure
        ? reshaped(
            data,
            shape.filter((dim) => dim !== 1),
          )
        : unranked(data.dtype),
    };
  },
  cost: views,
  channels: reshapeLinks,
  quantization: sameScale("data"),
  gradient: ({ b, inputs: { data }, grads: { squeezed: dy } }) => (dy ? { data: reshapedBack(b, data, dy) } : {}),
});

export const unsqueeze = defineOp({
  type: "Unsqueeze",
  since: 13,
  inputs: ["data", "axes"],
  outputs: ["expanded"],
  infer({ data, axes }, { reject }) {
    const listed = integersOf(axes);
    if (!data.shape || !listed) return { expanded: unranked(data.dtype) };
    const rank = data.shape.length + listed.length;
    const added = new Set(listed.map((axis) => axisIndex(axis, rank, reject)));
    if (added.size !== listed.length) reject(`axes [${listed}] name an axis twice`);
    const rest = [...data.shape];
    return {
      expanded: reshaped(
        data,
        Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : (rest.shift() as Dim))),
      ),
    };
  },
  cost: views,
  channels: reshapeLinks,
  quantization: sameScale("data"),
  gradient: ({ b, inputs: { data }, grads: { expanded: dy } }) => (dy ? { data: reshapedBack(b, data, dy) } : {}),
});
