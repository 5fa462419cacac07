import { allGraphs, type Graph } from "../../ir/index.ts";

/** Removes nodes whose results nobody reads and initializers that nobody needs, inner graphs included. */
export function removeDeadCode(root: Graph): { nodes: number; initializers: number } {
  let [nodes, initializers] = [0, 0];
  for (const graph of [...allGraphs(root)].reverse()) {
    for (const node of [...graph.nodesReversed()]) {
      if (node.outputs.some((output) => output.uses.size > 0 || output.isGraphOutput)) continue;
      graph.remove(node);
      nodes++;
    }
  }
  for (const graph of allGraphs(root)) {
    const inputs = new Set(graph.inputs);
    for (const value of [...graph.initializers]) {
      if (value.uses.size > 0 || value.isGraphOutput || inputs.has(value)) continue;
      graph.removeInitializer(value);
      initializers++;
    }
  }
  return { nodes, initializers };
}
