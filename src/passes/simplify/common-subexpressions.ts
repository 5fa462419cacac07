import { type Attribute, allGraphs, type Graph, type Model, type Node, type Value } from "../../ir/index.ts";
import { lookupOp } from "../../ops/index.ts";
import { canReplace, replaceValue } from "./edit.ts";

// Two nodes of one deterministic op with the same inputs and attributes have the same outputs: the later one goes.

/** Merges equal nodes within each graph; returns the names of the nodes that went. */
export function mergeEqualNodes(model: Model): string[] {
  const merged: string[] = [];
  for (const graph of allGraphs(model.graph)) mergeInGraph(graph, model, merged);
  return merged;
}

function mergeInGraph(graph: Graph, model: Model, merged: string[]): void {
  const ids = new Map<Value, number>();
  const seen = new Map<string, Node>();
  for (const node of graph.nodes) {
    if (!lookupOp(node, model.opsets)?.deterministic) continue;
    const key = keyOf(node, ids);
    if (key === undefined) continue;
    const earlier = seen.get(key);
    if (!earlier) {
      seen.set(key, node);
      continue;
    }
    if (!node.outputs.every((output, i) => !output.name || canReplace(output, earlier.outputs[i] as Value) === true)) continue;
    merged.push(node.name || node.output.name);
    node.outputs.forEach((output, i) => {
      if (output.name) replaceValue(output, earlier.outputs[i] as Value);
    });
  }
}

/** Text that is equal for equal calls; undefined for calls with attributes that are not compared (graphs, large tensors). */
function keyOf(node: Node, ids: Map<Value, number>): string | undefined {
  const parts = [node.domain, node.opType, node.overload, node.outputs.map((output) => (output.name ? "1" : "0")).join("")];
  for (const value of node.inputs) {
    if (value && !ids.has(value)) ids.set(value, ids.size);
    parts.push(value ? `%${ids.get(value)}` : "-");
  }
  for (const [name, attribute] of [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const text = attributeText(attribute);
    if (text === undefined) return undefined;
    parts.push(`${name}=${attribute.type}:${text}`);
  }
  return parts.join("\n");
}

function attributeText(attribute: Attribute): string | undefined {
  const { type, value } = attribute;
  if (type === "int" || type === "float" || type === "ints" || type === "floats") return String(value);
  if (type === "string" || type === "strings") return JSON.stringify(value);
  if (type === "tensor" && value.dtype !== "string" && value.byteLength <= 64)
    return `${value.dtype}[${value.shape}]${value.bytes()}`;
  return undefined;
}
