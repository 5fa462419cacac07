import type { Attribute, ExternalLocation, Graph, ModelFunction, Node, Tensor, Value } from "../../ir/index.ts";
import { decodeMessage, encodeMessage, joinChunks } from "../../util/protobuf/index.ts";
import { attributeTypeCode } from "./attribute-types.ts";
import { entriesOf, importsOf } from "./entries.ts";
import {
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  graphProto,
  type NodeProto,
  type ValueInfoProto,
} from "./protos.ts";
import { writeSparse, writeTensor } from "./tensor.ts";
import { encodeUtf8 } from "./text.ts";
import { isDescribed, valueInfo } from "./types.ts";

/** Where a tensor goes when not into the main file. */
export type Placement = (tensor: Tensor) => ExternalLocation | undefined;

export function writeGraph(graph: Graph, place: Placement): GraphProto {
  const initializers = [...graph.initializers];
  return {
    ...orphanedInfo(graph),
    node: Array.from(graph.nodes, (node) => writeNode(node, place)),
    name: graph.name,
    initializer: initializers
      .filter((value) => value.constant)
      .map((value) => writeTensor(value.constant as Tensor, value.name, place(value.constant as Tensor))),
    sparseInitializer: initializers.flatMap((value) => (value.sparse ? [writeSparse(value.sparse, value.name)] : [])),
    docString: graph.docString,
    input: graph.inputs.map(valueInfo),
    output: graph.outputs.map(valueInfo),
    valueInfo: [...innerInfo(graph)],
    quantizationAnnotation: [...graph.annotations],
    metadataProps: graph.metadata && entriesOf(graph.metadata),
  };
}

/** What the file says of values that are neither inputs nor outputs. */
function* innerInfo(graph: Graph): Generator<ValueInfoProto> {
  const listed = new Set<Value>([...graph.inputs, ...graph.outputs]);
  for (const value of graph.initializers) if (!listed.has(value) && (value.docString || value.metadata)) yield valueInfo(value);
  for (const node of graph.nodes)
    for (const output of node.outputs) if (output.name && !listed.has(output) && isDescribed(output)) yield valueInfo(output);
}

/** Facts about values that the file does not define are written back, but not for a name that now means something else. */
function orphanedInfo(graph: Graph): GraphProto {
  if (!graph.unknownFields) return {};
  const { valueInfo: orphans, ...kept } = decodeMessage(graphProto, graph.unknownFields, "ONNX");
  if (!orphans) return { unknown: graph.unknownFields };
  const names = new Set<string>();
  for (const node of graph.nodes) for (const output of node.outputs) names.add(output.name);
  return {
    unknown: encodeOrphans(
      orphans.filter((info) => !names.has(info.name ?? "")),
      kept,
    ),
  };
}

function encodeOrphans(valueInfos: ValueInfoProto[], kept: GraphProto): Uint8Array {
  return joinChunks(encodeMessage(graphProto, { ...kept, valueInfo: valueInfos }).chunks);
}

function writeNode(node: Node, place: Placement): NodeProto {
  return {
    input: node.inputs.map((input) => input?.name ?? ""),
    output: node.outputs.map((output) => output.name),
    name: node.name || undefined,
    opType: node.opType,
    attribute: Array.from(node.attributes, ([name, attribute]) => writeAttribute(name, attribute, place)),
    docString: node.docString,
    domain: node.domain || undefined,
    overload: node.overload || undefined,
    metadataProps: node.metadata && entriesOf(node.metadata),
    unknown: node.unknownFields,
  };
}

function writeAttribute(name: string, attribute: Attribute, place: Placement): AttributeProto {
  const common = { name, unknown: attribute.fields };
  if (attribute.type === "reference") return { ...common, refAttrName: attribute.value, type: attribute.typeCode };
  return { ...common, type: attributeTypeCode(attribute.type), ...attributeValue(attribute, place) };
}

function attributeValue(attribute: Attribute, place: Placement): AttributeProto {
  switch (attribute.type) {
    case "float":
      return { f: attribute.value };
    case "int":
      return { i: attribute.value };
    case "string":
      return { s: encodeUtf8(attribute.value) };
    case "tensor":
      return { t: writeTensor(attribute.value) };
    case "graph":
      return { g: writeGraph(attribute.value, place) };
    case "sparse_tensor":
      return { sparseTensor: writeSparse(attribute.value) };
    case "type_proto":
      return { tp: attribute.value.encoded };
    case "floats":
      return { floats: [...attribute.value] };
    case "ints":
      return { ints: [...attribute.value] };
    case "strings":
      return { strings: attribute.value.map(encodeUtf8) };
    case "tensors":
      return { tensors: attribute.value.map((tensor) => writeTensor(tensor)) };
    case "graphs":
      return { graphs: attribute.value.map((graph) => writeGraph(graph, place)) };
    case "sparse_tensors":
      return { sparseTensors: attribute.value.map((sparse) => writeSparse(sparse)) };
    case "type_protos":
      return { typeProtos: attribute.value.map(({ encoded }) => encoded) };
    case "reference":
      return {};
  }
}

export function writeFunction(fn: ModelFunction, place: Placement): FunctionProto {
  const { graph } = fn;
  return {
    name: fn.name,
    input: graph.inputs.map((input) => input.name),
    output: graph.outputs.map((output) => output.name),
    attribute: [...fn.attributeNames],
    node: Array.from(graph.nodes, (node) => writeNode(node, place)),
    docString: fn.docString,
    opsetImport: importsOf(fn.opsets),
    domain: fn.domain,
    attributeProto: Array.from(fn.attributeDefaults, ([name, attribute]) => writeAttribute(name, attribute, place)),
    valueInfo: [...functionInfo(graph)],
    overload: fn.overload || undefined,
    metadataProps: fn.metadata.size > 0 ? entriesOf(fn.metadata) : undefined,
    unknown: graph.unknownFields,
  };
}

/** Functions may describe any of their values, inputs and outputs included. */
function* functionInfo(graph: Graph): Generator<ValueInfoProto> {
  for (const input of graph.inputs) if (isDescribed(input)) yield valueInfo(input);
  for (const node of graph.nodes)
    for (const output of node.outputs) if (output.name && isDescribed(output)) yield valueInfo(output);
}
