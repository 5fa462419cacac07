import type { Model, Node, Value } from "../../ir/index.ts";
import { modelCost } from "../../ops/cost.ts";
import { nodeKey, type QuantizationPlan } from "../../passes/quantize/plan.ts";

/**
 * Groups of nodes that may go back to float together: by kind, all of them, and those behind the last layers
 * (where a detection head joins boxes and scores, say); and the last layers themselves, whose results the task reads as they are.
 */
export function suspects(plan: QuantizationPlan): Map<string, string[]> {
  const kinds = new Map<string, string[]>();
  const add = (kind: string, node: Node): void => void kinds.set(kind, [...(kinds.get(kind) ?? []), nodeKey(node)]);
  const others = [...plan.nodes.values()].filter(({ op }) => op.role !== "anchor");
  for (const { node, op } of others) if (op.role === "follow" || op.sameScale) add(node.opType, node);
  const tail = others.filter(({ point }) => !reachesLayer(point, plan));
  if (kinds.size > 1)
    kinds.set(
      "all but linear ops",
      others.map(({ node }) => nodeKey(node)),
    );
  if (tail.length > 0 && tail.length < others.length)
    kinds.set(
      "everything behind the last layers",
      tail.map(({ node }) => nodeKey(node)),
    );
  const layers = [...plan.nodes.values()].filter(({ op }) => op.role === "anchor");
  const last = layers.filter(({ point }) => !reachesLayer(point, plan));
  if (last.length < layers.length)
    kinds.set(
      "last layers",
      last.map(({ node }) => nodeKey(node)),
    );
  return kinds;
}

/** Whether a layer with weights reads the value, directly or through other ops. */
function reachesLayer(value: Value, plan: QuantizationPlan, seen = new Set<Value>()): boolean {
  if (seen.has(value)) return false;
  seen.add(value);
  return [...value.uses].some(
    ({ node }) => plan.nodes.get(node)?.op.role === "anchor" || node.outputs.some((output) => reachesLayer(output, plan, seen)),
  );
}

/** Roughly what part of the model's time nodes take, 0 to 1: the mean of their shares of multiply-accumulates and of bytes moved. */
export function workShares(model: Model): (keys: readonly string[]) => number {
  const { nodes, total } = modelCost(model);
  const share = new Map(
    [...nodes].map(([node, { macs, bytes }]) => [
      nodeKey(node),
      macs / Math.max(1, total.macs) / 2 + bytes / Math.max(1, total.bytes) / 2,
    ]),
  );
  return (keys) => [...new Set(keys)].reduce((sum, key) => sum + (share.get(key) ?? 0), 0);
}
