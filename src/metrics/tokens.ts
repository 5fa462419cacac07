import { z } from "zod";
import { isInteger, type Outputs, type PreparedSample, toFloat32, toNumbers } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { defineMetric, meanState, ratioState, targetOf } from "./define.ts";
import { argmax, distributionOf, outputOf } from "./outputs.ts";

const options = z.strictObject({
  /** Token ids [1, T], or scores [1, T, vocabulary]. */
  output: z.string().optional(),
  /** Position of the first scored token in the output; default: the last positions, as many as there are target tokens. */
  offset: z.number().int().min(0).optional(),
  /** Target id that is not scored, e.g. padding. */
  ignore: z.number().int().optional(),
});
type Options = z.infer<typeof options>;

/** Predicted ids, one a target token. Missing positions are −1, which is never right. */
export function predictedTokens(outputs: Outputs, count: number, chosen: Pick<Options, "output" | "offset">): number[] {
  const tensor = outputOf(outputs, chosen.output);
  const ids = isInteger(tensor.dtype) ? toNumbers(tensor) : argmaxRows(toFloat32(tensor), tensor.shape.at(-1) ?? 1);
  const offset = chosen.offset ?? Math.max(0, ids.length - count);
  return Array.from({ length: count }, (_, i) => ids[offset + i] ?? -1);
}

const argmaxRows = (scores: Float32Array, width: number): number[] =>
  Array.from({ length: scores.length / width }, (_, row) => argmax(scores, row * width, (row + 1) * width));

const tokenMetric = (name: string, summary: string, binary: boolean, score: (right: number, total: number) => number) =>
  defineMetric<Options>({
    name,
    summary,
    unit: "%",
    better: "higher",
    needs: ["tokens"],
    binary,
    options,
    start: (chosen) =>
      meanState((outputs, sample) => {
        const { tokens } = targetOf(sample, "tokens");
        const predicted = predictedTokens(outputs, tokens.length, chosen);
        const scored = tokens.map((token, i) => ({ token, own: predicted[i] })).filter(({ token }) => token !== chosen.ignore);
        return 100 * score(scored.filter(({ token, own }) => token === own).length, scored.length);
      }),
  });

export const tokenAccuracy = tokenMetric(
  "token-accuracy",
  "share of tokens that are right, averaged over the sequences",
  false,
  (right, total) => (total === 0 ? 1 : right / total),
);
export const sequenceAccuracy = tokenMetric(
  "sequence-accuracy",
  "share of sequences whose tokens are all right",
  true,
  (right, total) => Number(right === total),
);

/** Fewest insertions, deletions and substitutions that turn one sequence into the other (Levenshtein), one row of memory. */
export function editDistance<T>(from: readonly T[], to: readonly T[]): number {
  const row = Array.from({ length: to.length + 1 }, (_, i) => i);
  from.forEach((item, i) => {
    let diagonal = i;
    row[0] = i + 1;
    to.forEach((other, j) => {
      const above = row[j + 1] as number;
      row[j + 1] = Math.min(above + 1, (row[j] as number) + 1, diagonal + (item === other ? 0 : 1));
      diagonal = above;
    });
  });
  return row[to.length] as number;
}

const wordOptions = z.strictObject({
  output: z.string().optional(),
  /** Ids that end a word; default: every token is a word. */
  separators: z.array(z.number().int()).optional(),
  /** Ids left out on both sides: padding, blanks, start and end marks. */
  ignore: z.array(z.number().int()).default([]),
});

/** Token ids grouped into words, as strings of ids. */
function wordsOf(tokens: readonly number[], separators: ReadonlySet<number> | undefined, ignore: ReadonlySet<number>): string[] {
  const kept = tokens.filter((token) => !ignore.has(token));
  if (!separators) return kept.map(String);
  const words: number[][] = [[]];
  for (const token of kept) {
    if (separators.has(token)) words.push([]);
    else words.at(-1)?.push(token);
  }
  return words.filter((word) => word.length > 0).map((word) => word.join(" "));
}

/** 1 − word error rate: edit distance over the number of true words, pooled over all samples; below 0 when insertions abound. */
export const wordAccuracy = defineMetric<z.infer<typeof wordOptions>>({
  name: "word-accuracy",
  summary: "100 % minus the word error rate",
  unit: "%",
  better: "higher",
  needs: ["tokens"],
  options: wordOptions,
  start: (chosen) => {
    const separators = chosen.separators ? new Set(chosen.separators) : undefined;
    const ignore = new Set(chosen.ignore);
    return ratioState(
      (outputs, sample) => {
        const tensor = outputOf(outputs, chosen.output);
        const ids = isInteger(tensor.dtype) ? toNumbers(tensor) : argmaxRows(toFloat32(tensor), tensor.shape.at(-1) ?? 1);
        const truth = wordsOf(targetOf(sample, "tokens").tokens, separators, ignore);
        return [editDistance(truth, wordsOf(ids, separators, ignore)), truth.length];
      },
      (wrong, words) => 100 * (1 - wrong / words),
    );
  },
});

/** exp of the mean negative log-likelihood of the target tokens, over all tokens of all samples. */
export const perplexity = defineMetric<Options>({
  name: "perplexity",
  summary: "exponential of the mean negative log-likelihood of the right token",
  unit: "",
  better: "lower",
  needs: ["tokens"],
  options,
  start: (chosen) =>
    ratioState(
      (outputs, sample) => negativeLogLikelihood(outputs, sample, chosen),
      (loss, tokens) => Math.exp(loss / tokens),
    ),
});

function negativeLogLikelihood(outputs: Outputs, sample: PreparedSample, chosen: Options): [sum: number, count: number] {
  const { tokens } = targetOf(sample, "tokens");
  const tensor = outputOf(outputs, chosen.output);
  const width = tensor.shape.at(-1) ?? 1;
  const scores = toFloat32(tensor);
  const offset = chosen.offset ?? Math.max(0, scores.length / width - tokens.length);
  let sum = 0;
  let count = 0;
  tokens.forEach((token, i) => {
    if (token === chosen.ignore) return;
    const row = scores.subarray((offset + i) * width, (offset + i + 1) * width);
    const likelihood = distributionOf(row)[token];
    if (likelihood === undefined)
      throw new EdgewrightError(
        "TOKEN_RANGE",
        `Token ${i} of "${sample.origin}" is ${token}, but position ${offset + i} of the output scores ${row.length} tokens.`,
        { subject: sample.origin },
      );
    sum -= Math.log(likelihood);
    count++;
  });
  return [sum, count];
}
