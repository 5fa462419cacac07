import { z } from "zod";
import type { Outputs, PreparedSample } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { defineMetric, meanState, targetOf } from "./define.ts";
import { argmax, scoresOf } from "./outputs.ts";

export const classOptions = z.strictObject({
  /** Output with the class scores; default: the first of floating point. */
  output: z.string().optional(),
  /** For a single score: class 1 from here on. */
  threshold: z.number().default(0.5),
});
export type ClassOptions = z.infer<typeof classOptions>;

/** The label, checked against the number of classes that the model knows. */
export function labelOf(sample: PreparedSample, scores: number): number {
  const { index } = targetOf(sample, "class");
  // a single score tells two classes apart
  const classes = Math.max(scores, 2);
  if (Number.isInteger(index) && index >= 0 && index < classes) return index;
  throw new EdgewrightError(
    "LABEL_RANGE",
    `Sample "${sample.origin}" has label ${index}, but the model tells ${classes} classes apart (0 to ${classes - 1}).`,
    { subject: sample.origin, hint: "Check the label column, or whether this model belongs to this data set." },
  );
}

/** The predicted class; a single score is class 1 from the threshold on. -1 when all scores are NaN. */
export function predictedClass(outputs: Outputs, options: ClassOptions): number {
  const scores = scoresOf(outputs, options.output);
  if (scores.length !== 1) return argmax(scores);
  return Number.isNaN(scores[0]) ? -1 : Number((scores[0] as number) >= options.threshold);
}

/** How many classes rank before `label`; of equal scores the lower index ranks first, NaN ranks last. */
function rankOf(scores: Float32Array, label: number): number {
  const own = scores[label] as number;
  if (Number.isNaN(own)) return Number.POSITIVE_INFINITY;
  let rank = 0;
  for (let i = 0; i < scores.length; i++) if ((scores[i] as number) > own || ((scores[i] as number) === own && i < label)) rank++;
  return rank;
}

const topK = (k: number) =>
  defineMetric<ClassOptions>({
    name: `top-${k}`,
    summary:
      k === 1 ? "share of samples whose highest score is the label" : `share of samples with the label among the ${k} highest`,
    unit: "%",
    better: "higher",
    needs: ["class"],
    binary: true,
    applies: (outputs) => k === 1 || scoresOf(outputs).length > k,
    options: classOptions,
    start: (options) =>
      meanState((outputs, sample) => {
        const scores = scoresOf(outputs, options.output);
        const label = labelOf(sample, scores.length);
        if (scores.length === 1) return predictedClass(outputs, options) === label ? 100 : 0;
        return rankOf(scores, label) < k ? 100 : 0;
      }),
  });

export const top1 = topK(1);
export const top5 = topK(5);
