import { type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { readAttributes } from "../../ops/index.ts";
import { channelLayout, quantizeWeight, weightScales } from "./parameters.ts";
import type { NodePlan } from "./plan.ts";

/**
 * Rounding weights shifts each output channel's mean by Σ ΔW·E[x]; this moves the shift into the bias (Nagel et al., "Data-Free
 * Quantization through Weight Equalization and Bias Correction", 2019, with measured input means; borders of padded inputs are treated
 * as the interior). Which weight axis meets the input's channels is read from the op's channel links. Undefined when the node has no
 * bias or the links do not tell.
 */
export function correctedBias(plan: NodePlan, inputMeans: Float64Array | undefined, reduced: boolean): Tensor | undefined {
  const { node, weight } = plan;
  const bias = weight?.bias === undefined ? undefined : (node.inputs[weight.bias] as Value).constant;
  const tensor = weight && (node.inputs[weight.index] as Value).constant;
  if (!weight || !bias || !tensor || weight.axis === undefined || !inputMeans) return undefined;
  const inputAxis = linkedAxes(plan)?.weight;
  if (inputAxis === undefined || tensor.shape[inputAxis] !== inputMeans.length) return undefined;
  const scales = weightScales(tensor, weight.axis, reduced);
  const quantized = quantizeWeight(tensor, scales, weight.axis, reduced).tensor.bytes();
  const integers = new Int8Array(quantized.buffer, quantized.byteOffset, quantized.byteLength);
  const values = toFloat32(tensor);
  const output = channelLayout(tensor.shape, weight.axis);
  const input = channelLayout(tensor.shape, inputAxis);
  const corrected = Float64Array.from(toFloat32(bias));
  for (let i = 0; i < values.length; i++) {
    const channel = Math.floor(i / output.inner) % output.channels;
    const error = (integers[i] as number) * (scales[channel] as number) - (values[i] as number);
    const mean = inputMeans[Math.floor(i / input.inner) % input.channels] as number;
    corrected[channel] = (corrected[channel] as number) - error * mean;
  }
  return tensorOf("float32", bias.shape, corrected);
}

/** The axis of the activation and the axis of the weight that count the same channels. */
export function linkedAxes({ node, def, weight, activations }: NodePlan): { input: number; weight: number } | undefined {
  if (typeof def.channels !== "function" || !weight) return undefined;
  const links = def.channels({
    attributes: readAttributes(def.attributes, node.attributes, () => undefined as never),
    inputShapes: node.inputs.map((input) => input?.type?.shape),
    outputShapes: node.outputs.map((output) => output.type?.shape),
  });
  for (const link of links) {
    const ends = [link.a, link.b];
    const input = ends.find((end) => end.port === "input" && end.index === activations[0]);
    const other = ends.find((end) => end.port === "input" && end.index === weight.index);
    if (input && other && !link.offset && (link.repeat ?? 1) === 1) return { input: input.axis, weight: other.axis };
  }
  return undefined;
}
