import type { Attribute } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Model, ModelFunction } from "./model.ts";
import type { Node } from "./node.ts";
import { printData, printFloat, printSparseData, printTensor } from "./text-tensors.ts";
import { printName, printTensorType, printTypeTree, quote } from "./text-types.ts";
import { decodeTypeTree } from "./type-proto.ts";
import type { Value } from "./value.ts";

/**
 * A model in ONNX's text syntax (https://onnx.ai/onnx/repo-docs/Syntax.html). Doc strings and metadata of graphs, nodes and values
 * have no place there. Extensions, only where needed: quoted operator names, data as `["hex": "..."]`, sparse initializers.
 */
export function printModel(model: Model): string {
  const header = [`ir_version: ${model.irVersion}`, `opset_import: ${printOpsets(model.opsets)}`];
  if (model.producerName) header.push(`producer_name: ${quote(model.producerName)}`);
  if (model.producerVersion) header.push(`producer_version: ${quote(model.producerVersion)}`);
  if (model.domain) header.push(`domain: ${quote(model.domain)}`);
  if (model.modelVersion) header.push(`model_version: ${model.modelVersion}`);
  if (model.docString) header.push(`doc_string: ${quote(model.docString)}`);
  if (model.metadata.size > 0) {
    const entries = Array.from(model.metadata, ([key, value]) => `${quote(key)}: ${quote(value)}`);
    header.push(`metadata_props: [${entries.join(", ")}]`);
  }
  const functions = model.functions.map((fn) => `\n${printFunction(fn)}\n`);
  return `<${header.join(", ")}>\n${printGraph(model.graph)}\n${functions.join("")}`;
}

const printOpsets = (opsets: ReadonlyMap<string, number>): string =>
  `[${Array.from(opsets, ([domain, version]) => `${quote(domain)}: ${version}`).join(", ")}]`;

const indentation = "  ";

/** `name (inputs) => (outputs) <initializers and known types> { nodes }` */
export function printGraph(graph: Graph, indent = ""): string {
  const inner = indent + indentation;
  const inputs = graph.inputs.map(printDefinition).join(", ");
  const outputs = graph.outputs.map(printTyped).join(", ");
  const facts = [...described(graph)];
  const list = facts.length > 0 ? ` <\n${facts.map((fact) => inner + fact).join(",\n")}\n${indent}>` : "";
  return `${printName(graph.name)} (${inputs}) => (${outputs})${list} ${printNodes(graph, indent)}`;
}

function printNodes(graph: Graph, indent: string): string {
  const lines = Array.from(graph.nodes, (node) => `${indent}${indentation}${printNode(node, indent + indentation)}\n`);
  return lines.length > 0 ? `{\n${lines.join("")}${indent}}` : "{ }";
}

/** Initializers that are no inputs, then values whose type is known. */
function* described(graph: Graph): Generator<string> {
  const listed = new Set<Value>([...graph.inputs, ...graph.outputs]);
  const inputs = new Set(graph.inputs);
  for (const value of graph.initializers) if (!inputs.has(value)) yield printDefinition(value);
  for (const node of graph.nodes)
    for (const output of node.outputs) if (output.name && !listed.has(output) && hasType(output)) yield printTyped(output);
}

const hasType = (value: Value): boolean => Boolean(value.type ?? value.foreignType);

function printType(value: Value): string {
  if (value.sparse && value.type) return printTypeTree({ kind: "sparse", type: value.type });
  if (value.type) return printTensorType(value.type);
  return value.foreignType ? printTypeTree(decodeTypeTree(value.foreignType.encoded)) : "";
}

const printTyped = (value: Value): string => `${printType(value)} ${printName(value.name)}`.trimStart();

function printDefinition(value: Value): string {
  if (value.constant) {
    const { dtype, shape } = value.constant;
    return `${printTensorType({ dtype, shape })} ${printName(value.name)} = ${printData(value.constant)}`;
  }
  return value.sparse ? `${printTyped(value)} = ${printSparseData(value.sparse)}` : printTyped(value);
}

/** One node on a line: `[label] outputs = domain.Op:overload <attributes> (inputs)`. */
export function printNode(node: Node, indent = ""): string {
  const label = node.name ? `[${printName(node.name)}] ` : "";
  const outputs = node.outputs.map((output) => printName(output.name)).join(", ");
  const inputs = node.inputs.map((input) => (input ? printName(input.name) : '""')).join(", ");
  const attributes = Array.from(node.attributes, ([name, attribute]) => printAttribute(name, attribute, indent));
  return `${label}${outputs} = ${printOp(node)}${angled(attributes)} (${inputs})`;
}

