import type { Attribute } from "./attribute.ts";
import { Graph } from "./graph.ts";
import type { Node } from "./node.ts";
import { Value } from "./value.ts";

/** Copies a graph; values of enclosing graphs that are in `outer` are rewired, others stay shared references. */
export function cloneGraph(source: Graph, outer: ReadonlyMap<Value, Value> = new Map(), parent?: Graph): Graph {
  const graph = new Graph(source.name, parent);
  graph.docString = source.docString;
  graph.metadata = source.metadata && new Map(source.metadata);
  graph.annotations = source.annotations;
  graph.unknownFields = source.unknownFields;
  const values = new Map(outer);
  for (const input of source.inputs) values.set(input, copyFacts(input, graph.addInput(input.name, input.type)));
  for (const initializer of source.initializers) cloneInitializer(initializer, graph, values);
  for (const node of source.nodes) cloneNode(node, graph, values);
  for (const output of source.outputs) graph.addOutput(values.get(output) ?? output);
  return graph;
}

function copyFacts(from: Value, to: Value): Value {
  to.type = from.type;
  to.constant = from.constant;
  to.sparse = from.sparse;
  to.foreignType = from.foreignType;
  to.encodedType = from.encodedType;
  to.metadata = from.metadata && new Map(from.metadata);
  to.docString = from.docString;
  return to;
}

function cloneInitializer(initializer: Value, graph: Graph, values: Map<Value, Value>): void {
  const known = values.get(initializer); // IR 3 lists initializers as inputs too
  const copy = known ?? copyFacts(initializer, new Value(graph, initializer.name));
  values.set(initializer, copy);
  graph.markInitializer(copy);
}

export function cloneNode(node: Node, graph: Graph, values: Map<Value, Value>): Node {
  const copy = graph.node(
    node.opType,
    node.inputs.map((input) => input && (values.get(input) ?? input)),
    { domain: node.domain, overload: node.overload, name: node.name, outputs: node.outputs.map((output) => output.name) },
  );
  copy.docString = node.docString;
  copy.metadata = node.metadata && new Map(node.metadata);
  copy.unknownFields = node.unknownFields;
  node.outputs.forEach((output, i) => {
    values.set(output, copyFacts(output, copy.outputs[i] as Value));
  });
  for (const [name, attribute] of node.attributes) copy.setAttribute(name, cloneAttribute(attribute, values, graph));
  return copy;
}

function cloneAttribute(attribute: Attribute, values: ReadonlyMap<Value, Value>, parent: Graph): Attribute {
  if (attribute.type === "graph") return { type: "graph", value: cloneGraph(attribute.value, values, parent) };
  if (attribute.type === "graphs") return { type: "graphs", value: attribute.value.map((g) => cloneGraph(g, values, parent)) };
  return attribute;
}
