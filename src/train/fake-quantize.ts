import { type Node, scalarTensor, type Tensor, tensorOf, toNumbers, type Value } from "../ir/index.ts";
import type { GraphBuilder } from "../ops/builder.ts";
import { recordOf } from "../ops/infer-node.ts";
import { dequantizeLinear, quantizeLinear } from "../ops/quantize-linear.ts";
import { bestWeightScales } from "../passes/quantize/parameters.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { TrainingGraph } from "./training-graph.ts";

/** A weight that is rounded while training. */
export interface FakeQuantizedWeight {
  /** Name of its initializer. */
  readonly name: string;
  /** Output channels, one scale each; undefined: one scale for all. */
  readonly axis: number | undefined;
  /** Largest magnitude of its integers. */
  readonly limit: number;
}

export interface FakeQuantizeOptions {
  readonly weights: readonly FakeQuantizedWeight[];
  readonly weightScale: "max" | "learned";
  readonly activationRange: ActivationRange;
  /** Values (as quantize nodes read them) whose ranges stay as they are. */
  readonly fixed?: ReadonlySet<string> | undefined;
}

/**
 * "observed": follows each batch. "learned": the step size is a parameter (LSQ). "relative": its logarithm is, so that one learning rate
 * suits all. "power-of-two": its exponent is, rounded (TQT: Jain et al., "Trained Quantization Thresholds", 2020).
 */
export type ActivationRange = "observed" | "learned" | "relative" | "power-of-two";

export const scaleExponentName = (group: string): string => `${group}/exponent`;
/** What one unit of a scale's parameter is: e^0.02 of scale, or a fifth of an exponent. */
const exponentUnit = { relative: 0.02, "power-of-two": 0.2 } as const;

/** The scale that a trained exponent stands for. */
export function trainedScale(initial: number, exponent: number, mode: keyof typeof exponentUnit): number {
  if (mode === "relative") return initial * Math.exp(exponentUnit.relative * exponent);
  return initial * 2 ** Math.round(exponentUnit["power-of-two"] * exponent);
}

/** Scalar input: 1 while ranges follow what is seen, 0 once they are frozen. */
export const observeInput = "observe";
/** How far one step moves an observed range towards the batch's. */
const observerRate = 0.02;
const leastScale = 2 ** -40;

export const weightScaleName = (weight: string): string => `${weight}/scale`;
const rangeName = (group: string, end: "min" | "max" | "scale"): string => `${group}/${end}`;

/**
 * Turns a graph with quantize–dequantize pairs around its activations and float weights into one that trains: each pair and each weight
 * becomes rounding whose gradient passes straight through (Jacob et al., 2018), with scales that follow the data or are learned (LSQ: Esser
 * et al., 2020). Pairs with equal parameters share one range, as the pass that made them meant. Ranges known beforehand stay.
 */
export function fakeQuantize(training: TrainingGraph, options: FakeQuantizeOptions): void {
  for (const weight of options.weights) quantizeWeight(training, weight, options.weightScale);
  const groups = new Map<string, PairGroup>();
  for (const pair of pairsOf(training)) {
    const key = `${pair.scale}:${pair.zeroPoint}:${pair.dtype}`;
    const group = groups.get(key) ?? { ...pair, name: pair.input.name, members: [] };
    group.members.push(pair);
    groups.set(key, options.fixed?.has(pair.input.name) ? { ...group, fixed: true } : group);
  }
  for (const group of groups.values()) quantizeGroup(training, group, options.activationRange);
}

interface Pair {
  readonly quantize: Node;
  readonly output: Value;
  readonly input: Value;
  readonly scale: number;
  readonly zeroPoint: number;
  readonly dtype: "uint8" | "int8";
  readonly fixed: boolean;
}
interface PairGroup extends Pair {
  readonly name: string;
  readonly members: Pair[];
}

const numberOf = (value: Value | undefined): number => (value?.constant ? (toNumbers(value.constant)[0] ?? 0) : 0);

/** Every activation's pair, in order. Throws where one cannot be trained through: nothing may be left out in silence. */
function pairsOf({ graph, b }: TrainingGraph): Pair[] {
  const pairs: Pair[] = [];
  for (const node of [...graph.nodes]) {
    if (recordOf(node, b.opsets) !== quantizeLinear) continue;
    const [input, scale, zero] = node.inputs;
    const dequantize = node.output.soleConsumer;
    const dtype = node.output.type?.dtype;
    const known = dequantize && recordOf(dequantize, b.opsets) === dequantizeLinear && scale?.constant?.size === 1;
    if (!input || !known || (dtype !== "uint8" && dtype !== "int8"))
      throw new EdgewrightError(
        "QAT_PAIR",
        `The quantize node of "${input?.name}" has no simple counterpart and cannot be trained.`,
        {
          subject: node.name,
          hint: "Exclude the node that it belongs to.",
        },
      );
    const range = input.producer && recordOf(input.producer, b.opsets).quantization?.output;
    const fixed = typeof range === "object" && "range" in range;
    pairs.push({
      quantize: node,
      output: dequantize.output,
      input,
      scale: numberOf(scale),
      zeroPoint: numberOf(zero),
      dtype,
      fixed,
    });
  }
  return pairs;
}

