import { type Attribute, decodeTypeTree, type ForeignType, Graph, type ModelFunction, type Value } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import { encodeMessage, joinChunks } from "../../util/protobuf/index.ts";
import { attributeTypes } from "./attribute-types.ts";
import { mapOf, normalDomain, opsetsOf } from "./entries.ts";
import type { OpenExternal } from "./external.ts";
import { definedNames, orderNodes, undefinedValue } from "./order.ts";
import {
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  graphProto,
  type NodeProto,
  type SparseTensorProto,
  type TensorProto,
  type ValueInfoProto,
} from "./protos.ts";
import { readSparse, readTensor, withNameField } from "./tensor.ts";
import { decodeUtf8 } from "./text.ts";
import { applyValueInfo } from "./types.ts";

/** Names of one graph while it is read, linked to those of the graphs around it. */
interface Scope {
  readonly graph: Graph;
  readonly values: Map<string, Value>;
  /** All names that the graph defines, those still to come included. */
  readonly names: ReadonlySet<string>;
  readonly outer: Scope | undefined;
}

const find = (scope: Scope | undefined, name: string): Value | undefined => {
  for (let at = scope; at; at = at.outer) {
    const value = at.values.get(name);
    if (value) return value;
  }
  return undefined;
};
const isTaken = (scope: Scope | undefined, name: string): boolean => {
  for (let at = scope; at; at = at.outer) if (at.names.has(name)) return true;
  return false;
};

/** The name in the IR: a name that hides one of an enclosing graph is changed, since edges there go by reference, not by scope. */
function visibleName(scope: Scope, name: string): string {
  if (!name || !isTaken(scope.outer, name)) return name;
  let changed = name;
  for (let i = 1; isTaken(scope, changed); i++) changed = `${name}_inner${i}`;
  return changed;
}

function define(scope: Scope, name: string, value: Value): void {
  if (scope.values.has(name))
    fail("ONNX_DUPLICATE_VALUE", `"${name}" is defined twice in graph "${scope.graph.name}".`, { subject: name });
  scope.values.set(name, value);
}

const required = (name: string | undefined, what: string, scope: Scope): string =>
  name || fail("ONNX_NO_NAME", `${what} of graph "${scope.graph.name}" has no name.`, { subject: scope.graph.name });

export function readGraph(proto: GraphProto, open: OpenExternal | undefined): Graph {
  return readScopedGraph(proto, open, undefined);
}

function readScopedGraph(proto: GraphProto, open: OpenExternal | undefined, outer: Scope | undefined): Graph {
  const graph = new Graph(proto.name ?? "", outer?.graph);
  const scope: Scope = { graph, values: new Map(), names: definedNames(proto), outer };
  graph.docString = proto.docString || undefined;
  if (proto.metadataProps) graph.metadata = mapOf(proto.metadataProps);
  graph.annotations = proto.quantizationAnnotation ?? [];
  graph.unknownFields = proto.unknown;
  for (const info of proto.input ?? []) readInput(info, scope);
  for (const tensor of proto.initializer ?? []) readInitializer(tensor, scope, open);
  for (const sparse of proto.sparseInitializer ?? []) readSparseInitializer(sparse, scope, open);
  readNodes(proto.node ?? [], scope, open);
  for (const info of proto.output ?? []) readOutput(info, scope);
  readValueInfo(proto.valueInfo ?? [], scope);
  return graph;
}

function readInput(info: ValueInfoProto, scope: Scope): void {
  const name = required(info.name, "An input", scope);
  const value = scope.graph.addInput(visibleName(scope, name));
  applyValueInfo(value, info);
  define(scope, name, value);
}

function readInitializer(proto: TensorProto, scope: Scope, open: OpenExternal | undefined): void {
  const name = required(proto.name, "An initializer", scope);
  const tensor = readTensor(proto, open, name);
  const input = scope.values.get(name);
  if (input && input.constant === undefined && !input.sparse) {
    // IR 3 lists initializers as inputs; later versions do so for values that a caller may override
    input.constant = tensor;
    input.type ??= { dtype: tensor.dtype, shape: tensor.shape };
    scope.graph.markInitializer(input);
  } else define(scope, name, scope.graph.addInitializer(visibleName(scope, name), tensor));
}

function readSparseInitializer(proto: SparseTensorProto, scope: Scope, open: OpenExternal | undefined): void {
  const name = required(proto.values?.name, "A sparse initializer", scope);
  const sparse = readSparse(proto, open, name);
  const input = scope.values.get(name);
  if (input && input.constant === undefined && !input.sparse) {
    input.sparse = sparse;
    scope.graph.markInitializer(input);
    return;
  }
  const value = scope.graph.addInitializer(visibleName(scope, name), sparse.values);
  value.constant = undefined;
  value.sparse = sparse;
  value.type = { dtype: sparse.values.dtype, shape: sparse.shape };
  define(scope, name, value);
}

function readNodes(protos: readonly NodeProto[], scope: Scope, open: OpenExternal | undefined): void {
  for (const proto of orderNodes(protos, (name) => find(scope, name) !== undefined)) readNode(proto, scope, open);
}

