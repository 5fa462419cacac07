import { type Graph, type Model, type Node, type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { portIndex } from "../../ops/index.ts";
import { batchNormalization } from "../../ops/normalization.ts";
import { lookupOp } from "../../ops/registry.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { channelMeanSquares, channelMeans } from "./channel-statistics.ts";
import type { PtqContext } from "./context.ts";
import { type QuantizeOptions, quantized } from "./quantized.ts";

interface Left {
  readonly node: Node;
  readonly input: string;
  readonly mean: Value;
  readonly variance: Value;
}

/** BatchNormalization nodes that could not be folded away, with constant statistics of their own. */
function normalizationsOf(model: Model): Left[] {
  return [...model.graph.nodes].flatMap((node): Left[] => {
    if (lookupOp(node, model.opsets) !== batchNormalization) return [];
    const at = (port: string): Value | undefined => node.inputs[portIndex(batchNormalization.inputs, port)];
    const [input, mean, variance] = [node.inputs[0], at("input_mean"), at("input_var")];
    const own = [mean, variance].every((value) => value?.constant?.dtype === "float32" && value.uses.size === 1);
    return input && mean && variance && own ? [{ node, input: input.name, mean, variance }] : [];
  });
}

/**
 * Moves the statistics of each BatchNormalization that is left by what quantization changed in its input, so that what it gives keeps the
 * float model's mean and variance per channel (Nagel et al., "A White Paper on Neural Network Quantization", 2021, §4.3, after training):
 * one node after the other, each behind the corrected ones. Returns a changed copy, or undefined where there is no such node.
 */
export async function reestimateNormalization(
  model: Model,
  context: PtqContext,
  choices: QuantizationChoices,
  options: QuantizeOptions,
): Promise<Model | undefined> {
  const changed = model.clone();
  const nodes = normalizationsOf(changed);
  if (nodes.length === 0) return undefined;
  for (const { input, mean, variance } of nodes) {
    const point = [{ output: input, axis: 1 }];
    const integer = await quantized(changed, context, choices, options);
    const [before, after] = [await momentsOf(model, point, context), await momentsOf(integer, point, context)];
    const shifted = toFloat32(mean.constant as Tensor).map((m, c) => m + at(after.mean, c) - at(before.mean, c));
    const scaled = toFloat32(variance.constant as Tensor).map((v, c) => v * ratio(at(after.variance, c), at(before.variance, c)));
    const graph = mean.graph as Graph;
    graph.setConstant(mean, tensorOf("float32", [shifted.length], shifted));
    graph.setConstant(variance, tensorOf("float32", [scaled.length], scaled));
  }
  return changed;
}

const at = (values: Float64Array, channel: number): number => values[channel] as number;
/** A channel that is dead in one of the models says nothing. */
const ratio = (after: number, before: number): number => (before > 1e-12 && after > 1e-12 ? after / before : 1);

async function momentsOf(
  model: Model,
  point: readonly { readonly output: string; readonly axis: number }[],
  context: PtqContext,
): Promise<{ mean: Float64Array; variance: Float64Array }> {
  const [mean] = await channelMeans(model, point, context);
  const [squares] = await channelMeanSquares(model, point, context);
  const means = mean as Float64Array;
  return { mean: means, variance: (squares as Float64Array).map((square, c) => square - at(means, c) ** 2) };
}
