import { fail } from "../../util/errors.ts";
import type { GraphProto, NodeProto } from "./protos.ts";

const captured = new WeakMap<GraphProto, ReadonlySet<string>>();

const innerGraphs = (node: NodeProto): GraphProto[] =>
  (node.attribute ?? []).flatMap((attribute) => [...(attribute.g ? [attribute.g] : []), ...(attribute.graphs ?? [])]);

/** Names that a graph defines itself. */
export function definedNames(graph: GraphProto): Set<string> {
  const names = new Set<string>();
  for (const input of graph.input ?? []) names.add(input.name ?? "");
  for (const tensor of graph.initializer ?? []) names.add(tensor.name ?? "");
  for (const sparse of graph.sparseInitializer ?? []) names.add(sparse.values?.name ?? "");
  for (const node of graph.node ?? []) for (const output of node.output ?? []) names.add(output);
  names.delete("");
  return names;
}

/** Names that a graph reads from the graphs around it. */
function capturedNames(graph: GraphProto): ReadonlySet<string> {
  const known = captured.get(graph);
  if (known) return known;
  const own = definedNames(graph);
  const free = new Set<string>();
  const read = (name: string | undefined) => {
    if (name && !own.has(name)) free.add(name);
  };
  for (const node of graph.node ?? []) for (const name of readNames(node)) read(name);
  for (const output of graph.output ?? []) read(output.name);
  captured.set(graph, free);
  return free;
}

/** Everything a node reads: its inputs, and what its graphs capture. */
function readNames(node: NodeProto): readonly string[] {
  const graphs = innerGraphs(node);
  if (graphs.length === 0) return node.input ?? [];
  return [...(node.input ?? []), ...graphs.flatMap((graph) => [...capturedNames(graph)])];
}

const describeProto = (node: NodeProto): string => `${node.opType ?? "?"} "${node.name || node.output?.[0] || "?"}"`;

/**
 * Nodes in execution order: as they are when every value is defined before it is read, else sorted, keeping the file's order where
 * possible. Undefined values and cycles are errors. `isOuter` says which names exist before the first node runs.
 */
export function orderNodes(nodes: readonly NodeProto[], isOuter: (name: string) => boolean): readonly NodeProto[] {
  const makers = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const output of node.output ?? []) if (output) makers.set(output, i);
  });
  let ordered = true;
  nodes.forEach((node, i) => {
    for (const name of readNames(node)) {
      const maker = name ? makers.get(name) : -1;
      if (maker === undefined && !isOuter(name)) undefinedValue(name, describeProto(node));
      if (maker !== undefined && maker >= i) ordered = false;
    }
  });
  return ordered ? nodes : sort(nodes, makers);
}

export function undefinedValue(name: string, reader: string): never {
  fail("ONNX_UNDEFINED_VALUE", `${reader} reads "${name}", which nothing in the model defines.`, {
    subject: name,
    hint: "The file is incomplete, or a part was cut out of it without its weights.",
  });
}

/** Depth first from each node in file order, with a stack of our own: chains may be longer than the call stack. */
function sort(nodes: readonly NodeProto[], makers: ReadonlyMap<string, number>): NodeProto[] {
  const needs = nodes.map((node) => {
    const indices = readNames(node).map((name) => makers.get(name));
    return [...new Set(indices.filter((index) => index !== undefined))];
  });
  const state = new Uint8Array(nodes.length); // 0 new, 1 on the stack, 2 done
  const sorted: NodeProto[] = [];
  for (let root = 0; root < nodes.length; root++) {
    if (state[root]) continue;
    const stack = [{ index: root, next: 0 }];
    state[root] = 1;
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const need = needs[top.index]?.[top.next++];
      if (need === undefined) {
        state[top.index] = 2;
        sorted.push(nodes[top.index] as NodeProto);
        stack.pop();
      } else if (state[need] === 1)
        cycle(
          nodes,
          stack.map(({ index }) => index),
          need,
        );
      else if (state[need] === 0) {
        state[need] = 1;
        stack.push({ index: need, next: 0 });
      }
    }
  }
  return sorted;
}

function cycle(nodes: readonly NodeProto[], stack: readonly number[], back: number): never {
  const ring = [...stack.slice(stack.indexOf(back)), back].map((index) => describeProto(nodes[index] as NodeProto));
  const shown = ring.length > 6 ? [...ring.slice(0, 3), "...", ...ring.slice(-2)] : ring;
  fail("ONNX_CYCLE", `The graph runs in a circle: ${shown.join(" needs ")}.`, { subject: ring[0] ?? "" });
}
