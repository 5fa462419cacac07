import {
  type Attribute,
  addDims,
  ceilDivDims,
  type Dim,
  dataTypeFromCode,
  isFloat,
  maxDims,
  mulDims,
  numel,
  subDims,
  Tensor,
  tensorOf,
  toNumbers,
} from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { defineOp, type TensorInfo } from "./define.ts";
import { moves, small, views } from "./element-layout.ts";
import { anyOfRank, elementsOf, like, type Reject } from "./type-rules.ts";

const scalar = (dtype: "float32" | "int64", value: number | bigint): Tensor => tensorOf(dtype, [], [value]);

/** The one attribute that says what a Constant holds. */
function constantOf(name: string, attribute: Attribute): Tensor | undefined {
  if (attribute.type === "tensor") return attribute.value;
  if (name === "value_int" && attribute.type === "int") return scalar("int64", attribute.value);
  if (name === "value_float" && attribute.type === "float") return scalar("float32", attribute.value);
  if (name === "value_ints" && attribute.type === "ints") return tensorOf("int64", [attribute.value.length], attribute.value);
  if (name === "value_floats" && attribute.type === "floats")
    return tensorOf("float32", [attribute.value.length], attribute.value);
  const strings = attribute.type === "string" ? [attribute.value] : attribute.type === "strings" ? attribute.value : undefined;
  const text = strings?.map((item) => (typeof item === "string" ? item : new TextDecoder().decode(item)));
  return text && new Tensor("string", attribute.type === "string" ? [] : [text.length], new Uint8Array(), { strings: text });
}

export const constant = defineOp({
  type: "Constant",
  since: 1,
  inputs: [],
  outputs: ["output"],
  infer(_, { raw, reject }) {
    for (const [name, attribute] of raw) {
      if (attribute.type === "sparse_tensor")
        return { output: { dtype: attribute.value.values.dtype, shape: attribute.value.shape } };
      const tensor = constantOf(name, attribute);
      if (tensor) return { output: { dtype: tensor.dtype, shape: tensor.shape, constant: tensor } };
    }
    return reject("it holds no value");
  },
  cost: views,
  channels: "barrier",
  gradient: "none",
});

/** Contents of a new integer tensor that holds one value everywhere. */
const filled = (shape: readonly Dim[], value: Dim): readonly Dim[] | undefined =>
  small(shape) ? Array.from({ length: numel(shape) }, () => value) : undefined;

export const constantOfShape = defineOp({
  type: "ConstantOfShape",
  since: 9,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { value: attr.tensor() },
  infer({ input }, { attributes: { value } }) {
    const dtype = value?.dtype ?? "float32";
    const rank = input.shape?.[0];
    const wanted = elementsOf(input);
    const shape = wanted ?? (typeof rank === "number" ? anyOfRank(rank) : undefined);
    if (!shape) return { output: { dtype, shape } };
    const element = value ? toNumbers(value)[0] : 0;
    return { output: { dtype, shape, elements: isFloat(dtype) || element === undefined ? undefined : filled(shape, element) } };
  },
  cost: moves,
  channels: "barrier",
  gradient: "none",
});

/** A scalar that Range counts with: an integer as dim, a float as number. */
function bound(info: TensorInfo): Dim {
  const [element] = elementsOf(info) ?? (info.constant && isFloat(info.dtype) ? toNumbers(info.constant) : []);
  return element ?? "?";
}

/** max(0, ceil((limit − start) / delta)). */
function rangeLength(start: Dim, limit: Dim, delta: Dim, reject: Reject): Dim {
  if (delta === 0) reject("delta is 0");
  if (typeof start === "number" && typeof limit === "number" && typeof delta === "number")
    return Math.max(0, Math.ceil((limit - start) / delta));
  if (typeof delta !== "number" || !Number.isInteger(delta)) return "?";
  const [from, to] = delta > 0 ? [start, limit] : [limit, start];
  return maxDims(0, ceilDivDims(subDims(to, from), Math.abs(delta)));
}

export const range = defineOp({
  type: "Range",
  fixedFloat32: true,
  since: 11,
  inputs: ["start", "limit", "delta"],
  outputs: ["output"],
  infer({ start, limit, delta }, { reject }) {
    const [a, b, step] = [bound(start), bound(limit), bound(delta)];
    const length = rangeLength(a, b, step, reject);
    const counted = !isFloat(start.dtype) && small([length]);
    const elements = counted ? Array.from({ length: Number(length) }, (_, i) => addDims(a, mulDims(step, i))) : undefined;
    return { output: { dtype: start.dtype, shape: [length], elements } };
  },
  cost: moves,
  channels: "barrier",
  gradient: "none",
});

export const identity = defineOp({
  type: "Identity",
  since: 1,
  inputs: ["input"],
  outputs: ["output"],
  infer: ({ input }) => ({ output: input }),
  cost: views,
  channels: "elementwise",
  quantization: { activations: ["input"], output: { sameAs: ["input"] } },
  gradient: ({ grads: { output: dy } }) => (dy ? { input: dy } : {}),
});

export const eyeLike = defineOp({
  type: "EyeLike",
  since: 9,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { dtype: attr.int(), k: attr.int(0) },
  infer({ input }, { attributes, reject }) {
    if (input.shape && input.shape.length !== 2) reject(`the input [${input.shape}] is no matrix`);
    const named = attributes.dtype === undefined ? input.dtype : dataTypeFromCode(attributes.dtype);
    return { output: like(input, input.shape, named ?? reject(`there is no element type number ${attributes.dtype}`)) };
  },
  cost: moves,
  channels: "barrier",
  gradient: "none",
});
