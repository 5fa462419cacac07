import { type Graph, type Model, type Node, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { type EqualizablePair, equalizablePairs } from "../../passes/quantize/equalize.ts";
import { readQdqGraph } from "../../passes/quantize/legality/qdq-graph.ts";
import { channelLayout } from "../../passes/quantize/parameters.ts";
import { planQuantization } from "../../passes/quantize/plan.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { matchModels } from "./match.ts";
import { dequantizedWeight, storedScheme } from "./pairing.ts";

/** Factors within this of 1 are rounding. */
const rounding = 0.02;

/**
 * The float model with its channels scaled as the quantized model has them: equalization and smoothing divide what makes a value by a
 * factor per channel and multiply what reads it, which changes no output. The factors are read off the stored weights, front to back, by
 * least squares. Undefined where no channel is scaled.
 */
export function rescaledLike(reference: Model, quantized: Model, row: QuantizationRow): Model | undefined {
  const model = reference.clone();
  inferShapes(model);
  const graph = readQdqGraph(quantized, row);
  const { counterparts } = matchModels(model, graph);
  const units = new Map(graph.units.map((unit) => [unit.node, unit]));
  const order = new Map([...model.graph.nodes].map((node, i) => [node, i]));
  const makerOf = ({ sources }: EqualizablePair): Node | undefined => [...(sources[0]?.value.uses ?? [])][0]?.node;
  const pairs = equalizablePairs(model, planQuantization(model, row)).sort(
    (a, b) => (order.get(makerOf(a) as Node) ?? 0) - (order.get(makerOf(b) as Node) ?? 0),
  );
  const storedOf = (value: Value, node: Node): Float32Array | undefined => {
    const counterpart = counterparts.get(node);
    const input = counterpart?.inputs[node.inputs.indexOf(value)];
    if (input?.constant) return toFloat32(input.constant);
    const weight = counterpart && units.get(counterpart)?.weight;
    const scheme = weight && weight.value === input ? storedScheme(weight, graph) : undefined;
    return scheme && dequantizedWeight({ scheme });
  };
  let changed = false;
  for (const pair of pairs) {
    const [source] = pair.sources;
    const maker = makerOf(pair);
    const stored = source && maker && storedOf(source.value, maker);
    const factors = stored && factorsOf(source.value, source.axis, stored);
    if (!factors || factors.every((factor) => Math.abs(factor - 1) < rounding)) continue;
    for (const { value, axis } of pair.sources) rescale(value, axis, (c) => factors[c] as number);
    for (const { value, axis } of pair.targets) rescale(value, axis, (c) => 1 / (factors[c] as number));
    changed = true;
  }
  return changed ? model : undefined;
}

/** By channel, the factor of least squares between a constant and what is stored in its place; 1 where there is none to be seen. */
function factorsOf(value: Value, axis: number, stored: Float32Array): Float64Array | undefined {
  const tensor = value.constant;
  if (!tensor || tensor.size !== stored.length) return undefined;
  const { channels, inner } = channelLayout(tensor.shape, axis);
  const squares = new Float64Array(channels);
  const products = new Float64Array(channels);
  toFloat32(tensor).forEach((x, i) => {
    const c = Math.floor(i / inner) % channels;
    squares[c] = (squares[c] as number) + x * x;
    products[c] = (products[c] as number) + x * (stored[i] as number);
  });
  return squares.map((square, c) => {
    const factor = (products[c] as number) / square;
    return Number.isFinite(factor) && factor > 0 ? factor : 1;
  });
}

function rescale(value: Value, axis: number, factor: (channel: number) => number): void {
  const tensor = value.constant;
  if (!tensor) return;
  const { channels, inner } = channelLayout(tensor.shape, axis);
  const values = toFloat32(tensor).map((x, i) => x * factor(Math.floor(i / inner) % channels));
  (value.graph as Graph).setConstant(value, tensorOf("float32", tensor.shape, values));
}
