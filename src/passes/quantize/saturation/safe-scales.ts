import { type Model, type Tensor, toFloat32, type Value } from "../../../ir/index.ts";
import { inferShapes } from "../../../ops/infer.ts";
import { weightScales } from "../parameters.ts";
import { type NodePlan, nodeKey, planQuantization } from "../plan.ts";
import type { QuantizationRow } from "../row.ts";
import type { WeightChoice } from "../weights.ts";
import { productForm } from "./find-layers.ts";
import { packWeights, pairLimits } from "./packed-weights.ts";
import type { ProductForm } from "./product-form.ts";

/** Largest sum of two weights of one sign whose products with 255 stay within 16 bits: 128. */
const largestPair = Math.floor(pairLimits[1] / 255);

export interface SafeWeightOptions {
  /** `nodeKey`s of the nodes to change; default all. */
  readonly nodes?: ReadonlySet<string> | undefined;
  /** What was chosen for weights so far, by initializer name; the result holds it too. */
  readonly choices?: ReadonlyMap<string, WeightChoice> | undefined;
}

/**
 * Weights for static quantization that cannot saturate on x86-64 without VNNI, whatever the activations: the `weights` of
 * `quantizeStatic`, for a float model. Scales grow until neighbours of one sign add up to at most 128 steps, channel by channel. That
 * costs a channel as much as 7-bit weights do where its two largest weights happen to be neighbours, and mostly far less.
 */
export function weightsWithoutSaturation(
  model: Model,
  row: QuantizationRow,
  options: SafeWeightOptions = {},
): Map<string, WeightChoice> {
  return rechosen(model, row, options, (plan, weight, choice) => safeChoice(plan, weight, row, choice));
}

/** The choices so far with what `choose` says of the weights of the given nodes; undefined leaves a weight as it is. */
export function rechosen(
  model: Model,
  row: QuantizationRow,
  { nodes, choices = new Map() }: SafeWeightOptions,
  choose: (plan: NodePlan, weight: Tensor, choice: WeightChoice) => WeightChoice | undefined,
): Map<string, WeightChoice> {
  inferShapes(model);
  const result = new Map(choices);
  for (const plan of planQuantization(model, row).nodes.values()) {
    if (!plan.weight || (nodes && !nodes.has(nodeKey(plan.node)))) continue;
    const value = plan.node.inputs[plan.weight.index] as Value;
    const choice = choose(plan, value.constant as Tensor, choices.get(value.name) ?? {});
    if (choice) result.set(value.name, choice);
  }
  return result;
}

function safeChoice(plan: NodePlan, weight: Tensor, row: QuantizationRow, choice: WeightChoice): WeightChoice | undefined {
  const form = productForm(plan.node, plan.def, weight.shape);
  if (!form?.paired) return undefined;
  if (choice.integers && packWeights(form, choice.integers).risky.length === 0) return choice;
  const scales = choice.scales ?? weightScales(weight, plan.weight?.axis, row.weight.reduceRange, choice.bits);
  return { bits: choice.bits, scales: scalesWithoutSaturation(form, weight, scales) };
}

/** Raises scales, one or one per output channel, until rounded weights cannot saturate. */
export function scalesWithoutSaturation(form: ProductForm, weight: Tensor, scales: Float32Array): Float32Array {
  // one step less than fits: rounding both neighbours adds at most one
  const needed = largestPairs(form, toFloat32(weight)).map((pair) => pair / (largestPair - 1));
  if (scales.length === 1) return scales.map((scale) => needed.reduce((a, b) => Math.max(a, b), scale));
  return scales.map((scale, channel) => Math.max(scale, needed[channel] as number));
}

/** Of each output channel: the largest magnitude that two neighbours of one sign add up to. */
function largestPairs(form: ProductForm, weights: Float32Array): Float32Array {
  const at = (channel: number, k: number): number => (k < form.depth ? (weights[form.weightAt(channel, k)] as number) : 0);
  return Float32Array.from({ length: form.groups * form.columns }, (_, channel) => {
    let largest = 0;
    for (let k = 0; k < form.depth; k += 2) {
      const [first, second] = [at(channel, k), at(channel, k + 1)];
      const above = Math.max(first, 0) + Math.max(second, 0);
      const below = Math.min(first, 0) + Math.min(second, 0);
      largest = Math.max(largest, above, -below);
    }
    return largest;
  });
}
