import type { AttributeInput, Node, Tensor, Value } from "../../ir/index.ts";
import { invariant } from "../../util/errors.ts";

/** The graph that a live node is in. */
function graphOf(node: Node) {
  invariant(node.graph, `node ${node.name} was removed`);
  return node.graph;
}

/** A constant for `node` to read, named after it. */
export const addConstant = (node: Node, hint: string, tensor: Tensor): Value => {
  const graph = graphOf(node);
  return graph.addInitializer(graph.freshName(`${node.name || node.output.name}_${hint}`), tensor);
};

/**
 * Whether `to` can stand for `from` without an Identity node: a graph output must be made by a node of its own graph, under one name.
 */
export function canReplace(from: Value, to: Value): true | string {
  if (!from.isGraphOutput) return true;
  if (to.graph !== from.graph || !to.producer)
    return `${from.name} is a graph output and ${to.name} is not made by a node of this graph`;
  if (to.isGraphOutput) return `${from.name} and ${to.name} are both graph outputs`;
  return from.graph.outputs.filter((output) => output === from).length === 1 || `${from.name} is a graph output twice`;
}

/** Makes readers of `from` read `to` and removes what nobody needs any more. Ask `canReplace` first. */
export function replaceValue(from: Value, to: Value): void {
  const { producer } = from;
  if (!to.type || (to.type.shape === undefined && from.type?.shape)) to.type = from.type ?? to.type;
  from.graph.replaceAllUses(from, to);
  if (producer) prune(producer);
}

/** Removes a node whose outputs nobody reads, and then producers that only it kept alive. */
export function prune(start: Node): void {
  const queue = [start];
  for (let node = queue.pop(); node; node = queue.pop()) {
    if (!node.graph || node.outputs.some((output) => output.uses.size > 0 || output.isGraphOutput)) continue;
    const inputs = node.inputs;
    const producers = new Set(inputs.map((input) => input?.producer));
    for (const [, graph] of node.subgraphs())
      for (const inner of graph.nodes) for (const input of inner.inputs) producers.add(input?.producer);
    node.graph.remove(node);
    for (const producer of producers) if (producer?.graph) queue.push(producer);
  }
}

/** Puts a new node with one output in the place of `old`: same position, node name, output name and type. */
export function replaceNode(
  old: Node,
  opType: string,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, AttributeInput | undefined>> = {},
): Node {
  const graph = graphOf(old);
  const { output } = old;
  const name = output.name;
  const node = graph.node(opType, inputs, { name: old.name, before: old, attributes });
  node.output.type = output.type;
  const wasOutput = output.isGraphOutput;
  graph.replaceAllUses(output, node.output);
  prune(old);
  if (!wasOutput && !old.graph) graph.rename(node.output, name);
  return node;
}

/** Adds a node before `at`, with one output of the given type. */
export function addNode(
  at: Node,
  opType: string,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, AttributeInput | undefined>> = {},
): Node {
  return graphOf(at).node(opType, inputs, {
    name: graphOf(at).freshName(`${at.name || at.output.name}_${opType}`),
    before: at,
    attributes,
  });
}

/** An attribute that is a float whatever its value (a plain 1 would become an int). */
export const floatAttribute = (value: number) => ({ type: "float", value }) as const;
