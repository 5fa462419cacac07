import { z } from "zod";
import { isFloat, type Outputs, type PreparedSample, type Tensor, toFloat32 } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { defineMetric, type MetricDef, type MetricState, meanState, ratioState, type Weights } from "./define.ts";
import { identicalDb } from "./image-quality.ts";
import { argmax, distributionOf, outputOf, rowLength } from "./outputs.ts";

const options = z.strictObject({
  /** One output by name; default: the first (agreement, KL) or all of floating point (the others). */
  output: z.string().optional(),
});
type Options = z.infer<typeof options>;
type Definition = Omit<MetricDef<Options>, "needs" | "against" | "options">;

/** A metric that compares with the raw outputs of the original model on the same sample. */
const defineFidelity = (definition: Definition): MetricDef<Options> =>
  defineMetric<Options>({ ...definition, needs: [], against: "reference", options });

interface Pair {
  readonly own: Float32Array;
  readonly original: Float32Array;
  readonly width: number;
}

function pairOf(a: Tensor, b: Tensor | undefined, sample: PreparedSample): Pair {
  if (b && a.size === b.size) return { own: toFloat32(a), original: toFloat32(b), width: rowLength(b.shape) };
  throw new EdgewrightError(
    "REFERENCE_SHAPE",
    `The output for "${sample.origin}" has shape [${a.shape}], but the original model gave ${b ? `[${b.shape}]` : "nothing"}.`,
    { subject: sample.origin, hint: "Fidelity compares models with the same outputs; names and shapes must agree." },
  );
}

const needReference = (reference: Outputs | undefined): Outputs => {
  if (reference) return reference;
  throw new EdgewrightError("REFERENCE_MISSING", "Fidelity metrics compare with an original model, and none was given.", {
    hint: "Name the original with --baseline.",
  });
};

const firstPair = (outputs: Outputs, sample: PreparedSample, reference: Outputs | undefined, name: string | undefined): Pair => {
  const original = outputOf(needReference(reference), name);
  return pairOf(name === undefined ? outputOf(outputs, undefined) : outputOf(outputs, name), original, sample);
};

function allPairs(outputs: Outputs, sample: PreparedSample, reference: Outputs | undefined, name: string | undefined): Pair[] {
  const originals = needReference(reference);
  const names = name === undefined ? Object.keys(originals).filter((n) => isFloat((originals[n] as Tensor).dtype)) : [name];
  if (names.length === 0) return [firstPair(outputs, sample, reference, name)];
  return names.map((n) => pairOf(outputOf(outputs, n), originals[n], sample));
}

/** Class scores of one thing: what has one largest element. */
const singleRow = (outputs: Outputs): boolean => {
  const { shape, size } = outputOf(outputs, undefined);
  return rowLength(shape) === size;
};

/** Share of rows (the last axis longer than 1) with the same largest element. One row a sample for a classifier. */
export const agreement = defineFidelity({
  name: "agreement",
  summary: "share of predictions (largest score) equal to the original model's",
  unit: "%",
  better: "higher",
  applies: singleRow,
  start: (chosen) =>
    meanState((outputs, sample, reference) => {
      const { own, original, width } = firstPair(outputs, sample, reference, chosen.output);
      const rows = own.length / width;
      let same = 0;
      for (let row = 0; row < rows; row++) {
        const from = row * width;
        if (width === 1) same += Number((own[row] as number) >= 0.5 === (original[row] as number) >= 0.5);
        else same += Number(argmax(own, from, from + width) === argmax(original, from, from + width));
      }
      return (100 * same) / rows;
    }),
});

/** Kullback–Leibler divergence of the candidate's distribution from the original's, Σ p·ln(p/q), mean over rows and samples. */
export const klDivergence = defineFidelity({
  name: "kl",
  summary: "Kullback-Leibler divergence from the original model's distribution",
  unit: "nat",
  better: "lower",
  applies: singleRow,
  start: (chosen) =>
    meanState((outputs, sample, reference) => {
      const { own, original, width } = firstPair(outputs, sample, reference, chosen.output);
      const rows = own.length / width;
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += divergence(original, own, row * width, width);
      return sum / rows;
    }),
});

