import { allGraphs, type Graph, type Model, type Node, type Value } from "../ir/index.ts";
import type { TensorInfo } from "../ops/index.ts";
import { invariant } from "../util/errors.ts";

/** What a rule may ask beside the nodes themselves. */
export interface RuleContext {
  readonly model: Model;
  /** What shape inference knows of a value, as of the last inference; values made since are unknown. */
  readonly info: (value: Value) => TensorInfo | undefined;
}

/** A local rewrite. `match` finds the structure, `check` decides whether the algebra holds, `rewrite` edits the graph. */
export interface RuleSpec<M> {
  readonly name: string;
  readonly summary: string;
  /** Types of standard ops at which the pattern is looked for (its last node). */
  readonly anchors: readonly string[];
  readonly match: (node: Node, context: RuleContext) => M | undefined;
  /** `true`, or why the pattern must stay as it is; shown by `--explain`. */
  readonly check?: (match: M, context: RuleContext) => true | string;
  readonly rewrite: (match: M, context: RuleContext) => void;
}
export type Rule = RuleSpec<unknown>;

export const defineRule = <M>(spec: RuleSpec<M>): Rule => spec as unknown as Rule;

export interface RewriteEvents {
  readonly fired: (rule: Rule, subject: string) => void;
  /** The structure matched, the check declined. Reported once per node and rule, for what is left at the end. */
  readonly declined?: (rule: Rule, node: Node, reason: string) => void;
}

/** Rewrites of one graph beyond this many per node can only come from rules that undo each other. */
const maxRewritesPerNode = 50;

/** Applies rules to a model's graphs, inner ones included, until none fires. Returns the number of rewrites. */
export function applyRules(rules: readonly Rule[], context: RuleContext, events: RewriteEvents): number {
  const byAnchor = indexByAnchor(rules);
  const declined = new Map<Node, Map<Rule, string>>();
  let total = 0;
  for (const graph of [...allGraphs(context.model.graph)]) {
    let left = 100 + maxRewritesPerNode * graph.nodeCount;
    for (let fired = -1; fired !== 0; total += fired) {
      fired = sweep(graph, byAnchor, context, events, declined);
      left -= fired;
      invariant(left > 0, `rewriting graph ${graph.name} does not come to an end`);
    }
  }
  for (const [node, reasons] of declined)
    if (node.graph) for (const [rule, reason] of reasons) events.declined?.(rule, node, reason);
  return total;
}

function indexByAnchor(rules: readonly Rule[]): ReadonlyMap<string, readonly Rule[]> {
  const index = new Map<string, Rule[]>();
  for (const rule of rules) {
    for (const anchor of rule.anchors) {
      const list = index.get(anchor) ?? [];
      list.push(rule);
      index.set(anchor, list);
    }
  }
  return index;
}

/** One visit of every node in execution order. A node that survives its own rewrite is asked again in the next sweep. */
function sweep(
  graph: Graph,
  byAnchor: ReadonlyMap<string, readonly Rule[]>,
  context: RuleContext,
  events: RewriteEvents,
  declined: Map<Node, Map<Rule, string>>,
): number {
  let fired = 0;
  for (const node of graph.nodes) {
    if (node.domain !== "") continue;
    for (const rule of byAnchor.get(node.opType) ?? []) {
      const match = rule.match(node, context);
      if (match === undefined) continue;
      const verdict = rule.check?.(match, context) ?? true;
      if (verdict !== true) {
        if (events.declined) remember(declined, node, rule, verdict);
        continue;
      }
      declined.delete(node);
      const subject = `${node.opType} "${node.name || node.outputs[0]?.name}"`;
      rule.rewrite(match, context);
      events.fired(rule, subject);
      fired++;
      if (node.graph !== graph) break;
    }
  }
  return fired;
}

function remember(declined: Map<Node, Map<Rule, string>>, node: Node, rule: Rule, reason: string): void {
  const reasons = declined.get(node) ?? new Map<Rule, string>();
  reasons.set(rule, reason);
  declined.set(node, reasons);
}
