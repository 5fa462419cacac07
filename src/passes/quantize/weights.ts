import { fromTypedArray, type Graph, type Node, type Tensor, type Value } from "../../ir/index.ts";
import { addDequantizedConstant } from "./emit.ts";
import {
  channelLayout,
  fitScalesToBias,
  powerOfTwoAbove,
  type QuantizedWeight,
  quantizeBias,
  quantizeWeight,
  weightScales,
} from "./parameters.ts";
import type { NodePlan } from "./plan.ts";
import { middleOf } from "./row.ts";

/** What was found for one weight by measuring or learning; what is absent follows from the row. */
export interface WeightChoice {
  /** Below 8, weights use fewer of an int8's values. */
  readonly bits?: number | undefined;
  /** One per output channel, or one for all; in the weight's unit per step. */
  readonly scales?: Float32Array | undefined;
  /** Integers that belong to `scales`, where rounding to nearest is not what is wanted. */
  readonly integers?: Int8Array | undefined;
  /** "uint8" stores the same integers around a zero point of 128; default what the target's kernel or row says. */
  readonly dtype?: "int8" | "uint8" | undefined;
}

/** The grid of weights for which nothing else was chosen. */
export interface WeightGrid {
  readonly reduced: boolean;
  readonly bits: number;
  readonly powerOfTwo?: boolean | undefined;
  /** "uint8" stores the same weights around a zero point of 128. Default "int8". */
  readonly dtype?: "int8" | "uint8" | undefined;
  /** The target takes biases as they are. */
  readonly floatBias?: boolean | undefined;
  /** By the initializer's name. */
  readonly choices: ReadonlyMap<string, WeightChoice>;
}

/** Replaces a planned node's weights, and bias, by integer constants. `inputScale` is the scale of its activation input. */
export function quantizeNodeWeights(plan: NodePlan, inputScale: number, grid: WeightGrid, bias?: Tensor): void {
  const { node, weight } = plan;
  if (!weight) return;
  const graph = node.graph as Graph;
  const value = node.inputs[weight.index] as Value;
  const biasTensor = bias ?? (weight.bias === undefined ? undefined : (node.inputs[weight.bias] as Value).constant);
  const quantized = chosenWeight(value, weight.axis, grid, biasTensor && { bias: biasTensor, inputScale });
  const dtype = plan.op.weightDtype ?? grid.choices.get(value.name)?.dtype ?? grid.dtype;
  const stored = dtype === "uint8" ? aroundTheMiddle(quantized) : quantized;
  node.setInput(weight.index, addDequantizedConstant(graph, value.name, stored, node));
  if (!biasTensor || weight.bias === undefined) return;
  if (grid.floatBias) setFloatBias(node, weight.bias, biasTensor);
  else setBias(node, weight.bias, quantizeBias(biasTensor, inputScale, quantized.scales), weight.axis !== undefined);
}

/** A weight's integers and scales by its choice; scales grow where the bias would not fit int32 otherwise. */
export function chosenWeight(
  value: Value,
  axis: number | undefined,
  { reduced, bits: usual, powerOfTwo, choices }: WeightGrid,
  fit?: { readonly bias: Tensor; readonly inputScale: number },
): QuantizedWeight {
  const tensor = value.constant as Tensor;
  const choice = choices.get(value.name) ?? {};
  const bits = choice.bits ?? usual;
  const own = choice.scales ?? weightScales(tensor, axis, reduced, bits);
  const wanted = powerOfTwo ? own.map(powerOfTwoAbove) : own;
  const fitted = fit && axis !== undefined ? fitScalesToBias(wanted, fit.bias, fit.inputScale) : wanted;
  const scales = powerOfTwo ? fitted.map(powerOfTwoAbove) : fitted;
  const nearest = quantizeWeight(tensor, scales, axis, reduced, bits);
  if (!choice.integers) return nearest;
  const { channels, inner } = channelLayout(tensor.shape, axis);
  const given = choice.integers;
  // a channel whose scale had to change (its weights are all but zero, its bias is not) is rounded anew
  const integers = Int8Array.from(nearest.tensor.bytes(), (q, i) => {
    const c = Math.floor(i / inner) % channels;
    return scales[c] === own[c] ? (given[i] as number) : q;
  });
  return { tensor: fromTypedArray("int8", tensor.shape, integers), scales, axis };
}

/** int8 around 0 as uint8 around 128: the same reals. */
const aroundTheMiddle = ({ tensor, ...rest }: QuantizedWeight): QuantizedWeight & { zeroPoint: number } => ({
  ...rest,
  zeroPoint: middleOf("uint8"),
  tensor: fromTypedArray(
    "uint8",
    tensor.shape,
    Uint8Array.from(tensor.bytes(), (byte) => byte ^ 0x80),
  ),
});

function setFloatBias(node: Node, index: number, bias: Tensor): void {
  const present = node.inputs[index];
  if (present?.constant === bias) return;
  const graph = node.graph as Graph;
  node.setInput(index, graph.addInitializer(graph.freshName(present?.name ?? `${node.output.name}_bias`), bias));
}

function setBias(
  node: Node,
  index: number,
  { tensor, scales }: { tensor: Tensor; scales: Float32Array },
  perChannel: boolean,
): void {
  const hint = node.inputs[index]?.name ?? `${node.output.name}_bias`;
  const axis = perChannel ? 0 : undefined;
  node.setInput(index, addDequantizedConstant(node.graph as Graph, hint, { tensor, scales, axis }, node));
}

/** An embedding table stored as int8 with one scale; the rows that are read are dequantized after the read. */
export function quantizeLookup(node: Node, table: number): void {
  const graph = node.graph as Graph;
  const value = node.inputs[table] as Value;
  const quantized = quantizeWeight(
    value.constant as Tensor,
    weightScales(value.constant as Tensor, undefined, false),
    undefined,
    false,
  );
  const rows = addDequantizedConstant(graph, value.name, quantized, node);
  const dequantize = rows.producer as Node;
  const output = node.output;
  node.setInput(table, dequantize.inputs[0]);
  graph.moveBefore(dequantize, node.next);
  graph.replaceAllUses(output, rows);
  dequantize.setInput(0, output);
  rows.type = output.type;
  output.type = { dtype: "int8", shape: output.type?.shape };
}
