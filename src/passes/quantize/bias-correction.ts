import { type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { linkedAxes } from "./channels.ts";
import { channelLayout } from "./parameters.ts";
import type { NodePlan } from "./plan.ts";
import { chosenWeight, type WeightGrid } from "./weights.ts";

/**
 * Rounding weights shifts each output channel's mean by Σ ΔW·E[x]; this moves the shift into the bias (Nagel et al., "Data-Free
 * Quantization through Weight Equalization and Bias Correction", 2019, with measured input means; borders of padded inputs are treated
 * as the interior). Which weight axis meets the input's channels is read from the op's channel links. Undefined when the node has no
 * bias or the links do not tell.
 */
export function correctedBias(plan: NodePlan, inputMeans: Float64Array | undefined, grid: WeightGrid): Tensor | undefined {
  const { node, weight } = plan;
  const bias = weight?.bias === undefined ? undefined : (node.inputs[weight.bias] as Value).constant;
  const tensor = weight && (node.inputs[weight.index] as Value).constant;
  if (!weight || !bias || !tensor || weight.axis === undefined || !inputMeans) return undefined;
  const inputAxis = linkedAxes(plan)?.weight;
  if (inputAxis === undefined || tensor.shape[inputAxis] !== inputMeans.length) return undefined;
  const chosen = chosenWeight(node.inputs[weight.index] as Value, weight.axis, grid);
  const { scales } = chosen;
  const quantized = chosen.tensor.bytes();
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
