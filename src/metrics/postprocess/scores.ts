import { z } from "zod";
import { fromTypedArray, type Outputs, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { definePostprocess } from "../define.ts";
import { argmax, outputOf, softmax } from "../outputs.ts";

const options = z.strictObject({ output: z.string().optional() });
type Options = z.infer<typeof options>;

/** The output that is read, row by row of its last axis. */
function* rows(outputs: Outputs, { output }: Options): Generator<Float32Array, void> {
  const tensor = outputOf(outputs, output);
  const width = tensor.shape.at(-1) ?? 1;
  const values = toFloat32(tensor);
  for (let start = 0; start < values.length; start += width) yield values.subarray(start, start + width);
}

const shapeOf = (outputs: Outputs, { output }: Options): readonly number[] => outputOf(outputs, output).shape;

function softmaxRows(outputs: Outputs, chosen: Options): Tensor {
  const parts = [...rows(outputs, chosen)].map(softmax);
  return fromTypedArray("float32", shapeOf(outputs, chosen), Float32Array.from(parts.flatMap((part) => Array.from(part))));
}

/** Logits to "probabilities" along the last axis. */
export const softmaxScores = definePostprocess<Options>({
  name: "softmax",
  summary: "logits to probabilities along the last axis",
  options,
  apply: (outputs, _sample, chosen) => ({ probabilities: softmaxRows(outputs, chosen) }),
});

/** Scores to "tokens": the index of the largest along the last axis, as int64. */
export const argmaxTokens = definePostprocess<Options>({
  name: "argmax",
  summary: "scores to the index of the largest along the last axis",
  options,
  apply: (outputs, _sample, chosen) => ({
    tokens: tensorOf(
      "int64",
      shapeOf(outputs, chosen).slice(0, -1),
      Array.from(rows(outputs, chosen), (row) => argmax(row)),
    ),
  }),
});
