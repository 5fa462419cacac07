import { z } from "zod";
import { type Graph, type Node, scalarTensor, Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { lookupOp, portIndex, readAttributes } from "../../ops/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { definePass } from "../define.ts";
import { removeUnusedInitializers } from "./emit.ts";
import { type QuantizedWeight, quantizeWeight, weightScales } from "./parameters.ts";
import { nodeKey, planQuantization } from "./plan.ts";
import type { QuantizationRow } from "./row.ts";
import { quantizeLookup } from "./weights.ts";

export const dynamicParams = z.object({
  row: z.custom<QuantizationRow>((row) => typeof row === "object" && row !== null),
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float"),
  convolutions: z.boolean().default(false).describe("Convolutions too; on CPUs ConvInteger is often slower than float"),
});
export type DynamicParams = z.infer<typeof dynamicParams>;

type Kind = QuantizationRow["dynamic"][string];

/** INT8 weights; activation scales are found at run time from each input, so no calibration data is needed. */
export const quantizeDynamic = definePass<DynamicParams>({
  name: "quantize/dynamic",
  summary: "INT8 weights, activations quantized at run time",
  params: dynamicParams,
  run({ model, params, note }) {
    inferShapes(model);
    const exclude = new Set(params.exclude);
    const known = new Map<Value, Dynamic>();
    const { lookups } = planQuantization(model, { ...params.row, ops: {} }, exclude);
    for (const { node, table } of lookups) {
      quantizeLookup(node, table);
      note("did", node, "integer table");
    }
    for (const node of [...model.graph.nodes]) {
      const kind = node.domain === "" ? params.row.dynamic[node.opType] : undefined;
      if (!kind) continue;
      const verdict = exclude.has(nodeKey(node)) ? "excluded" : convert(node, kind, params, model.opsets, known);
      note(verdict === true ? "did" : "skipped", node, verdict === true ? "integer weights, dynamic activations" : verdict);
    }
    removeUnusedInitializers(model.graph);
  },
});

interface Ports {
  readonly activation: Value;
  readonly weight: Value;
  readonly tensor: Tensor;
  readonly bias: Value | undefined;
  readonly axis: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

function convert(
  node: Node,
  kind: Kind,
  params: DynamicParams,
  opsets: ReadonlyMap<string, number>,
  known: Map<Value, Dynamic>,
): true | string {
  if (kind === "conv" && !params.convolutions)
    return "convolutions are left in float by dynamic quantization (option convolutions)";
  const ports = findPorts(node, opsets);
  if (typeof ports === "string") return ports;
  if (kind !== "conv" && ports.tensor.shape.length !== 2)
    return `the constant matrix has rank ${ports.tensor.shape.length}, not 2`;
  if (ports.attributes.transA) return "transA is set";
  if ((ports.attributes.alpha ?? 1) !== 1 || (ports.attributes.beta ?? 1) !== 1) return "alpha or beta is not 1";
  const axis = params.row.weight.perChannel ? ports.axis : undefined;
  const reduced = params.row.weight.reduceRange;
  const quantized = quantizeWeight(ports.tensor, weightScales(ports.tensor, axis, reduced), axis, reduced);
  replace(node, kind, ports, ports.attributes.transB ? transposed(quantized) : quantized, known);
  return true;
}

function findPorts(node: Node, opsets: ReadonlyMap<string, number>): Ports | string {
  const def = lookupOp(node, opsets);
  const facet = def?.quantization;
  if (!def || !facet?.weight) return "no integer form of this op is known";
  const weight = node.inputs[portIndex(def.inputs, facet.weight.input)];
  const activation = node.inputs[portIndex(def.inputs, facet.activations[0] as string)];
  if (!weight?.constant) return "weights are not constant";
  if (weight.constant.dtype !== "float32" || activation?.type?.dtype !== "float32") return "not float32";
  const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
  const channelAxis = facet.weight.channelAxis(attributes, weight.constant.shape.length);
  const bias = facet.weight.bias === undefined ? undefined : node.inputs[portIndex(def.inputs, facet.weight.bias)];
  const axis = channelAxis < 0 ? channelAxis + weight.constant.shape.length : channelAxis;
  return { activation, weight, tensor: weight.constant, bias, axis, attributes };
}

function transposed({ tensor, scales, axis }: QuantizedWeight): QuantizedWeight {
  const [rows, columns] = tensor.shape as [number, number];
  const source = tensor.bytes();
  const target = new Uint8Array(source.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) target[j * rows + i] = source[i * columns + j] as number;
  return { tensor: new Tensor("int8", [columns, rows], target), scales, axis: axis === undefined ? undefined : 1 - axis };
}

/** DynamicQuantizeLinear → MatMulInteger/ConvInteger → Cast → Mul by the product of scales → Add bias: the chain onnxruntime fuses. */
function replace(node: Node, kind: Kind, ports: Ports, quantized: QuantizedWeight, known: Map<Value, Dynamic>): void {
  const graph = node.graph as Graph;
  const hint = ports.weight.name;
  const at = { before: node };
  const [q, scale, zeroPoint] = dynamicallyQuantized(graph, ports.activation, node, known);
  const stored = kind === "conv" ? unsigned(quantized.tensor) : quantized.tensor;
  const weight = graph.addInitializer(graph.freshName(`${hint}_quantized`), stored);
  const weightZero = graph.addInitializer(
    graph.freshName(`${hint}_zero_point`),
    scalarTensor(stored.dtype, kind === "conv" ? 128 : 0),
  );
  const integers = graph.node(kind === "conv" ? "ConvInteger" : "MatMulInteger", [q, weight, zeroPoint, weightZero], {
    ...at,
    name: `${nodeKey(node)}_integer`,
  });
  if (kind === "conv") for (const [name, attribute] of node.attributes) integers.setAttribute(name, attribute);
  const cast = graph.node("Cast", [integers.output], { ...at, attributes: { to: 1 } });
  const alongChannels =
    kind === "conv" ? [quantized.scales.length, ...ports.tensor.shape.slice(2).map(() => 1)] : [quantized.scales.length];
  const shape = quantized.axis === undefined ? [] : alongChannels;
  const weightScale = graph.addInitializer(graph.freshName(`${hint}_scale`), tensorOf("float32", shape, quantized.scales));
  const scales = graph.node("Mul", [scale, weightScale], at);
  let result = graph.node("Mul", [cast.output, scales.output], { ...at, name: `${nodeKey(node)}_scaled` });
  if (ports.bias) {
    const bias = kind === "conv" && ports.bias.constant ? reshapedBias(graph, ports.bias, alongChannels) : ports.bias;
    result = graph.node("Add", [result.output, bias], { ...at, name: `${nodeKey(node)}_bias` });
  }
  result.output.type = node.output.type;
  graph.replaceAllUses(node.output, result.output);
  graph.remove(node);
}

const reshapedBias = (graph: Graph, bias: Value, shape: readonly number[]): Value =>
  graph.addInitializer(
    graph.freshName(`${bias.name}_per_channel`),
    tensorOf("float32", shape, toFloat32(bias.constant as Tensor)),
  );

type Dynamic = readonly [quantized: Value, scale: Value, zeroPoint: Value];

/** One DynamicQuantizeLinear per activation, shared by all its readers. */
function dynamicallyQuantized(graph: Graph, activation: Value, before: Node, known: Map<Value, Dynamic>): Dynamic {
  const shared = known.get(activation);
  if (shared) return shared;
  const place = activation.producer?.graph === graph ? activation.producer.next : graph.firstNode;
  const node = graph.node("DynamicQuantizeLinear", [activation], {
    name: graph.freshName(`${activation.name}_DynamicQuantizeLinear`),
    outputs: ["quantized", "scale", "zero_point"].map((suffix) => graph.freshName(`${activation.name}_${suffix}`)),
    before: place ?? before,
  });
  const outputs = node.outputs as unknown as Dynamic;
  known.set(activation, outputs);
  return outputs;
}

/** int8 around 0 becomes uint8 around 128: onnxruntime's ConvInteger is several times faster with unsigned weights. */
function unsigned(tensor: Tensor): Tensor {
  return new Tensor(
    "uint8",
    tensor.shape,
    tensor.bytes().map((byte) => byte ^ 0x80),
  );
}
