import { type Outputs, toFloat32 } from "../ir/index.ts";
import { boxOverlap, type Detection, detectionsOf } from "./detections.ts";

/**
 * How far one sample's post-processed outputs are from those of a reference model: what searches without labels go by where outputs as
 * numbers say little about the task. Smooth in scores and coordinates, so that a few samples can tell two candidates apart.
 */
export interface DistanceDef {
  readonly name: string;
  readonly summary: string;
  /** What the number is, for reports. */
  readonly measure: string;
  /** Above this the task suffers noticeably. */
  readonly noticeable: number;
  /** Whether it can read such post-processed outputs. */
  readonly applies: (outputs: Outputs) => boolean;
  /** Whether such outputs hide what fell just short of a threshold: the distance then jumps where something crosses it. */
  readonly hides: (outputs: Outputs) => boolean;
  /** 0 is equality; quadratic in small errors. */
  readonly between: (reference: Outputs, outputs: Outputs) => number;
}

/** Where post-processes leave one detection a row: x, y, width, height, score, class. */
const outputName = "detections";
const width = 6;
/** A post-process that shows no detection as faint as this has cut them off. */
const faint = 0.05;

const finite = (outputs: Outputs): boolean => {
  const tensor = outputs[outputName];
  return tensor?.dtype === "float32" && tensor.shape.at(-1) === width && toFloat32(tensor).every(Number.isFinite);
};

/**
 * Between two sets of detections. Those of one class that overlap are paired, one to one; a pair costs r² + q² − 2·r·q·IoU for its scores r
 * and q, and a detection without partner its squared score: lost ones, invented ones, moved boxes and changed scores all count, by as much
 * as the detection counts. Divided by 1 + Σ r², so that crowded images do not outweigh the others. This is the squared distance of both
 * sets in the space where IoU is the inner product of two boxes.
 */
export const detectionDistance: DistanceDef = {
  name: "detections",
  summary: "scores and overlap of detections against the original model's",
  measure: "distance of detections",
  noticeable: 0.03,
  applies: finite,
  hides: (outputs) => detectionsIn(outputs).every(({ score }) => score > faint),
  between(reference, outputs) {
    if (!finite(outputs)) return Number.POSITIVE_INFINITY;
    const expected = detectionsIn(reference);
    const found = detectionsIn(outputs);
    const energy = energyOf(expected);
    const cost = energy + energyOf(found) - 2 * agreement(expected, found);
    return Math.max(0, cost) / (1 + energy);
  },
};

const detectionsIn = (outputs: Outputs): Detection[] => {
  const tensor = outputs[outputName];
  return tensor ? detectionsOf(toFloat32(tensor)) : [];
};

const energyOf = (detections: readonly Detection[]): number => detections.reduce((sum, { score }) => sum + score * score, 0);

/** Σ r·q·IoU over pairs, taken greedily by that product; pairs of equal worth give the same sum in any order but for contrived overlaps. */
function agreement(expected: readonly Detection[], found: readonly Detection[]): number {
  const pairs: { readonly a: number; readonly b: number; readonly worth: number }[] = [];
  expected.forEach((one, a) => {
    found.forEach((other, b) => {
      if (one.classIndex !== other.classIndex) return;
      const worth = one.score * other.score * boxOverlap(one, other);
      if (worth > 0) pairs.push({ a, b, worth });
    });
  });
  pairs.sort((one, other) => other.worth - one.worth);
  const takenA = new Set<number>();
  const takenB = new Set<number>();
  let sum = 0;
  for (const { a, b, worth } of pairs) {
    if (takenA.has(a) || takenB.has(b)) continue;
    takenA.add(a);
    takenB.add(b);
    sum += worth;
  }
  return sum;
}

/** Every distance by name. */
export const distances: ReadonlyMap<string, DistanceDef> = new Map([detectionDistance].map((one) => [one.name, one]));
