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

function fixedShape(name: string, type: TensorType, options: RandomInputOptions, assume: (dim: string) => void): number[] {
  const given = options.shapes?.[name];
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
    const chosen = options.dims?.[dim];
    if (chosen !== undefined) return chosen;
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

export interface RandomInputOptions {
  readonly seed?: number | undefined;
  /** Whole shapes by input name. */
  readonly shapes?: Readonly<Record<string, readonly number[]>> | undefined;
  /** Symbolic dims by name ("N": 4). */
  readonly dims?: Readonly<Record<string, number>> | undefined;
}

/** Seeded random inputs of the types that a model declares. `shapes` and `dims` override; other open dims become 1. */
export function randomInputs(
  inputs: readonly { readonly name: string; readonly type: TensorType }[],
  options: RandomInputOptions = {},
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
    const shape = fixedShape(name, type, options, (dim) => assumed.push({ input: name, dim }));
    feeds[name] = randomTensor(type.dtype, shape, uniform, name);
  }
  return { feeds, assumed };
}

/**
 * Sorts `name=1,3,224,224` entries as people write them: the name of an input takes a shape, the name of a symbolic dim one number.
 */
export function shapeOverrides(
  given: Readonly<Record<string, readonly number[]>>,
  inputs: readonly { readonly name: string; readonly type: TensorType }[],
): Pick<RandomInputOptions, "shapes" | "dims"> {
  const symbols = new Set(inputs.flatMap(({ type }) => (type.shape ?? []).filter((dim) => typeof dim === "string")));
  const entries = Object.entries(given);
  const isDim = ([name, dims]: [string, readonly number[]]) =>
    dims.length === 1 && symbols.has(name) && !inputs.some((input) => input.name === name);
  return {
    shapes: Object.fromEntries(entries.filter((entry) => !isDim(entry))),
    dims: Object.fromEntries(entries.filter(isDim).map(([name, dims]) => [name, dims[0] as number])),
  };
}
