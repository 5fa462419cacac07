import { type Model, type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { quantizeLinear } from "../../ops/quantize-linear.ts";
import { lookupOp } from "../../ops/registry.ts";
import { valuesByName } from "../../passes/cut.ts";
import type { Block } from "../../passes/quantize/blocks.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { nodeKey, type QuantizationPlan } from "../../passes/quantize/plan.ts";
import type { Range } from "../../passes/quantize/ranges.ts";
import { integerBounds } from "../../passes/quantize/row.ts";
import { scaleGroups } from "../../passes/quantize/scales.ts";
import { type ActivationRange, scaleExponentName, trainedScale } from "../../train/fake-quantize.ts";
import {
  type RoundedWeight,
  roundedIntegers,
  roundingName,
  shiftedBias,
  shiftName,
  trainedWeightScales,
  weightExponentName,
} from "../../train/learned-rounding.ts";
import type { Job, Subject } from "./block-types.ts";

/** Present choices with what the block's training found. */
export function merged(
  { plan, simplified }: Subject,
  block: Block,
  { part, imitation, present, settled }: Job,
  { weights, pieces, mode }: { weights: readonly RoundedWeight[]; pieces: ReadonlyMap<string, Tensor>; mode: ActivationRange },
): QuantizationChoices {
  const values = valuesByName(simplified);
  const found = { ranges: new Map(present.ranges), weights: new Map(present.weights), biases: new Map(present.biases) };
  for (const weight of weights) {
    const v = pieces.get(roundingName(weight.name));
    const tensor = values.get(weight.name)?.constant;
    if (!v || !tensor) continue;
    found.weights.set(weight.name, {
      ...found.weights.get(weight.name),
      scales: trainedWeightScales(weight, pieces.get(weightExponentName(weight.name))),
      integers: roundedIntegers(tensor, weight, v),
    });
  }
  for (const { key, value, bias } of biasesOf({ plan }, block, present)) {
    const shift = pieces.get(shiftName(value.name));
    if (shift) found.biases.set(key, shiftedBias(bias, shift));
  }
  for (const [name, range] of trainedRanges(part.model, pieces, settled, mode))
    for (const alias of aliases(plan, imitation.points.get(name) ?? name)) found.ranges.set(alias, range);
  return found;
}

/** Biases of the block's layers that no other node reads, as the present choices have them. */
export function biasesOf(
  { plan }: Pick<Subject, "plan">,
  block: Block,
  present: QuantizationChoices,
): { readonly key: string; readonly value: Value; readonly bias: Tensor }[] {
  return block.layers.flatMap((node) => {
    const index = plan.nodes.get(node)?.weight?.bias;
    const value = index === undefined ? undefined : node.inputs[index];
    if (!value?.constant || value.uses.size !== 1) return [];
    const key = nodeKey(node);
    const chosen = present.biases.get(key);
    return [{ key, value, bias: chosen ? tensorOf("float32", value.constant.shape, chosen) : value.constant }];
  });
}

/** All values that share a value's scale. */
function aliases(plan: QuantizationPlan, name: string): string[] {
  const groups = scaleGroups(plan);
  const own = [...groups.keys()].find((value) => value.name === name);
  const root = own && groups.get(own);
  return root ? [...groups].flatMap(([value, other]) => (other === root ? [value.name] : [])) : [name];
}

function* trainedRanges(
  model: Model,
  pieces: ReadonlyMap<string, Tensor>,
  settled: ReadonlySet<string>,
  mode: ActivationRange,
): Generator<[string, Range]> {
  const groups = new Map<string, string>();
  for (const node of model.graph.nodes) {
    if (lookupOp(node, model.opsets) !== quantizeLinear) continue;
    const [input, scale, zero] = node.inputs as readonly Value[];
    if (!input || !scale?.constant || !zero?.constant || settled.has(input.name)) continue;
    const dtype = zero.constant.dtype as "uint8" | "int8";
    const point = dtype === "uint8" ? Number(zero.constant.bytes()[0]) : (new Int8Array(zero.constant.bytes())[0] as number);
    const initial = toFloat32(scale.constant)[0] as number;
    const key = `${initial}:${point}:${dtype}`;
    const group = groups.get(key) ?? input.name;
    groups.set(key, group);
    const exponent = pieces.get(scaleExponentName(group));
    if (!exponent) continue;
    const trained = trainedScale(initial, toFloat32(exponent)[0] as number, mode as "relative");
    const [low, high] = integerBounds(dtype);
    const symmetric = dtype === "int8" && point === 0;
    yield [input.name, { min: ((symmetric ? -high : low) - point) * trained, max: (high - point) * trained }];
  }
}
