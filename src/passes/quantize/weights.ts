import type { Graph, Node, Tensor, Value } from "../../ir/index.ts";
import { addDequantizedConstant } from "./emit.ts";
import { fitScalesToBias, quantizeBias, quantizeWeight, weightScales } from "./parameters.ts";
import type { NodePlan } from "./plan.ts";

/** The integers that weights are rounded to. */
export interface WeightGrid {
  readonly reduced: boolean;
  /** Below 8, weights use fewer of an int8's values. */
  readonly bits: number;
  /** Scales found elsewhere (by training), by the initializer's name. */
  readonly scales: ReadonlyMap<string, Float32Array>;
}

/** Replaces a planned node's weights, and bias, by integer constants. `inputScale` is the scale of its activation input. */
export function quantizeNodeWeights(
  plan: NodePlan,
  inputScale: number,
  { reduced, bits, scales: given }: WeightGrid,
  bias?: Tensor,
): void {
  const { node, weight } = plan;
  if (!weight) return;
  const graph = node.graph as Graph;
  const value = node.inputs[weight.index] as Value;
  const biasTensor = bias ?? (weight.bias === undefined ? undefined : (node.inputs[weight.bias] as Value).constant);
  let scales = given.get(value.name) ?? weightScales(value.constant as Tensor, weight.axis, reduced, bits);
  if (biasTensor && weight.axis !== undefined) scales = fitScalesToBias(scales, biasTensor, inputScale);
  const quantized = quantizeWeight(value.constant as Tensor, scales, weight.axis, reduced, bits);
  node.setInput(weight.index, addDequantizedConstant(graph, value.name, quantized, node));
  if (biasTensor && weight.bias !== undefined)
    setBias(node, weight.bias, quantizeBias(biasTensor, inputScale, scales), weight.axis !== undefined);
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
