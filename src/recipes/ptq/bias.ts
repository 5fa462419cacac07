import { type Model, toFloat32 } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { outputAxes } from "../../passes/quantize/channels.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { biasIndex, type NodePlan, nodeKey, planQuantization } from "../../passes/quantize/plan.ts";
import { channelMeans } from "./channel-statistics.ts";
import type { PtqContext } from "./context.ts";
import { type QuantizeOptions, quantized } from "./quantized.ts";

/** A node whose results have a mean per channel that a bias can move. */
interface Corrected {
  readonly key: string;
  readonly output: string;
  readonly axis: number;
  readonly bias: Float32Array;
}

function correctable(plan: NodePlan): Corrected | undefined {
  const axes = outputAxes(plan);
  const { node, weight } = plan;
  const index = biasIndex(plan);
  if (!axes || !weight || index < 0) return undefined;
  const channels = node.inputs[weight.index]?.constant?.shape[axes.weight] as number;
  const bias = node.inputs[index]?.constant;
  if (node.inputs[index] && !bias) return undefined;
  const values = bias ? toFloat32(bias).slice() : new Float32Array(channels);
  return values.length === channels
    ? { key: nodeKey(node), output: node.output.name, axis: axes.output, bias: values }
    : undefined;
}

/**
 * Moves into each bias what quantization, of this layer and of all before it, shifts the layer's mean output by: measured layer after
 * layer on the quantized model, each with the corrections of the earlier ones in place (Nagel et al., "Data-Free Quantization", 2019,
 * §4.2, with real inputs). Returns the choices with these biases.
 */
export async function correctBiases(
  simplified: Model,
  context: PtqContext,
  choices: QuantizationChoices,
  quantizeOptions: QuantizeOptions = {},
): Promise<QuantizationChoices> {
  const model = simplified.clone();
  // nodes are found again in the quantized model by name: a Relu at the end leaves its output's name to the layer before it
  for (const node of model.graph.nodes) node.name = nodeKey(node);
  inferShapes(model);
  const plan = planQuantization(model, context.row, new Set(quantizeOptions.exclude));
  const layers = [...plan.nodes.values()].flatMap((nodePlan) => correctable(nodePlan) ?? []);
  const biases = new Map(choices.biases);
  if (layers.length === 0) return choices;
  const wanted = await channelMeans(model, layers, context);
  for (const [i, layer] of layers.entries()) {
    context.options.onProgress?.({ step: "bias correction", done: i, total: layers.length, detail: layer.key });
    const present = await quantized(model, context, { ...choices, biases }, quantizeOptions);
    const output = [...present.graph.nodes].find(({ name }) => name === layer.key)?.output.name ?? layer.output;
    const [means] = await channelMeans(present, [{ ...layer, output }], context);
    const own = biases.get(layer.key) ?? layer.bias;
    biases.set(
      layer.key,
      own.map((value, c) => value + ((wanted[i]?.[c] as number) - (means?.[c] as number))),
    );
  }
  return { ...choices, biases };
}
