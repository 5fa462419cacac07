import { bitsOf, byteLength, type Graph, isStatic, type Model, type Node, numel, type Value } from "../ir/index.ts";
import type { Scope, ShapeReport } from "./infer.ts";
import { staticShapes } from "./static-shapes.ts";

export interface LiveValue {
  readonly value: Value;
  readonly bytes: number;
}
export interface ActivationMemory {
  readonly peakBytes: number;
  /** Where the peak is; undefined for a graph without nodes. */
  readonly at: Node | undefined;
  /** What is alive there in the outermost graph, largest first. */
  readonly live: readonly LiveValue[];
  /** Values whose size is not known; they count as nothing. */
  readonly unsized: readonly Value[];
}

/**
 * Activation memory by liveness over execution order. A value lives from the node that makes it to the last node that reads it;
 * graph inputs live from the start, graph outputs to the end. A node's inputs and outputs are alive together: nothing is computed
 * in place. Weights are not activations. While a node with a subgraph (or a function) runs, the peak inside it is added.
 */
export function activationMemory(model: Model, shapes: ShapeReport = staticShapes(model)): ActivationMemory {
  const unsized = new Set<Value>();
  const peak = graphPeak(shapes, model.graph, unsized);
  const live = [...peak.live].map(([value, bytes]) => ({ value, bytes })).sort((a, b) => b.bytes - a.bytes);
  return { peakBytes: peak.bytes, at: peak.at, live, unsized: [...unsized] };
}

/** Peak of `activationMemory` in bytes. */
export const peakActivationBytes = (model: Model, shapes?: ShapeReport): number => activationMemory(model, shapes).peakBytes;

interface Peak {
  readonly bytes: number;
  readonly at: Node | undefined;
  readonly live: ReadonlyMap<Value, number>;
}

function graphPeak(scope: Scope, graph: Graph, unsized: Set<Value>): Peak {
  const lastUse = lastUses(graph);
  const live = new Map<Value, number>();
  let total = 0;
  let peak: Peak = { bytes: 0, at: undefined, live };
  const start = (value: Value): void => {
    if (!value.name || live.has(value) || isConstant(scope, value)) return;
    const bytes = sizeOf(scope, value, unsized);
    live.set(value, bytes);
    total += bytes;
  };
  for (const value of graph.inputs) start(value);
  if (graph.nodeCount === 0) return { bytes: total, at: undefined, live };
  const dying = valuesByLastUse(lastUse);
  for (const node of graph.nodes) {
    for (const value of node.outputs) start(value);
    const bytes = total + innerPeak(scope, node, unsized);
    if (bytes > peak.bytes || !peak.at) peak = { bytes, at: node, live: new Map(live) };
    for (const value of [...(dying.get(node) ?? []), ...node.outputs.filter((output) => !lastUse.has(output))]) {
      total -= live.get(value) ?? 0;
      live.delete(value);
    }
  }
  return peak;
}

/** The last node of this graph that reads a value, itself or through a graph inside it; graph outputs are read at the very end. */
function lastUses(graph: Graph): Map<Value, Node | undefined> {
  const last = new Map<Value, Node | undefined>();
  for (const node of graph.nodes) for (const value of readBy(node)) last.set(value, node);
  for (const value of graph.outputs) last.set(value, undefined);
  return last;
}

function* readBy(node: Node): Generator<Value> {
  for (const value of node.inputs) if (value) yield value;
  for (const [, graph] of node.subgraphs()) {
    for (const inner of graph.nodes) yield* readBy(inner);
    yield* graph.outputs;
  }
}

function valuesByLastUse(lastUse: ReadonlyMap<Value, Node | undefined>): Map<Node, Value[]> {
  const dying = new Map<Node, Value[]>();
  for (const [value, node] of lastUse) if (node) dying.set(node, [...(dying.get(node) ?? []), value]);
  return dying;
}

/** Alternatives do not run at once: the larger counts. Inputs of a function's body are the caller's own tensors. */
function innerPeak(scope: Scope, node: Node, unsized: Set<Value>): number {
  const body = scope.calls.get(node);
  const peaks = [...node.subgraphs()].map(([, graph]) => graphPeak(scope, graph, unsized).bytes);
  const called = body ? graphPeak(body, body.graph, unsized).bytes - inputBytes(body, body.graph) : 0;
  return Math.max(0, called, ...peaks);
}

const inputBytes = (scope: Scope, graph: Graph): number =>
  graph.inputs.reduce((sum, value) => sum + (isConstant(scope, value) ? 0 : sizeOf(scope, value, new Set())), 0);

/** Initializers, and outputs of nodes that hold a constant: they are part of the model file, not of the working memory. */
function isConstant(scope: Scope, value: Value): boolean {
  if (value.constant || value.sparse) return true;
  return value.producer?.inputs.length === 0 && scope.info.get(value)?.constant !== undefined;
}

function sizeOf(scope: Scope, value: Value, unsized: Set<Value>): number {
  const info = scope.info.get(value);
  const bytes = info && isStatic(info.shape) && bitsOf(info.dtype) > 0 ? byteLength(info.dtype, numel(info.shape)) : undefined;
  // Absurd extents multiply beyond what a number holds; nothing that size can be run.
  if (bytes !== undefined && Number.isSafeInteger(bytes)) return bytes;
  unsized.add(value);
  return 0;
}
