import { isInteger, type Tensor, tensorOf } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import type { Feature, RawSample } from "../define.ts";
import { type TextPreprocess, textPreprocessSchema } from "../preprocess.ts";
import { openTextEncoder } from "../vocabulary.ts";
import type { FeatureKind, ModelInput } from "./define.ts";
import { checkFits } from "./tensor.ts";

const defaults: TextPreprocess = textPreprocessSchema.parse({});
const mask = "attention_mask";
const types = "token_type_ids";

const names = (feature: Feature): readonly string[] => [feature.name, "input_ids"];
const companions = [mask, types];

/** Tokens per sample: declared, else the model's fixed length. */
function lengthOf(spec: TextPreprocess, bound: ReadonlyMap<string, ModelInput>): number | undefined {
  const fixed = [...bound.values()].map((input) => input.type.shape?.[1]).find((dim) => typeof dim === "number");
  if (spec.maxLength !== undefined && fixed !== undefined && spec.maxLength !== fixed)
    fail("PREPROCESS_SHAPE", `text.maxLength is ${spec.maxLength}, but the model takes ${fixed} tokens.`, {
      hint: "Leave text.maxLength out: the model's own length is used.",
    });
  return spec.maxLength ?? fixed;
}

function checkInputs(bound: ReadonlyMap<string, ModelInput>): void {
  for (const { name, type } of bound.values())
    if (!isInteger(type.dtype))
      fail("PREPROCESS_DTYPE", `The model's input "${name}" takes ${type.dtype}; token numbers need an integer type.`, {
        hint: "Bind the tokens to another input with `inputs`.",
      });
}

function feedsOf(
  bound: ReadonlyMap<string, ModelInput>,
  encoded: { ids: readonly number[]; typeIds?: readonly number[] | undefined },
  pad: number,
  length: number | undefined,
  origin: string,
): Record<string, Tensor> {
  const count = length ?? Math.max(1, encoded.ids.length);
  const fill = (values: readonly number[], filler: number): number[] =>
    Array.from({ length: count }, (_, i) => values[i] ?? filler);
  const feeds: Record<string, Tensor> = {};
  for (const [role, input] of bound) {
    const values =
      role === mask
        ? fill(new Array<number>(Math.min(count, encoded.ids.length)).fill(1), 0)
        : role === types
          ? fill(encoded.typeIds ?? [], 0)
          : fill(encoded.ids, pad);
    checkFits([1, count], input, origin);
    feeds[input.name] = tensorOf(input.type.dtype, [1, count], values);
  }
  return feeds;
}

/** The inputs among `bound` that serve this feature. */
const ownInputs = (feature: Feature, bound: ReadonlyMap<string, ModelInput>): Map<string, ModelInput> =>
  new Map([...names(feature), ...companions].flatMap((role) => (bound.has(role) ? [[role, bound.get(role) as ModelInput]] : [])));

/** Text through a word vocabulary or a tokenizer.json; feeds token numbers, and mask and token types where the model has such inputs. */
export const textFeature: FeatureKind = {
  names,
  companions,
  async prepare(feature, bound, preprocess, dataset) {
    const spec = preprocess.text ?? defaults;
    const inputs = ownInputs(feature, bound);
    checkInputs(inputs);
    const length = lengthOf(spec, inputs);
    const encoder = await openTextEncoder(spec, dataset);
    return (sample) => {
      const encoded = encoder.encode(sample.text as string, length);
      return { feeds: feedsOf(inputs, encoded, encoder.pad, length, sample.origin) };
    };
  },
};

/** Token numbers as stored, filled or cut to the model's length. */
export const tokensFeature: FeatureKind = {
  names,
  companions,
  prepare(feature, bound, preprocess) {
    const spec = preprocess.text ?? defaults;
    const inputs = ownInputs(feature, bound);
    checkInputs(inputs);
    const length = lengthOf(spec, inputs);
    if (typeof spec.pad !== "number")
      fail("PREPROCESS_INVALID", `text.pad must be a number for stored tokens, not "${spec.pad}".`);
    const pad = spec.pad;
    return (sample: RawSample) => {
      const ids = sample.tokens as readonly number[];
      return { feeds: feedsOf(inputs, { ids: length === undefined ? ids : ids.slice(0, length) }, pad, length, sample.origin) };
    };
  },
};