/** Probabilities below this are taken as this: float32 softmax rounds to 0, which would make the divergence infinite. */
const smallestProbability = 1e-12;

function divergence(original: Float32Array, own: Float32Array, start: number, width: number): number {
  const p = width === 1 ? bernoulli(original[start] as number) : distributionOf(original.subarray(start, start + width));
  const q = width === 1 ? bernoulli(own[start] as number) : distributionOf(own.subarray(start, start + width));
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const pi = p[i] as number;
    if (pi > 0) sum += pi * Math.log(pi / Math.max(q[i] as number, smallestProbability));
  }
  return Math.max(0, sum);
}

/** A single score: a probability when it lies in 0…1, else a logit. */
const bernoulli = (score: number): [number, number] => {
  const p = score >= 0 && score <= 1 ? score : 1 / (1 + Math.exp(-score));
  return [1 - p, p];
};

/** Cosine of the angle between both outputs, all elements in one vector. */
export const cosine = defineFidelity({
  name: "cosine",
  summary: "cosine similarity to the original model's outputs",
  unit: "",
  better: "higher",
  start: (chosen) =>
    meanState((outputs, sample, reference) => {
      let dot = 0;
      let ownSquare = 0;
      let originalSquare = 0;
      for (const { own, original } of allPairs(outputs, sample, reference, chosen.output))
        for (let i = 0; i < own.length; i++) {
          const a = own[i] as number;
          const b = original[i] as number;
          dot += a * b;
          ownSquare += a * a;
          originalSquare += b * b;
        }
      if (ownSquare === 0 && originalSquare === 0) return 1;
      return ownSquare === 0 || originalSquare === 0 ? 0 : dot / Math.sqrt(ownSquare * originalSquare);
    }),
});

/** Signal-to-quantization-noise ratio, 10·log10(Σ original² / Σ (own − original)²), energies pooled over all samples. */
export const sqnr = defineFidelity({
  name: "sqnr",
  summary: "energy of the original model's outputs over the energy of the difference",
  unit: "dB",
  better: "higher",
  start: (chosen) =>
    ratioState(
      (outputs, sample, reference) => {
        let signal = 0;
        let noise = 0;
        for (const { own, original } of allPairs(outputs, sample, reference, chosen.output))
          for (let i = 0; i < own.length; i++) {
            signal += (original[i] as number) ** 2;
            noise += ((own[i] as number) - (original[i] as number)) ** 2;
          }
        return [signal, noise];
      },
      // identical outputs have no noise: a finite stand-in keeps means and reports readable
      (signal, noise) => (noise === 0 ? identicalDb : Math.min(identicalDb, 10 * Math.log10(signal / noise))),
    ),
});

/** Largest absolute difference of any element of any sample. */
export const maxAbsDifference = defineFidelity({
  name: "max-abs-difference",
  summary: "largest absolute difference from the original model's outputs",
  unit: "",
  better: "lower",
  interval: false,
  start: (chosen) =>
    maximumState((outputs, sample, reference) => largestDifference(allPairs(outputs, sample, reference, chosen.output))),
});

/** NaN anywhere stays NaN, as Math.max has it. */
function largestDifference(pairs: readonly Pair[]): number {
  let largest = 0;
  for (const { own, original } of pairs)
    for (let i = 0; i < own.length; i++) {
      largest = Math.max(largest, Math.abs((own[i] as number) - (original[i] as number)));
    }
  return largest;
}

function maximumState(score: (outputs: Outputs, sample: PreparedSample, reference: Outputs | undefined) => number): MetricState {
  const scores: number[] = [];
  const weighted = (weights?: Weights): number =>
    scores.reduce((largest, one, i) => ((weights ? (weights[i] as number) : 1) > 0 ? Math.max(largest, one) : largest), 0);
  return {
    update(outputs, sample, reference) {
      scores.push(score(outputs, sample, reference));
    },
    value: () => weighted(),
    weighted,
  };
}
