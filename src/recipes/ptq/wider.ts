import type { Tensor } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { bestWeightScales } from "../../passes/quantize/parameters.ts";
import { nodeKey, planQuantization } from "../../passes/quantize/plan.ts";
import type { WeightChoice } from "../../passes/quantize/weights.ts";
import type { Sensitivity } from "../manifest.ts";
import type { PtqContext } from "./context.ts";
import type { Recipe } from "./recipe.ts";

/** What wider weights may add to the file, as a share of all low-bit weights' bytes. */
const mostBytes = 0.01;
/** A layer that costs no more than this multiple of the mean of those that keep low bits is like the others. */
const outlier = 1;

interface Layer {
  readonly weight: string;
  readonly tensor: Tensor;
  readonly axis: number | undefined;
  readonly bits: number;
}

/**
 * Gives layers that low-bit weights hurt most 8 bits again, as long as that adds at most 1 % to the weights' bytes: first layers and
 * depthwise ones often hold few numbers, each of which matters much. Undefined where no layer stands out.
 */
export function widerWeights(
  best: Recipe,
  context: PtqContext,
  sensitivity: readonly Sensitivity[],
  lowBits: number,
): { readonly recipe: Recipe; readonly layers: readonly string[] } | undefined {
  const layers = layersOf(best, context, lowBits);
  const bytes = ({ tensor, bits }: Layer): number => (tensor.size * bits) / 8;
  let left = mostBytes * [...layers.values()].reduce((sum, layer) => sum + (layer.bits < 8 ? bytes(layer) : 0), 0);
  const weights = new Map(best.choices.weights);
  const raised: string[] = [];
  // worst first: with each one that is taken out, the mean that the next must exceed is lower
  const low = sensitivity.filter(({ node }) => (layers.get(node)?.bits ?? 8) < 8);
  let rest = low.reduce((sum, { divergence }) => sum + divergence, 0);
  for (const { node, divergence } of low) {
    const layer = layers.get(node) as Layer;
    if (divergence * (low.length - raised.length) <= outlier * rest) break;
    const added = ((8 - layer.bits) / 8) * layer.tensor.size;
    if (added > left) continue;
    left -= added;
    rest -= divergence;
    weights.set(layer.weight, eightBits(layer, context));
    raised.push(node);
  }
  if (raised.length === 0) return undefined;
  const name = `${best.name}, ${raised.length} layer${raised.length > 1 ? "s" : ""} at 8 bits`;
  return { recipe: { ...best, name, choices: { ...best.choices, weights } }, layers: raised };
}

function layersOf({ model, choices, options }: Recipe, { row }: PtqContext, lowBits: number): Map<string, Layer> {
  const copy = model.clone();
  inferShapes(copy);
  const found = new Map<string, Layer>();
  for (const { node, weight } of planQuantization(copy, row, new Set(options.exclude)).nodes.values()) {
    const value = weight && node.inputs[weight.index];
    if (!value?.constant) continue;
    const bits = choices.weights.get(value.name)?.bits ?? lowBits;
    found.set(nodeKey(node), { weight: value.name, tensor: value.constant, axis: weight?.axis, bits });
  }
  return found;
}

function eightBits({ tensor, axis }: Layer, { row: { weight } }: PtqContext): WeightChoice {
  const options = { reduced: weight.reduceRange, bits: 8, powerOfTwo: weight.powerOfTwo };
  return { bits: 8, scales: bestWeightScales(tensor, axis, options) };
}
