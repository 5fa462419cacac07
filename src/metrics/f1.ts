import { z } from "zod";
import { classOptions, labelOf, predictedClass } from "./classification.ts";
import { defineMetric, type Weights } from "./define.ts";
import { scoresOf } from "./outputs.ts";

const options = classOptions.extend({
  /** "macro": mean over the classes that occur as label or prediction; "binary": of one class. */
  average: z.enum(["macro", "binary"]).default("macro"),
  positive: z.number().int().min(0).default(1),
});

interface Counts {
  readonly hit: Map<number, number>;
  readonly predicted: Map<number, number>;
  readonly labelled: Map<number, number>;
}

const add = (counts: Map<number, number>, key: number, weight: number): void => {
  counts.set(key, (counts.get(key) ?? 0) + weight);
};

/** 2TP / (2TP + FP + FN); 0 where a class is neither predicted nor labelled. */
function f1Of(counts: Counts, index: number): number {
  const total = (counts.predicted.get(index) ?? 0) + (counts.labelled.get(index) ?? 0);
  return total === 0 ? 0 : (2 * (counts.hit.get(index) ?? 0)) / total;
}

/** F1, the harmonic mean of precision and recall. */
export const f1 = defineMetric<z.infer<typeof options>>({
  name: "f1",
  summary: "harmonic mean of precision and recall (macro average, or of one class)",
  unit: "%",
  better: "higher",
  needs: ["class"],
  options,
  start: (chosen) => {
    const labels: number[] = [];
    const predictions: number[] = [];
    const weighted = (weights: Weights | undefined): number => {
      const counts: Counts = { hit: new Map(), predicted: new Map(), labelled: new Map() };
      labels.forEach((label, i) => {
        const weight = weights ? (weights[i] as number) : 1;
        if (weight === 0) return;
        const predicted = predictions[i] as number;
        add(counts.labelled, label, weight);
        add(counts.predicted, predicted, weight);
        if (label === predicted) add(counts.hit, label, weight);
      });
      if (chosen.average === "binary") return 100 * f1Of(counts, chosen.positive);
      const classes = new Set([...counts.labelled.keys(), ...counts.predicted.keys()]);
      classes.delete(-1);
      let sum = 0;
      for (const index of classes) sum += f1Of(counts, index);
      return (100 * sum) / classes.size;
    };
    return {
      update(outputs, sample) {
        labels.push(labelOf(sample, scoresOf(outputs, chosen.output).length));
        predictions.push(predictedClass(outputs, chosen));
      },
      value: () => weighted(undefined),
      weighted,
    };
  },
});
