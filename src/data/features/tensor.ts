import { formatType, numel, type Tensor, tensorOf, toNumbers } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { type TensorPreprocess, tensorPreprocessSchema } from "../preprocess.ts";
import type { FeatureKind, ModelInput } from "./define.ts";

const defaults: TensorPreprocess = tensorPreprocessSchema.parse({});

/** The shape a sample takes without its batch axis: declared, else the model's own where it is fixed, else as stored. */
function sampleShape(stored: readonly number[], declared: readonly number[] | undefined, input: ModelInput): readonly number[] {
  if (declared) return declared;
  const own = input.type.shape?.slice(1);
  const count = numel(stored);
  if (!own) return stored;
  const fixed = own.filter((dim) => typeof dim === "number");
  if (fixed.length === own.length && numel(fixed) === count) return fixed;
  // one free axis takes whatever is left, if it comes out whole
  const left = count / numel(fixed);
  if (own.length - fixed.length === 1 && own.length !== stored.length && Number.isInteger(left))
    return own.map((dim) => (typeof dim === "number" ? dim : left));
  return stored;
}

/** Stops when a tensor with its batch axis does not fit the model's input. */
export function checkFits(shape: readonly number[], input: ModelInput, origin: string): void {
  const own = input.type.shape;
  if (!own || (own.length === shape.length && own.every((dim, axis) => typeof dim !== "number" || dim === shape[axis]))) return;
  fail(
    "PREPROCESS_SHAPE",
    `"${origin}" gives a tensor of shape [${shape}], but the model's input "${input.name}" is ${formatType(input.type)}.`,
    { subject: origin, hint: "Set tensor.reshape or tensor.transpose, or bind the feature to another input with `inputs`." },
  );
}

function transposed(values: number[], shape: readonly number[], order: readonly number[], origin: string): [number[], number[]] {
  if ([...order].sort((a, b) => a - b).some((axis, i) => axis !== i) || order.length !== shape.length)
    fail("PREPROCESS_INVALID", `tensor.transpose [${order}] is not an order of the ${shape.length} axes of "${origin}".`);
  const strides = shape.map((_, axis) => numel(shape.slice(axis + 1)));
  const target = order.map((axis) => shape[axis] as number);
  const result = new Array<number>(values.length);
  const at = new Array<number>(target.length).fill(0);
  for (let i = 0; i < values.length; i++) {
    let from = 0;
    for (let axis = 0; axis < at.length; axis++) from += (at[axis] as number) * (strides[order[axis] as number] as number);
    result[i] = values[from] as number;
    for (let axis = at.length - 1; axis >= 0; axis--) {
      at[axis] = (at[axis] as number) + 1;
      if ((at[axis] as number) < (target[axis] as number)) break;
      at[axis] = 0;
    }
  }
  return [result, target];
}

function normalize(values: number[], spec: TensorPreprocess, lastAxis: number): void {
  if (spec.scale === 1 && spec.mean === 0 && spec.std === 1) return;
  const pick = (value: number | readonly number[], i: number): number =>
    typeof value === "number" ? value : (value[i % value.length] as number);
  for (const value of [spec.mean, spec.std])
    if (typeof value !== "number" && value.length !== 1 && value.length !== lastAxis)
      fail("PREPROCESS_INVALID", `tensor.mean or tensor.std has ${value.length} values, but the last axis has ${lastAxis}.`);
  for (let i = 0; i < values.length; i++)
    values[i] = ((values[i] as number) * spec.scale - pick(spec.mean, i)) / pick(spec.std, i);
}

function checkFinite(values: readonly number[], origin: string, name: string): void {
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new EdgewrightError("DATA_NOT_FINITE", `Element ${bad} of "${name}" in "${origin}" is ${values[bad]}.`, {
    subject: origin,
    hint: 'Clean the data, or open it with onCorrupt: "skip" to leave such samples out and count them.',
  });
}

/** Numbers as stored: optional transpose, scale, mean and std, then the shape and element type of the model's input. */
export const tensorFeature: FeatureKind = {
  names: (feature) => [feature.name],
  prepare(feature, bound, preprocess) {
    const spec = preprocess.tensor ?? defaults;
    const input = bound.get(feature.name) as ModelInput;
    return (sample) => {
      const stored = sample.tensors?.[feature.name] as Tensor;
      let values = toNumbers(stored);
      let shape = stored.shape;
      checkFinite(values, sample.origin, feature.name);
      if (spec.transpose) [values, shape] = transposed(values, shape, spec.transpose, sample.origin);
      normalize(values, spec, shape.at(-1) ?? 1);
      const own = sampleShape(shape, spec.reshape, input);
      if (numel(own) !== values.length)
        fail("PREPROCESS_SHAPE", `"${sample.origin}" has ${values.length} numbers, which tensor.reshape [${own}] does not hold.`);
      const full = [1, ...own];
      checkFits(full, input, sample.origin);
      return { feeds: { [input.name]: tensorOf(input.type.dtype, full, values) } };
    };
  },
};
