import { toFloat32, type Value } from "../../ir/index.ts";
import { bestWeightScales, powerOfTwoAbove, weightScales } from "./parameters.ts";
import type { NodePlan, QuantizationPlan } from "./plan.ts";
import { chooseRange, type Range, type RangeMethod } from "./ranges.ts";
import { integerBounds, middleOf, type QuantizationRow } from "./row.ts";
import { fixedRangeOf } from "./scales.ts";
import type { ActivationStatistics } from "./statistics.ts";
import type { WeightChoice } from "./weights.ts";

/** What measuring and learning found for one model and one row; parameters of the static pass. */
export interface QuantizationChoices {
  /** By value name. */
  readonly ranges: ReadonlyMap<string, Range>;
  /** By the initializer's name. */
  readonly weights: ReadonlyMap<string, WeightChoice>;
  /** By node. */
  readonly biases: ReadonlyMap<string, Float32Array>;
}

export const noChoices: QuantizationChoices = { ranges: new Map(), weights: new Map(), biases: new Map() };

/** A range with the names of the estimators that propose it. */
export interface RangeCandidate {
  readonly method: string;
  readonly range: Range;
}

interface Estimator {
  readonly name: string;
  readonly method: RangeMethod;
  readonly percentile?: number;
}

/** Estimators in the order in which ties are resolved. */
export const estimators: readonly Estimator[] = [
  { name: "minmax", method: "minmax" },
  { name: "mse", method: "mse" },
  { name: "average", method: "average" },
  { name: "percentile-99.999", method: "percentile", percentile: 99.999 },
  { name: "percentile-99.99", method: "percentile", percentile: 99.99 },
  { name: "percentile-99.9", method: "percentile", percentile: 99.9 },
  { name: "entropy", method: "entropy" },
];

const union = (a: Range | undefined, b: Range): Range => (a ? { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) } : b);

/** Ranges this close to each other, relative to their width, are one candidate. */
const same = 0.01;

/**
 * The different ranges that the estimators propose for values that share one scale. Where scales are powers of two, the grids themselves
 * are the candidates: the one that covers everything and the next three finer ones.
 */
export function rangeCandidates(statistics: readonly ActivationStatistics[], row: QuantizationRow): readonly RangeCandidate[] {
  const { symmetric, powerOfTwo } = row.activation;
  const found: RangeCandidate[] = [];
  for (const { name, method, percentile } of estimators) {
    const options = { symmetric, ...(percentile === undefined ? {} : { percentile }) };
    const range = statistics.map((s) => chooseRange(s, method, options)).reduce<Range | undefined>(union, undefined) as Range;
    const width = range.max - range.min;
    const close = found.find(
      (known) => Math.abs(known.range.min - range.min) + Math.abs(known.range.max - range.max) <= same * width,
    );
    if (!close) found.push({ method: name, range });
  }
  return powerOfTwo ? powerOfTwoCandidates(found[0]?.range as Range, row) : found;
}

function powerOfTwoCandidates(full: Range, { activation: { dtype, symmetric } }: QuantizationRow): readonly RangeCandidate[] {
  const [low, high] = integerBounds(dtype, { narrow: symmetric });
  const steps = symmetric ? high - middleOf(dtype) : high - low;
  const extent = symmetric ? Math.max(-full.min, full.max) : full.max - full.min;
  if (extent === 0) return [{ method: "minmax", range: full }];
  const widest = powerOfTwoAbove(extent / steps);
  return [1, 2, 4, 8].map((divisor) => {
    const reach = (widest / divisor) * steps;
    const range = symmetric
      ? { min: -reach, max: reach }
      : { min: (full.min / extent) * reach, max: (full.max / extent) * reach };
    return { method: `power-of-two/${divisor}`, range };
  });
}

/** Ranges of constants and of outputs with a known range are no matter of choice. */
export const rangeIsFree = (value: Value, producers: ReadonlyMap<Value, NodePlan>): boolean => {
  const producer = producers.get(value);
  return !value.constant && !(producer && fixedRangeOf(producer));
};

export const producersOf = (plan: QuantizationPlan): ReadonlyMap<Value, NodePlan> =>
  new Map([...plan.nodes.values()].map((nodePlan) => [nodePlan.point, nodePlan]));

export interface WeightCandidate {
  readonly method: "minmax" | "mse";
  readonly scales: Float32Array;
}

/** Scales per channel (or for all) from the largest magnitude, and with the least squared rounding error. */
export function weightCandidates(value: Value, axis: number | undefined, row: QuantizationRow, bits = 8): WeightCandidate[] {
  const tensor = value.constant;
  if (!tensor || toFloat32(tensor).length === 0) return [];
  const grid = (scales: Float32Array): Float32Array => (row.weight.powerOfTwo ? scales.map(powerOfTwoAbove) : scales);
  const reduced = row.weight.reduceRange;
  return [
    { method: "minmax", scales: grid(weightScales(tensor, axis, reduced, bits)) },
    { method: "mse", scales: bestWeightScales(tensor, axis, { reduced, bits, powerOfTwo: row.weight.powerOfTwo }) },
  ];
}
