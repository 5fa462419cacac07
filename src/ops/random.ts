import { type DataType, dataTypeFromCode } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { barrier, type Call, defineOp } from "./define.ts";
import { like } from "./type-rules.ts";

/** The element type that an attribute names by its number in ONNX files. */
export const typeOfCode = (code: number, { reject }: Pick<Call, "reject">): DataType =>
  dataTypeFromCode(code) ?? reject(`there is no element type with the number ${code}`);

const normal = { mean: attr.float(0), scale: attr.float(1) } as const;
const uniform = { low: attr.float(0), high: attr.float(1) } as const;

const generator = (type: string, distribution: typeof normal | typeof uniform) =>
  defineOp({
    type,
    since: 1,
    inputs: [],
    outputs: ["output"],
    attributes: { ...distribution, dtype: attr.int(1), seed: attr.float(), shape: attr.required.ints() },
    deterministic: false,
    infer: (_, call) => ({ output: { dtype: typeOfCode(call.attributes.dtype, call), shape: call.attributes.shape } }),
    channels: barrier,
    gradient: "none",
  });

const generatorLike = (type: string, distribution: typeof normal | typeof uniform) =>
  defineOp({
    type,
    since: 1,
    inputs: ["input"],
    outputs: ["output"],
    attributes: { ...distribution, dtype: attr.int(), seed: attr.float() },
    deterministic: false,
    infer: ({ input }, call) => {
      const { dtype } = call.attributes;
      return { output: like(input, input.shape, dtype === undefined ? input.dtype : typeOfCode(dtype, call)) };
    },
    channels: barrier,
    gradient: "none",
  });

export const generators = [
  generator("RandomNormal", normal),
  generator("RandomUniform", uniform),
  generatorLike("RandomNormalLike", normal),
  generatorLike("RandomUniformLike", uniform),
];

export const bernoulli = defineOp({
  type: "Bernoulli",
  since: 15,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { dtype: attr.int(), seed: attr.float() },
  deterministic: false,
  infer: ({ input }, call) => {
    const { dtype } = call.attributes;
    return { output: like(input, input.shape, dtype === undefined ? input.dtype : typeOfCode(dtype, call)) };
  },
  channels: barrier,
  gradient: "none",
});

export const multinomial = defineOp({
  type: "Multinomial",
  since: 7,
  inputs: ["input"],
  outputs: ["output"],
  attributes: { dtype: attr.int(6), sample_size: attr.int(1), seed: attr.float() },
  deterministic: false,
  infer: ({ input }, call) => ({
    output: like(input, [input.shape?.[0] ?? "?", call.attributes.sample_size], typeOfCode(call.attributes.dtype, call)),
  }),
  channels: barrier,
  gradient: "none",
});
