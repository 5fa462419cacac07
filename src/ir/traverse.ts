import type { Graph } from "./graph.ts";
import type { Node } from "./node.ts";
import type { Value } from "./value.ts";

/** All nodes of a graph and of the graphs inside its nodes, outer first. */
export function* allNodes(graph: Graph): Generator<Node> {
  for (const node of graph.nodes) {
    yield node;
    for (const [, inner] of node.subgraphs()) yield* allNodes(inner);
  }
}

/** The graph itself, then every graph inside it. */
export function* allGraphs(graph: Graph): Generator<Graph> {
  yield graph;
  for (const node of graph.nodes) for (const [, inner] of node.subgraphs()) yield* allGraphs(inner);
}

/** Every value that a graph (without inner graphs) defines: inputs, initializers, node outputs. */
export function* definedValues(graph: Graph): Generator<Value> {
  const seen = new Set<Value>();
  for (const value of [...graph.inputs, ...graph.initializers]) {
    if (seen.has(value)) continue;
    seen.add(value);
    yield value;
  }
  for (const node of graph.nodes) for (const output of node.outputs) if (output.name) yield output;
}

/** How messages speak of a node: `Conv "conv1"`, or by its first output where it has no name. */
export const describeNode = (node: Node): string => `${node.opType} "${node.name || node.outputs[0]?.name || "?"}"`;
