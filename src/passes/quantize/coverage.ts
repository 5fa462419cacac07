import { allNodes, type DataType, describeNode, isFloat, type Model, type Node } from "../../ir/index.ts";
import { type CostReport, lookupOp } from "../../ops/index.ts";
import type { Note } from "../define.ts";
import { type QdqGraph, readQdqGraph, type Unit } from "./legality/qdq-graph.ts";
import { matchNodes, type NodeMatch } from "./match-nodes.ts";
import { nodeKey } from "./plan.ts";
import type { QuantizationRow } from "./row.ts";

/**
 * "integer": computed by an integer kernel. "fused": done by the integer kernel or the quantize node of a neighbour. "table": a table
 * stored as integers. "float": computed as before.
 */
export const coverageStates = ["integer", "fused", "table", "float"] as const;
export type CoverageState = (typeof coverageStates)[number];

/** What became of one node of the float model. */
export interface NodeCoverage {
  readonly node: string;
  readonly opType: string;
  readonly state: CoverageState;
  readonly reason: string;
  /** False for arithmetic on shapes and indices: nothing to quantize. */
  readonly compute: boolean;
  /** Multiply-accumulates of one run; 0 where unknown. */
  readonly macs: number;
}

export interface CoverageReport {
  /** One entry for every node, those of inner graphs included. */
  readonly nodes: readonly NodeCoverage[];
  /** Nodes that neither run in integers nor have a reason for it: a mistake of the pass. */
  readonly missing: readonly { readonly node: string; readonly opType: string; readonly problem: string }[];
}

interface Reader {
  readonly simplified: Model;
  readonly match: NodeMatch;
  readonly units: ReadonlyMap<Node, Unit>;
  readonly fused: ReadonlyMap<Node, Node>;
  readonly skipped: Map<string, string[]>;
}

type Verdict = Pick<NodeCoverage, "state" | "reason">;

/**
 * Says of every node of the model that static quantization began with what became of it. Integer nodes are read from the quantized graph,
 * not from the pass's notes; a node left in float needs a note that says why. Types of both models must be inferred.
 */
export function accountNodes(
  simplified: Model,
  quantized: Model,
  notes: readonly Note[],
  { row, cost }: { readonly row: QuantizationRow; readonly cost: CostReport },
): CoverageReport {
  const reader = readerOf(simplified, readQdqGraph(quantized, row), notes);
  const nodes: NodeCoverage[] = [];
  const missing: { node: string; opType: string; problem: string }[] = [];
  for (const node of allNodes(simplified.graph)) {
    const name = nodeKey(node);
    const verdict = verdictOf(node, reader);
    if (typeof verdict === "string") missing.push({ node: name, opType: node.opType, problem: verdict });
    const known = typeof verdict === "string" ? ({ state: "float", reason: `unaccounted: ${verdict}` } as const) : verdict;
    nodes.push({
      node: name,
      opType: node.opType,
      ...known,
      compute: computes(node, simplified),
      macs: cost.nodes.get(node)?.macs ?? 0,
    });
  }
  return { nodes, missing };
}

function readerOf(simplified: Model, graph: QdqGraph, notes: readonly Note[]): Reader {
  const skipped = new Map<string, string[]>();
  for (const { kind, subject, message } of notes)
    if (kind === "skipped") skipped.set(subject, [...(skipped.get(subject) ?? []), message]);
  const integer = graph.units.filter((unit) => unit.integer);
  return {
    simplified,
    match: matchNodes(simplified, graph),
    units: new Map(graph.units.map((unit) => [unit.node, unit])),
    fused: new Map(integer.flatMap(({ node, clamps }) => clamps.map((clamp): [Node, Node] => [clamp, node]))),
    skipped,
  };
}

/** A text is a problem: the node has no entry. */
function verdictOf(node: Node, reader: Reader): Verdict | string {
  const { simplified, match, units, fused, skipped } = reader;
  // nodes of equal description were noted in order
  const reason = skipped.get(describeNode(node))?.shift();
  if (node.graph !== simplified.graph) return { state: "float", reason: "inside the body of another node, which stays float" };
  const anchor = match.absorbed.get(node);
  if (anchor) return { state: "fused", reason: `the quantize node after "${nodeKey(anchor)}" limits in its place` };
  const counterpart = match.counterparts.get(node);
  if (!counterpart) return "the quantized model has no such node";
  const unit = units.get(counterpart);
  if (unit?.integer)
    return {
      state: "integer",
      reason: `integer ${unit.weight ? "weights and activations" : "activations"}${reason ? `; neighbours make it so (${reason})` : ""}`,
    };
  if (storedAsIntegers(node, counterpart))
    return { state: "table", reason: "rows of an integer table, dequantized after reading" };
  const kernel = fused.get(counterpart);
  if (kernel && reason === undefined) return { state: "fused", reason: `computed with "${nodeKey(kernel)}"` };
  if (reason === undefined) return "it computes in float, and the pass says nothing about it";
  return { state: "float", reason };
}

const integers: ReadonlySet<DataType> = new Set(["int8", "uint8", "int4", "uint4"]);

/** Whether a float constant of the node has become a table of integers. */
const storedAsIntegers = (node: Node, counterpart: Node): boolean =>
  node.inputs.some((input, i) => {
    const stored = counterpart.inputs[i]?.constant;
    return input?.constant?.dtype === "float32" && stored !== undefined && integers.has(stored.dtype);
  });

/** Makes floats, or reads them as activations. */
function computes(node: Node, model: Model): boolean {
  const makesFloats = node.outputs.some(({ type }) => type && isFloat(type.dtype));
  if (makesFloats) return node.inputs.length > 0;
  const read = node.inputs[0]?.type;
  return read !== undefined && isFloat(read.dtype) && lookupOp(node, model.opsets)?.quantization !== undefined;
}

/** Counts for one line: "53 of 60 compute nodes in integers (99.2 % of MACs), 4 fused, 3 float". */
export interface CoverageSummary {
  readonly compute: number;
  readonly integer: number;
  readonly fused: number;
  readonly table: number;
  readonly float: number;
  /** Share of all multiply-accumulates that integer nodes do, 0 … 1; undefined where the model has none. */
  readonly macShare: number | undefined;
}

export function summarizeCoverage(nodes: readonly NodeCoverage[]): CoverageSummary {
  const compute = nodes.filter((node) => node.compute);
  const count = (state: CoverageState): number => compute.filter((node) => node.state === state).length;
  const macs = (list: readonly NodeCoverage[]): number => list.reduce((sum, node) => sum + node.macs, 0);
  const total = macs(nodes);
  const done = macs(nodes.filter(({ state }) => state === "integer" || state === "fused"));
  return {
    compute: compute.length,
    integer: count("integer"),
    fused: count("fused"),
    table: count("table"),
    float: count("float"),
    macShare: total > 0 ? done / total : undefined,
  };
}