function readNode(proto: NodeProto, scope: Scope, open: OpenExternal | undefined): void {
  if (!proto.opType)
    fail("ONNX_NO_NAME", `Node "${proto.name || proto.output?.[0] || "?"}" does not say which operator it calls.`, {
      subject: scope.graph.name,
    });
  const inputs = (proto.input ?? []).map((name) => (name ? find(scope, name) : undefined));
  const names = proto.output ?? [];
  const node = scope.graph.node(proto.opType, inputs, {
    domain: normalDomain(proto.domain),
    overload: proto.overload ?? "",
    name: proto.name ?? "",
    outputs: names.map((name) => visibleName(scope, name)),
  });
  node.docString = proto.docString || undefined;
  if (proto.metadataProps) node.metadata = mapOf(proto.metadataProps);
  node.unknownFields = proto.unknown;
  for (const attribute of proto.attribute ?? []) {
    const name = attribute.name ?? "";
    if (node.attributes.has(name))
      fail("ONNX_ATTRIBUTE", `Node ${proto.opType} "${proto.name ?? ""}" has the attribute "${name}" twice.`, { subject: name });
    node.setAttribute(name, readAttribute(attribute, scope, open));
  }
  node.outputs.forEach((output, i) => {
    if (names[i]) define(scope, names[i], output);
  });
}

function readOutput(info: ValueInfoProto, scope: Scope): void {
  const name = required(info.name, "An output", scope);
  const value = find(scope, name) ?? undefinedValue(name, `The output list of graph "${scope.graph.name}"`);
  if (value.producer && value.graph === scope.graph) applyValueInfo(value, info);
  scope.graph.addOutput(value);
}

/** What is said of values that do not exist is kept as it is. */
function readValueInfo(infos: readonly ValueInfoProto[], scope: Scope): void {
  const orphans: ValueInfoProto[] = [];
  for (const info of infos) {
    const value = scope.values.get(info.name ?? "");
    if (!value) orphans.push(info);
    else if (value.producer && !value.type && !value.foreignType) applyValueInfo(value, info);
    else if (!value.producer) applyValueInfo(value, { docString: info.docString, metadataProps: info.metadataProps });
  }
  if (orphans.length === 0) return;
  const { unknownFields } = scope.graph;
  scope.graph.unknownFields = joinChunks(encodeMessage(graphProto, { valueInfo: orphans, unknown: unknownFields }).chunks);
}

function readAttribute(proto: AttributeProto, scope: Scope, open: OpenExternal | undefined): Attribute {
  const type = attributeTypes.get(proto.type ?? 0) ?? guessType(proto);
  const subject = proto.name ?? "";
  const missing = (): never => fail("ONNX_ATTRIBUTE", `Attribute "${subject}" of type ${type} has no value.`, { subject });
  const fields = proto.unknown ? { fields: proto.unknown } : {};
  const tensor = (t: TensorProto) => readTensor(withNameField(t), open, subject);
  const graph = (g: GraphProto) => readScopedGraph(g, open, scope);
  const foreign = (encoded: Uint8Array): ForeignType => ({ kind: decodeTypeTree(encoded)?.kind ?? "opaque", encoded });
  if (proto.refAttrName) return { type: "reference", value: proto.refAttrName, typeCode: proto.type ?? 0, ...fields };
  const content = ((): Attribute => {
    switch (type) {
      case "float":
        return { type, value: proto.f ?? 0 };
      case "int":
        return { type, value: proto.i ?? 0 };
      case "string":
        return { type, value: decodeUtf8(proto.s ?? new Uint8Array()) };
      case "tensor":
        return { type, value: tensor(proto.t ?? missing()) };
      case "graph":
        return { type, value: graph(proto.g ?? missing()) };
      case "sparse_tensor":
        return { type, value: readSparse(proto.sparseTensor ?? missing(), open, subject) };
      case "type_proto":
        return { type, value: foreign(proto.tp ?? missing()) };
      case "floats":
        return { type, value: proto.floats ?? [] };
      case "ints":
        return { type, value: proto.ints ?? [] };
      case "strings":
        return { type, value: (proto.strings ?? []).map(decodeUtf8) };
      case "tensors":
        return { type, value: (proto.tensors ?? []).map(tensor) };
      case "graphs":
        return { type, value: (proto.graphs ?? []).map(graph) };
      case "sparse_tensors":
        return { type, value: (proto.sparseTensors ?? []).map((s) => readSparse(s, open, subject)) };
      case "type_protos":
        return { type, value: (proto.typeProtos ?? []).map(foreign) };
      default:
        return fail("ONNX_ATTRIBUTE", `Attribute "${subject}" has the unknown type ${proto.type ?? 0}.`, { subject });
    }
  })();
  return { ...content, ...fields };
}

/** Files of ONNX's first year do not say an attribute's type; the field that is set does. */
function guessType(proto: AttributeProto): Attribute["type"] | undefined {
  if (proto.type) return undefined;
  if (proto.f !== undefined) return "float";
  if (proto.i !== undefined) return "int";
  if (proto.s !== undefined) return "string";
  if (proto.t) return "tensor";
  if (proto.g) return "graph";
  if (proto.floats) return "floats";
  if (proto.ints) return "ints";
  if (proto.strings) return "strings";
  return undefined;
}

/** A function's body is a graph of its own: its names see nothing outside. */
export function readFunction(proto: FunctionProto, open: OpenExternal | undefined): ModelFunction {
  const { name = "", overload = "", domain } = proto;
  const body: GraphProto = {
    name,
    node: proto.node,
    input: (proto.input ?? []).map((input) => ({ name: input })),
    output: (proto.output ?? []).map((output) => ({ name: output })),
    valueInfo: proto.valueInfo,
    unknown: proto.unknown,
  };
  const graph = readGraph(body, open);
  const empty: Scope = { graph, values: new Map(), names: new Set(), outer: undefined };
  const defaults = (proto.attributeProto ?? []).map((a) => [a.name ?? "", readAttribute(a, empty, open)] as const);
  return {
    domain: normalDomain(domain),
    name,
    overload,
    graph,
    attributeNames: proto.attribute ?? [],
    attributeDefaults: new Map(defaults),
    opsets: opsetsOf(proto.opsetImport ?? []),
    docString: proto.docString || undefined,
    metadata: mapOf(proto.metadataProps ?? []),
  };
}
