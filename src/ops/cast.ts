import { type DataType, type Dim, dataTypeFromCode, isFloat, isInteger, toNumbers } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { defineOp, type TensorInfo } from "./define.ts";
import { elementsOf } from "./type-rules.ts";

/** Contents through a cast: whole numbers stay, a float constant is truncated towards zero, bool asks "not zero". */
function castElements(info: TensorInfo, to: DataType): readonly Dim[] | undefined {
  const whole = elementsOf(info) ?? smallFloats(info);
  if (!whole) return undefined;
  if (to === "bool") return whole.map((x) => (typeof x === "number" ? Number(x !== 0) : "?"));
  if (isInteger(to)) return whole.map((x) => (typeof x === "number" ? Math.trunc(x) : x));
  return isFloat(to) ? whole : undefined;
}

const smallFloats = ({ constant }: TensorInfo): readonly number[] | undefined =>
  constant && isFloat(constant.dtype) && constant.size <= 64 ? toNumbers(constant) : undefined;

const casted = (input: TensorInfo, to: DataType): TensorInfo => ({
  dtype: to,
  shape: input.shape,
  elements: castElements(input, to),
  constant: to === input.dtype ? input.constant : undefined,
});

export const cast = defineOp({
  type: "Cast",
  since: 6,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { to: attr.required.int(), saturate: attr.int(1), round_mode: attr.string("up") },
  infer({ input }, { attributes, reject }) {
    const to = dataTypeFromCode(attributes.to) ?? reject(`there is no element type number ${attributes.to}`);
    return { output: casted(input, to) };
  },
  cost: () => ({ macs: 0, flops: 0 }),
  channels: "elementwise",
  gradient: ({ b, inputs: { input }, grads: { output: dy } }) =>
    dy && isFloat(b.dtype(input)) ? { input: b.cast(dy, b.dtype(input)) } : {},
});

export const castLike = defineOp({
  type: "CastLike",
  since: 15,
  inputs: ["input", "target_type"],
  outputs: ["output"],
  attributes: { saturate: attr.int(1), round_mode: attr.string("up") },
  infer: ({ input, target_type: target }) => ({ output: casted(input, target.dtype) }),
  cost: () => ({ macs: 0, flops: 0 }),
  // The second input lends its type only; its axes have nothing to do with the output's.
  channels: ({ inputShapes }) =>
    (inputShapes[0] ?? []).map((_, axis) => ({
      a: { port: "input" as const, index: 0, axis },
      b: { port: "output" as const, index: 0, axis },
    })),
  gradient: ({ b, inputs: { input }, grads: { output: dy } }) =>
    dy && isFloat(b.dtype(input)) ? { input: b.cast(dy, b.dtype(input)) } : {},
});
