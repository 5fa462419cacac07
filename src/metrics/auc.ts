import { z } from "zod";
import { labelOf } from "./classification.ts";
import { defineMetric, type Weights } from "./define.ts";
import { distributionOf, scoresOf } from "./outputs.ts";

const options = z.strictObject({
  output: z.string().optional(),
  /** The class whose score ranks the samples; ignored for a single score. */
  positive: z.number().int().min(0).default(1),
});

/**
 * Area under the ROC curve = chance that a random positive scores above a random negative (ties count half): the Mann–Whitney
 * statistic. `order` sorts the samples by score. NaN when one side is empty.
 */
export function weightedAuc(
  scores: readonly number[],
  positive: readonly boolean[],
  order: readonly number[],
  weights?: Weights,
): number {
  let negatives = 0;
  let positives = 0;
  let wins = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    let tiedPositive = 0;
    let tiedNegative = 0;
    for (; end < order.length && scores[order[end] as number] === scores[order[start] as number]; end++) {
      const weight = weights ? (weights[order[end] as number] as number) : 1;
      if (positive[order[end] as number]) tiedPositive += weight;
      else tiedNegative += weight;
    }
    wins += tiedPositive * (negatives + tiedNegative / 2);
    negatives += tiedNegative;
    positives += tiedPositive;
    start = Math.max(end, start + 1);
  }
  return wins / (positives * negatives);
}

/** Area under the ROC curve of one class against the rest. */
export const auc = defineMetric<z.infer<typeof options>>({
  name: "auc",
  summary: "area under the ROC curve of one class against the rest",
  unit: "%",
  better: "higher",
  needs: ["class"],
  options,
  start: (chosen) => {
    const scores: number[] = [];
    const positive: boolean[] = [];
    let order: number[] | undefined;
    const sorted = (): number[] => {
      order ??= scores.map((_, i) => i).sort((a, b) => (scores[a] as number) - (scores[b] as number));
      return order;
    };
    return {
      update(outputs, sample) {
        const all = scoresOf(outputs, chosen.output);
        const index = labelOf(sample, all.length);
        const score = all.length === 1 ? all[0] : distributionOf(all)[chosen.positive];
        // a model that breaks (NaN) must not rank well
        scores.push(score === undefined || Number.isNaN(score) ? Number.NEGATIVE_INFINITY : score);
        positive.push(index === (all.length === 1 ? 1 : chosen.positive));
        order = undefined;
      },
      value: () => 100 * weightedAuc(scores, positive, sorted()),
      weighted: (weights) => 100 * weightedAuc(scores, positive, sorted(), weights),
    };
  },
});
