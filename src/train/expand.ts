import type { Graph, Node, Value } from "../ir/index.ts";
import type { GraphBuilder } from "../ops/builder.ts";
import { namePorts, readAttributes } from "../ops/index.ts";
import { recordOf } from "../ops/infer-node.ts";

/** How deep expansions may use ops that are expanded themselves. */
const maxRounds = 8;

/**
 * Replaces every node whose gradient is defined by an expansion by the equal nodes that it names, in place. Types must be inferred and
 * static. `keep` leaves nodes as they are (nodes that no gradient passes through).
 */
export function expandComposites(b: GraphBuilder, keep: (node: Node) => boolean = () => false): void {
  const kept = new Set<Node>();
  for (let round = 0; round < maxRounds; round++) {
    const expandable = [...b.graph.nodes].filter(
      (node) => typeof recordOf(node, b.opsets).gradient === "object" && !kept.has(node) && !keep(node),
    );
    if (expandable.length === 0) return;
    for (const node of expandable) if (!expandNode(b, node)) kept.add(node);
  }
}

/** False where the node is to stay as it is. */
function expandNode(b: GraphBuilder, node: Node): boolean {
  const def = recordOf(node, b.opsets);
  if (typeof def.gradient !== "object") return false;
  const { expand } = def.gradient;
  const wanted = namePorts(
    def.outputs,
    node.outputs.map((output) => (output.name ? output : undefined)),
  ) as Readonly<Record<string, Value | undefined>>;
  const results = b.before(node, () =>
    expand({
      b,
      inputs: namePorts(def.inputs, node.inputs),
      attributes: readAttributes(def.attributes, node.attributes, (reason) => {
        throw new Error(`internal: ${reason}`);
      }),
      wants: (output) => wanted[output] !== undefined,
    }),
  ) as Readonly<Record<string, Value | undefined>> | undefined;
  if (!results) return false;
  for (const [port, old] of Object.entries(wanted)) {
    if (!old || (old.uses.size === 0 && !old.isGraphOutput)) continue;
    const made = results[port];
    if (!made) throw new Error(`internal: the expansion of ${node.opType} does not give its output "${port}"`);
    (node.graph as Graph).replaceAllUses(old, made);
  }
  (node.graph as Graph).remove(node);
  return true;
}