const angled = (items: readonly string[]): string => (items.length > 0 ? ` <${items.join(", ")}>` : "");

const qualified = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/;
const simple = /^[A-Za-z_][A-Za-z0-9_]*$/;

function printOp({ domain, opType, overload }: Node): string {
  const op = simple.test(opType) ? opType : quote(opType);
  const prefix = domain === "" ? "" : `${qualified.test(domain) ? domain : quote(domain)}.`;
  return `${prefix}${op}${overload ? `:${printName(overload)}` : ""}`;
}

function printAttribute(name: string, attribute: Attribute, indent: string): string {
  const key = simple.test(name) ? name : quote(name);
  if (attribute.type === "reference") return `${key}: ${referenceType(attribute.typeCode)} = @${printName(attribute.value)}`;
  const explicit = needsType(attribute) ? `: ${attribute.type}` : "";
  return `${key}${explicit} = ${printAttributeValue(attribute, indent)}`;
}

/** Names of attribute types by ONNX's numbers, for references; the order is AttributeProto's. */
export const attributeTypeNames = [
  "undefined",
  "float",
  "int",
  "string",
  "tensor",
  "graph",
  "floats",
  "ints",
  "strings",
  "tensors",
  "graphs",
  "sparse_tensor",
  "sparse_tensors",
  "type_proto",
  "type_protos",
] as const;
const referenceType = (code: number): string => attributeTypeNames[code] ?? "undefined";

/** The literal itself says its type, unless it is an empty list, a number that reads as a name, or a type. */
function needsType({ type, value }: Attribute): boolean {
  if (type === "type_proto" || type === "type_protos" || type.startsWith("sparse")) return true;
  if (type === "float") return !Number.isFinite(value);
  return Array.isArray(value) && (value.length === 0 || (type === "floats" && !Number.isFinite(value[0])));
}

const many = <T>(items: readonly T[], print: (item: T) => string): string => `[${items.map(print).join(", ")}]`;

function printAttributeValue(attribute: Attribute, indent: string): string {
  switch (attribute.type) {
    case "float":
      return printFloat(attribute.value);
    case "floats":
      return many(attribute.value, (value) => printFloat(value));
    case "int":
      return String(attribute.value);
    case "ints":
      return many(attribute.value, String);
    case "string":
      return printString(attribute.value);
    case "strings":
      return many(attribute.value, printString);
    case "tensor":
      return printTensor(attribute.value);
    case "tensors":
      return many(attribute.value, printTensor);
    case "graph":
      return printGraph(attribute.value, indent);
    case "graphs":
      return many(attribute.value, (graph) => printGraph(graph, indent));
    case "sparse_tensor":
      return printSparse(attribute.value);
    case "sparse_tensors":
      return many(attribute.value, printSparse);
    case "type_proto":
      return printTypeTree(decodeTypeTree(attribute.value.encoded));
    case "type_protos":
      return many(attribute.value, (type) => printTypeTree(decodeTypeTree(type.encoded)));
    case "reference":
      return `@${printName(attribute.value)}`;
  }
}

const printSparse = (sparse: Extract<Attribute, { type: "sparse_tensor" }>["value"]): string =>
  `${printTypeTree({ kind: "sparse", type: { dtype: sparse.values.dtype, shape: sparse.shape } })} ${printSparseData(sparse)}`;

/** Bytes that are not UTF-8 have no text; they print with replacement characters. */
const printString = (value: string | Uint8Array): string =>
  quote(typeof value === "string" ? value : new TextDecoder().decode(value));

function printFunction(fn: ModelFunction): string {
  const header = [`domain: ${quote(fn.domain)}`, `opset_import: ${printOpsets(fn.opsets)}`];
  if (fn.overload) header.push(`overload: ${quote(fn.overload)}`);
  if (fn.docString) header.push(`doc_string: ${quote(fn.docString)}`);
  const attributes = [
    ...fn.attributeNames.map(printName),
    ...Array.from(fn.attributeDefaults, ([name, attribute]) => printAttribute(name, attribute, "")),
  ];
  const { graph } = fn;
  const names = (values: readonly Value[]) => values.map((value) => printName(value.name)).join(", ");
  const types = [...functionTypes(graph)];
  const head = `<${header.join(", ")}>\n${printName(fn.name)}${angled(attributes)}`;
  return `${head} (${names(graph.inputs)}) => (${names(graph.outputs)})${angled(types)} ${printNodes(graph, "")}`;
}

function* functionTypes(graph: Graph): Generator<string> {
  for (const input of graph.inputs) if (hasType(input)) yield printTyped(input);
  for (const node of graph.nodes) for (const output of node.outputs) if (output.name && hasType(output)) yield printTyped(output);
}
