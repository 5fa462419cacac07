import {
  type DataType,
  type Dim,
  formatShape,
  isInteger,
  numel,
  stringTensor,
  type Tensor,
  type TensorType,
  tensorOf,
} from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { seededRandom } from "../util/random.ts";
import type { Feeds } from "./rounds.ts";

export interface RandomInputs {
  readonly feeds: Feeds;
  /** Dims that the model leaves open and the caller did not choose: they became 1. */
  readonly assumed: readonly { readonly input: string; readonly dim: string }[];
}

/** An input larger than this is a mistake in a shape, not a model. */
const maximumElements = 2 ** 28;

function fixedShape(
  name: string,
  type: TensorType,
  given: readonly number[] | undefined,
  assume: (dim: string) => void,
): number[] {
  const declared = type.shape;
  if (given) {
    const fits =
      !declared || (declared.length === given.length && declared.every((dim, i) => typeof dim !== "number" || dim === given[i]));
    if (!fits)
      throw new EdgewrightError(
        "INPUT_SHAPE",
        `Input "${name}" is declared as ${formatShape(declared)}, which [${given}] does not fit.`,
        {
          subject: name,
        },
      );
    return [...given];
  }
  if (!declared)
    throw new EdgewrightError("INPUT_SHAPE", `Input "${name}" does not declare its rank.`, {
      subject: name,
      hint: `Give it a shape: --shape ${name}=1,3,224,224.`,
    });
  return declared.map((dim: Dim) => {
    if (typeof dim === "number") return dim;
    assume(dim);
    return 1;
  });
}

/**
 * Small integers are safe as indices, token ids and class numbers of almost any model; lengths and counts want at least 1.
 */
const integerBound = 3;

function randomTensor(dtype: DataType, shape: readonly number[], uniform: () => number, name: string): Tensor {
  const size = numel(shape);
  if (size > maximumElements)
    throw new EdgewrightError("INPUT_SHAPE", `Input "${name}" of shape [${shape}] has ${size} elements.`, { subject: name });
  if (dtype === "string")
    return stringTensor(
      shape,
      Array.from({ length: size }, () => "a"),
    );
  const integer = dtype === "bool" ? () => Math.floor(uniform() * 2) : () => Math.floor(uniform() * integerBound);
  // an image after normalization, a feature, an embedding: all lie about here
  const real = () => uniform() * 2 - 1;
  const eightBit =
    dtype === "uint8"
      ? () => Math.floor(uniform() * 256)
      : dtype === "int8"
        ? () => Math.floor(uniform() * 256) - 128
        : undefined;
  const draw = eightBit ?? (isInteger(dtype) || dtype === "bool" ? integer : real);
  return tensorOf(dtype, shape, Float32Array.from({ length: size }, draw));
}

/** Seeded random inputs of the types that a model declares. `shapes` overrides by input name; other open dims become 1. */
export function randomInputs(
  inputs: readonly { readonly name: string; readonly type: TensorType }[],
  options: { readonly seed?: number; readonly shapes?: Readonly<Record<string, readonly number[]>> } = {},
): RandomInputs {
  const { shapes = {} } = options;
  for (const name of Object.keys(shapes))
    if (!inputs.some((input) => input.name === name))
      throw new EdgewrightError("INPUT_UNKNOWN", `The model has no input "${name}".`, {
        subject: name,
        hint: `Its inputs are: ${inputs.map((input) => input.name).join(", ") || "none"}.`,
      });
  const uniform = seededRandom(options.seed ?? 1);
  const assumed: { input: string; dim: string }[] = [];
  const feeds: Record<string, Tensor> = {};
  for (const { name, type } of inputs) {
    const shape = fixedShape(name, type, shapes[name], (dim) => assumed.push({ input: name, dim }));
    feeds[name] = randomTensor(type.dtype, shape, uniform, name);
  }
  return { feeds, assumed };
}