const integerLimits = { uint8: [0, 255], int8: [-128, 127] } as const;

interface Grid {
  /** Whether the scale is a parameter. */
  readonly learned?: boolean;
  /** Moves the range towards what was seen. */
  readonly follow?: (seen: readonly Value[]) => void;
  readonly scale: Value;
  /** Ends of the grid in steps from zero: low − zero point and high − zero point. */
  readonly low: Value;
  readonly high: Value;
}

/** round(clip(x/s, low, high))·s. */
function rounded(
  b: GraphBuilder,
  x: Value,
  { scale, low, high }: Grid,
): { y: Value; steps: Value; clipped: Value; integers: Value } {
  const steps = b.div(x, scale);
  const clipped = b.op("Clip", [steps, low, high]);
  const integers = b.op("Round", [clipped]);
  return { y: b.mul(integers, scale), steps, clipped, integers };
}

/** 1 where the two are equal, else 0. */
const equal = (b: GraphBuilder, a: Value, z: Value): Value =>
  b.op("HardSigmoid", [b.abs(b.sub(a, z))], { alpha: -3e38, beta: 1 });

function quantizeGroup(training: TrainingGraph, group: PairGroup, mode: FakeQuantizeOptions["activationRange"]): void {
  const { b, graph } = training;
  const first = group.members[0]?.quantize as Node;
  const grid: Grid = b.before(first.graph?.firstNode, () =>
    group.fixed ? fixedGrid(b, group) : gridMakers[mode](training, group),
  );
  const seen: Value[] = [];
  for (const { quantize, output, input } of group.members) {
    const dequantize = output.producer as Node;
    const y = b.before(quantize, () => {
      const parts = rounded(b, input, grid);
      const learned = grid.learned ? grid.scale : undefined;
      const inputs = learned ? [input, learned] : [input];
      return b.customGradient(parts.y, inputs, (_, dy) => {
        const inside = b.mul(dy, equal(b, parts.steps, parts.clipped));
        if (!learned) return [inside];
        // d(round(x/s)·s)/ds = round(x/s) − x/s inside, the limit outside; scaled down as LSQ does
        const slope = b.sub(b.mul(dy, parts.integers), b.mul(inside, parts.steps));
        const weight = 1 / Math.sqrt(b.size(input) * (group.dtype === "uint8" ? 255 : 127));
        return [inside, b.mul(b.reduceSum(slope, undefined, false), weight)];
      });
    });
    seen.push(input);
    graph.replaceAllUses(output, y);
    graph.remove(dequantize);
    graph.remove(quantize);
  }
  grid.follow?.(seen);
}

function fixedGrid(b: GraphBuilder, { scale, zeroPoint, dtype }: Pair): Grid {
  const [low, high] = integerLimits[dtype];
  return { scale: b.scalar(scale), low: b.scalar(low - zeroPoint), high: b.scalar(high - zeroPoint) };
}

/** The step size is a parameter; the zero point stays where calibration put it. */
function learnedGrid(training: TrainingGraph, group: PairGroup): Grid {
  const { b } = training;
  const parameter = training.parameter(rangeName(group.name, "scale"), scalarTensor("float32", group.scale), { decay: false });
  const scale = b.customGradient(b.op("Max", [parameter, b.scalar(leastScale)]), [parameter], (_, dy) => [dy]);
  return { ...fixedGrid(b, group), scale, learned: true };
}

/** scale·e^(0.02·u) or scale·2^round(u/5) with u the parameter, at first 0; rounding passes the gradient straight through. */
function exponentGrid(training: TrainingGraph, group: PairGroup, mode: keyof typeof exponentUnit): Grid {
  const { b } = training;
  const parameter = training.parameter(scaleExponentName(group.name), scalarTensor("float32", 0), { decay: false });
  const exponent = b.mul(parameter, exponentUnit[mode] * (mode === "relative" ? 1 : Math.LN2));
  const rounded =
    mode === "relative"
      ? exponent
      : b.customGradient(b.mul(b.op("Round", [b.mul(parameter, exponentUnit[mode])]), Math.LN2), [parameter], (_, dy) => [
          b.mul(dy, exponentUnit[mode] * Math.LN2),
        ]);
  return { ...fixedGrid(b, group), scale: b.mul(b.exp(rounded), group.scale), learned: true };
}

