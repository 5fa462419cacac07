import { z } from "zod";
import { allGraphs, type Graph, type Model, type Node, type Tensor, toFloat32, type Value } from "../../ir/index.ts";
import { lookupOp, type OpDef, portIndex, readAttributes } from "../../ops/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { definePass } from "../define.ts";
import { addDequantizedConstant, removeUnusedInitializers } from "./emit.ts";
import { bestWeightScales, type QuantizedWeight, quantizeWeight } from "./parameters.ts";
import { nodeKey } from "./plan.ts";
import { dequantizedValues } from "./probe.ts";
import type { WeightReport } from "./weight-only/params.ts";

export const weightChannelsParams = z.object({
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float"),
  onWeight: z.custom<(report: WeightReport) => void>((value) => typeof value === "function").optional(),
});
export type WeightChannelsParams = z.infer<typeof weightChannelsParams>;

/** A constant and the axis along which it has scales. */
interface Unit {
  readonly value: Value;
  readonly axis: number;
  readonly kind: WeightReport["kind"];
  readonly uses: { readonly node: Node; readonly index: number }[];
}

/** A constant with fewer entries takes about as much for its scales and its node as it saves. */
const leastElements = 512;

/**
 * Weights as int8 with one scale per channel behind a DequantizeLinear, in the form of operator set 13, activations in float: for targets
 * that have no integer kernels, where weights are all that can become small. Tables (embeddings) are read as int8, one scale per column,
 * and what was read is dequantized.
 */
export const quantizeWeightChannels = definePass<WeightChannelsParams>({
  name: "quantize/weight-channels",
  summary: "int8 weights with a scale per channel behind DequantizeLinear, activations in float",
  params: weightChannelsParams,
  run({ model, params, note }) {
    inferShapes(model);
    const { units, skipped } = planChannels(model, new Set(params.exclude));
    for (const [node, reason] of skipped) note("skipped", node, reason);
    for (const unit of units) {
      const report = storeUnit(unit);
      for (const { node } of unit.uses)
        note(
          "did",
          node,
          `int8 weights, a scale for each of ${report.channels} channels, error ${(100 * report.error).toPrecision(2)} %`,
        );
      params.onWeight?.(report);
    }
    for (const graph of allGraphs(model.graph)) removeUnusedInitializers(graph);
  },
});

function planChannels(model: Model, exclude: ReadonlySet<string>): { units: Unit[]; skipped: [Node, string][] } {
  const units = new Map<string, Unit>();
  const skipped: [Node, string][] = [];
  for (const graph of allGraphs(model.graph))
    for (const node of graph.nodes) {
      const found = exclude.has(nodeKey(node)) ? "excluded" : findUnit(node, model);
      if (typeof found === "string") {
        skipped.push([node, found]);
        continue;
      }
      const key = `${found.axis} ${found.kind === "table"} ${found.value.name}`;
      const known = units.get(key);
      if (known) known.uses.push(...found.uses);
      else units.set(key, found);
    }
  const kept = [...units.values()].filter((unit) => {
    if (unit.uses.length === unit.value.uses.size && !unit.value.isGraphOutput) return true;
    for (const { node } of unit.uses)
      skipped.push([node, `"${unit.value.name}" is read in another way too, so that it would be stored twice`]);
    return false;
  });
  return { units: kept, skipped };
}

function findUnit(node: Node, model: Model): Unit | string {
  const def = lookupOp(node, model.opsets);
  const facet = def?.quantization?.weight;
  const index = facet ? portIndex((def as OpDef).inputs, facet.input) : def ? tableIndex(node, def) : -1;
  const value = node.inputs[index];
  const tensor = value?.constant;
  if (!def || !value || !tensor || value.isGraphInput) return "has no constant weights";
  if (tensor.dtype !== "float32") return `weights are ${tensor.dtype}, not float32`;
  if (tensor.size < leastElements) return `${tensor.size} weights are too few to gain from`;
  if (tensor.shape.length < 2) return "the constant is a vector";
  const uses = [{ node, index }];
  if (!facet) return { value, axis: tensor.shape.length - 1, kind: "table", uses };
  const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
  const axis = facet.channelAxis(attributes, tensor.shape.length);
  const kind = facet.bias !== undefined && tensor.shape.length > 2 ? "convolution" : "product";
  return { value, axis: axis < 0 ? axis + tensor.shape.length : axis, kind, uses };
}

/** Position of a table of rows that an op picks by a run-time index along the first axis; -1 when the op is none. */
function tableIndex(node: Node, def: OpDef): number {
  const output = def.quantization?.output;
  if (typeof output !== "object" || !("sameAs" in output) || output.sameAs.length !== 1) return -1;
  const index = portIndex(def.inputs, output.sameAs[0] as string);
  const picks = node.inputs.some((input, i) => i !== index && input && !input.constant);
  return picks && node.int("axis", 0) === 0 && node.outputs.length === 1 && node.output.type ? index : -1;
}

function storeUnit({ value, axis, kind, uses }: Unit): WeightReport & { channels: number } {
  const tensor = value.constant as Tensor;
  const quantized = quantizeWeight(tensor, bestWeightScales(tensor, axis), axis, false);
  const float = addDequantizedConstant(
    value.graph,
    value.name,
    quantized,
    earliest(
      value.graph,
      uses.map(({ node }) => node),
    ),
  );
  if (kind === "table") readRows(float.producer as Node, uses);
  else for (const { node, index } of uses) node.setInput(index, float);
  const channels = tensor.shape[axis] as number;
  return {
    name: value.name,
    nodes: uses.map(({ node }) => nodeKey(node)),
    kind,
    shape: tensor.shape,
    algorithm: "least squares",
    bits: 8,
    block: tensor.size / channels,
    channels,
    error: errorOf(tensor, quantized),
    bytesBefore: tensor.byteLength,
    bytesAfter: tensor.size + 5 * channels,
  };
}

/** The reader that runs first; the graph's first node where readers stand in bodies. */
function earliest(graph: Graph, nodes: readonly Node[]): Node {
  const wanted = new Set(nodes);
  if (nodes.every((node) => node.graph === graph)) for (const node of graph.nodes) if (wanted.has(node)) return node;
  return graph.firstNode as Node;
}

/** Rows are picked as int8; the last axis of what was picked is that of the table. */
function readRows(whole: Node, uses: Unit["uses"]): void {
  const constants = [...whole.inputs];
  (whole.graph as Graph).remove(whole);
  for (const { node, index } of uses) {
    const graph = node.graph as Graph;
    const { output } = node;
    const { type } = output;
    node.setInput(index, constants[0]);
    const rows = graph.node("DequantizeLinear", constants, {
      name: graph.freshName(`${output.name}_DequantizeLinear`),
      outputs: [graph.freshName(`${output.name}_dequantized`)],
      attributes: { axis: type?.shape ? type.shape.length - 1 : -1 },
      ...(node.next ? { before: node.next } : {}),
    });
    graph.replaceAllUses(output, rows.output);
    rows.setInput(0, output);
    rows.output.type = type;
    output.type = { dtype: "int8", shape: type?.shape };
  }
}

/** Squared error over squared weights. */
function errorOf(tensor: Tensor, { tensor: integers, scales, axis }: QuantizedWeight): number {
  const values = toFloat32(tensor);
  const bytes = integers.bytes();
  const stored = dequantizedValues(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), tensor.shape, scales, axis);
  let [energy, error] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    energy += (values[i] as number) ** 2;
    error += ((values[i] as number) - (stored[i] as number)) ** 2;
  }
  return energy === 0 ? 0 : error / energy;
}
