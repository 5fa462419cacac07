import type { Node } from "../../ir/index.ts";
import { describeNode } from "../../ir/index.ts";
import type { HalfPlan } from "./outcome.ts";
import { isNode } from "./wiring.ts";

/** Float32 nodes that pass tensors to each other without a cast. */
export interface Island {
  readonly nodes: readonly string[];
  /** Each once; those that lie between others have none of their own. */
  readonly reasons: readonly string[];
}

/** The float32 islands of a plan in execution order; none where everything is float32 (weights alone). */
export function islandsOf({ edges, floats, grown, half }: HalfPlan): Island[] {
  if (half.size === 0) return [];
  const parents = new Map<Node, Node>([...floats.keys()].map((node) => [node, node]));
  const rootOf = (node: Node): Node => {
    const parent = parents.get(node) as Node;
    if (parent === node) return node;
    const root = rootOf(parent);
    parents.set(node, root);
    return root;
  };
  for (const { producer, consumers } of edges.values()) {
    const ends = [producer, ...consumers.map(({ actor }) => actor)].filter((end) => end !== undefined && isNode(end));
    const [first] = ends;
    if (!first || first !== producer || !parents.has(first)) continue;
    for (const other of ends) if (parents.has(other)) parents.set(rootOf(other), rootOf(first));
  }
  const islands = new Map<Node, { nodes: string[]; reasons: Set<string> }>();
  for (const [node, reason] of floats) {
    const root = rootOf(node);
    const island = islands.get(root) ?? { nodes: [], reasons: new Set() };
    island.nodes.push(describeNode(node));
    if (!grown.has(node)) island.reasons.add(reason);
    islands.set(root, island);
  }
  return [...islands.values()].map(({ nodes, reasons }) => ({ nodes, reasons: [...reasons] }));
}
