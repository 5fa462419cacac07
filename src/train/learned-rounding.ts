import { type Tensor, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import { channelLayout } from "../passes/quantize/parameters.ts";
import type { TrainingGraph } from "./training-graph.ts";

/** A weight that is rounded up or down as training finds best. */
export interface RoundedWeight {
  /** Name of its float initializer. */
  readonly name: string;
  readonly scales: Float32Array;
  /** Output channels; undefined: one scale for all. */
  readonly axis: number | undefined;
  /** Largest magnitude of its integers. */
  readonly limit: number;
  /** Whether the scales are learned too. */
  readonly learnScales: boolean;
}

export interface LearnedRounding {
  readonly weights: readonly RoundedWeight[];
  /** Names of float bias initializers that may shift. */
  readonly biases: readonly string[];
}

/** Scalar inputs: strength of the pull towards whole integers, and its exponent, large at first. */
export const roundingPull = "rounding_pull";
export const roundingExponent = "rounding_exponent";
export const roundingName = (weight: string): string => `${weight}/rounding`;
export const weightExponentName = (weight: string): string => `${weight}/exponent`;
/** One unit of a scale's parameter: e^0.01 of the scale. */
const exponentUnit = 0.01;
export const shiftName = (bias: string): string => `${bias}/shift`;
/** One unit of a bias's parameter, in units of its largest magnitude. */
const shiftUnit = 0.02;

/** One unit of a rounding's parameter, in those of the sigmoid: it has to travel further than a scale or a bias does. */
const roundingUnit = 5;

/** The stretched sigmoid reaches 0 and 1 at finite parameters. */
const stretch = { low: -0.1, high: 1.1 };

/** The parameter for which the stretched sigmoid gives `rest`. */
const inverse = (rest: number): number => -Math.log((stretch.high - stretch.low) / (rest - stretch.low) - 1);

function floors(tensor: Tensor, { scales, axis }: RoundedWeight): { floor: Float32Array; parameter: Float32Array } {
  const values = toFloat32(tensor);
  const { channels, inner } = channelLayout(tensor.shape, axis);
  const floor = new Float32Array(values.length);
  const parameter = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const steps = (values[i] as number) / (scales[Math.floor(i / inner) % channels] as number);
    floor[i] = Math.floor(steps);
    parameter[i] = inverse(Math.min(0.999, Math.max(0.001, steps - Math.floor(steps)))) / roundingUnit;
  }
  return { floor, parameter };
}

/**
 * Replaces weights by s·clip(⌊w/s⌋ + h(v)), where h, a stretched sigmoid of the learned v, ends at 0 or 1 (AdaRound: Nagel et al., "Up or
 * Down?", 2020), and lets biases shift. Returns the regularizer Σ(1 − |2h − 1|^β) times the input "rounding_pull".
 */
export function learnRounding(training: TrainingGraph, { weights, biases }: LearnedRounding): Value | undefined {
  const { b, graph } = training;
  const pulls: Value[] = [];
  for (const weight of weights) {
    const value = initializerOf(training, weight.name);
    if (!value) continue;
    const users = [...value.uses];
    const rounded = b.before(graph.firstNode, () => {
      const tensor = value.constant as Tensor;
      return b.mul(learnedIntegers(training, weight, tensor, pulls), scalesOf(training, weight, tensor));
    });
    for (const { node, index } of users) node.setInput(index, rounded);
  }
  for (const name of biases) shiftBias(training, name);
  if (pulls.length === 0) return undefined;
  const total = pulls.reduce((sum, pull) => b.add(sum, pull));
  return b.mul(total, training.hyperparameter(roundingPull, 0));
}