const gridMakers: Readonly<Record<ActivationRange, (training: TrainingGraph, group: PairGroup) => Grid>> = {
  observed: (training, group) => observedGrid(training, group),
  learned: (training, group) => learnedGrid(training, group),
  relative: (training, group) => exponentGrid(training, group, "relative"),
  "power-of-two": (training, group) => exponentGrid(training, group, "power-of-two"),
};

/** The range is a statistic that moves towards each batch's extremes; scale and zero point follow from it as the pass computes them. */
function observedGrid(training: TrainingGraph, group: PairGroup): Grid {
  const { b } = training;
  const [low, high] = integerLimits[group.dtype];
  const symmetric = group.dtype === "int8" || group.zeroPoint === 128;
  const ends = symmetric
    ? { min: -(high - group.zeroPoint) * group.scale, max: (high - group.zeroPoint) * group.scale }
    : { min: (low - group.zeroPoint) * group.scale, max: (high - group.zeroPoint) * group.scale };
  const scalar = (value: number): Tensor => scalarTensor("float32", value);
  const max = training.statistic(rangeName(group.name, "max"), scalar(ends.max));
  // a range that begins at zero stays there: its quantize node stands for the Relu that it replaced
  const min = ends.min === 0 || symmetric ? undefined : training.statistic(rangeName(group.name, "min"), scalar(ends.min));
  const width = min ? b.sub(max.value, min.value) : max.value;
  const scale = b.op("Max", [b.mul(width, symmetric ? 1 / (high - group.zeroPoint) : 1 / (high - low)), b.scalar(leastScale)]);
  const zero = min
    ? b.op("Clip", [b.op("Round", [b.sub(low, b.div(min.value, scale))]), b.scalar(low), b.scalar(high)])
    : b.scalar(symmetric ? group.zeroPoint : low);
  const follow = (seen: readonly Value[]): void => {
    if (training.mode === "evaluate") return;
    const rate = b.mul(training.hyperparameter(observeInput, 1), observerRate);
    const extreme = (opType: "ReduceMax" | "ReduceMin", join: "Max" | "Min"): Value => {
      const own = seen.map((x) => b.op(opType, [symmetric ? b.abs(x) : x], { keepdims: 0 }));
      return b.op(join, [...own, b.scalar(0)]);
    };
    max.next = b.add(max.value, b.mul(b.sub(extreme("ReduceMax", "Max"), max.value), rate));
    if (min) min.next = b.add(min.value, b.mul(b.sub(extreme("ReduceMin", "Min"), min.value), rate));
  };
  return { scale, low: b.sub(low, zero), high: b.sub(high, zero), follow };
}

function quantizeWeight(training: TrainingGraph, weight: FakeQuantizedWeight, mode: FakeQuantizeOptions["weightScale"]): void {
  const { b, graph } = training;
  const parameter = training.parameters.find(({ name }) => name === weight.name);
  if (!parameter) return; // frozen weights are rounded on export
  const { value } = parameter;
  const users = [...value.uses];
  const shape = b.shape(value);
  const others = shape.flatMap((_, i) => (i === weight.axis ? [] : [i]));
  const y = b.before(graph.firstNode, () => {
    if (mode === "max") {
      const scale = b.op("Max", [b.mul(b.reduceMax(b.abs(value), others), 1 / weight.limit), b.scalar(leastScale)]);
      return b.customGradient(b.mul(b.op("Round", [b.div(value, scale)]), scale), [value], (_, dy) => [dy]);
    }
    return learnedWeight(training, weight, value, parameter.initial, others);
  });
  for (const { node, index } of users) node.setInput(index, y);
}

function learnedWeight(
  training: TrainingGraph,
  { name, axis, limit }: FakeQuantizedWeight,
  value: Value,
  initial: Tensor,
  others: readonly number[],
): Value {
  const { b } = training;
  const scales = bestWeightScales(initial, axis, { bits: Math.ceil(Math.log2(limit + 1)) + 1 });
  const parameter = training.parameter(weightScaleName(name), tensorOf("float32", [scales.length], scales), { decay: false });
  const positive = b.customGradient(b.op("Max", [parameter, b.scalar(leastScale)]), [parameter], (_, dy) => [dy]);
  const perChannel = b.shape(value).map((dim, i) => (i === axis ? dim : 1));
  const scale = b.reshape(positive, perChannel);
  const parts = rounded(b, value, { scale, low: b.scalar(-limit), high: b.scalar(limit) });
  return b.customGradient(parts.y, [value, positive], (_, dy) => {
    const inside = b.mul(dy, equal(b, parts.steps, parts.clipped));
    const slope = b.sub(b.mul(dy, parts.integers), b.mul(inside, parts.steps));
    const weight = 1 / Math.sqrt((b.size(value) / scales.length) * limit);
    return [inside, b.mul(b.reshape(b.reduceSum(slope, others), [scales.length]), weight)];
  });
}