/** clip(⌊w/s⌋ + h(v)); adds the weight's part of the regularizer to `pulls`. */
function learnedIntegers(training: TrainingGraph, weight: RoundedWeight, tensor: Tensor, pulls: Value[]): Value {
  const { b } = training;
  const { floor, parameter } = floors(tensor, weight);
  const v = training.parameter(roundingName(weight.name), tensorOf("float32", tensor.shape, parameter), { decay: false });
  const sigmoid = b.op("Sigmoid", [b.mul(v, roundingUnit)]);
  const h = b.op("Clip", [b.add(b.mul(sigmoid, stretch.high - stretch.low), stretch.low), b.scalar(0), b.scalar(1)]);
  pulls.push(pullOf(training, h));
  return b.op("Clip", [
    b.add(b.constant(tensorOf("float32", tensor.shape, floor), "floor"), h),
    b.scalar(-weight.limit),
    b.scalar(weight.limit),
  ]);
}

/** The scales, shaped to multiply the weight; s·e^(0.01·u) with u the parameter where they are learned. */
function scalesOf(training: TrainingGraph, weight: RoundedWeight, tensor: Tensor): Value {
  const { b } = training;
  const shape = weight.axis === undefined ? [] : tensor.shape.map((dim, i) => (i === weight.axis ? dim : 1));
  const scales = b.constant(tensorOf("float32", shape, weight.scales), "scales");
  if (!weight.learnScales) return scales;
  const zeros = tensorOf("float32", shape, new Float32Array(weight.scales.length));
  const u = training.parameter(weightExponentName(weight.name), zeros, { decay: false });
  return b.mul(scales, b.exp(b.mul(u, exponentUnit)));
}

/** Scales with their trained exponents. */
export const trainedWeightScales = (weight: RoundedWeight, exponents: Tensor | undefined): Float32Array => {
  if (!exponents) return weight.scales;
  const u = toFloat32(exponents);
  return weight.scales.map((scale, c) => scale * Math.exp(exponentUnit * (u[c] as number)));
};

function pullOf(training: TrainingGraph, h: Value): Value {
  const { b } = training;
  const distance = b.op("Max", [b.abs(b.sub(b.mul(h, 2), 1)), b.scalar(1e-6)]);
  const power = b.exp(b.mul(b.log(distance), training.hyperparameter(roundingExponent, 2)));
  return b.reduceSum(b.sub(1, power), undefined, false);
}

function shiftBias(training: TrainingGraph, name: string): void {
  const { b, graph } = training;
  const value = initializerOf(training, name);
  if (!value) return;
  const tensor = value.constant as Tensor;
  const unit = shiftUnitOf(tensor);
  const parameter = training.parameter(shiftName(name), tensorOf("float32", tensor.shape, new Float32Array(tensor.size)), {
    decay: false,
  });
  const users = [...value.uses];
  const shifted = b.before(graph.firstNode, () => b.add(value, b.mul(parameter, unit)));
  for (const { node, index } of users) node.setInput(index, shifted);
}

const shiftUnitOf = (bias: Tensor): number =>
  shiftUnit * Math.max(1e-6, Math.sqrt(toFloat32(bias).reduce((sum, x) => sum + x * x, 0) / Math.max(1, bias.size)));

const initializerOf = ({ graph }: TrainingGraph, name: string): Value | undefined =>
  [...graph.initializers].find((value) => value.name === name && value.uses.size > 0);

/** The integers that parameters stand for before training. */
export const nearestIntegers = (tensor: Tensor, weight: RoundedWeight): Int8Array =>
  roundedIntegers(tensor, weight, tensorOf("float32", tensor.shape, floors(tensor, weight).parameter));

/** The integers that trained parameters stand for. */
export function roundedIntegers(tensor: Tensor, weight: RoundedWeight, parameters: Tensor): Int8Array {
  const { floor } = floors(tensor, weight);
  const v = toFloat32(parameters);
  // h(v) ≥ ½ exactly where v ≥ 0
  return Int8Array.from(floor, (low, i) =>
    Math.max(-weight.limit, Math.min(weight.limit, low + ((v[i] as number) >= 0 ? 1 : 0))),
  );
}

/** A bias with its trained shift. */
export function shiftedBias(bias: Tensor, parameters: Tensor): Float32Array {
  const unit = shiftUnitOf(bias);
  const shift = toFloat32(parameters);
  return toFloat32(bias).map((value, c) => value + unit * (shift[c] as number));
}
