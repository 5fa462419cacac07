import {
  type Attribute,
  type Dim,
  definedValues,
  describeNode,
  type Graph,
  type Model,
  type ModelFunction,
  type Node,
  type TensorType,
  type Value,
} from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { readAttributes } from "./attributes.ts";
import type { Call, OpDef, TensorInfo } from "./define.ts";
import { bindInputs } from "./infer-inputs.ts";
import { checked, constantInfo, mergeTypes } from "./infer-merge.ts";
import { lookupOp, namePorts } from "./registry.ts";

export interface InferOptions {
  /** Replaces the declared shape of graph inputs; symbols that a given shape fixes are fixed everywhere. */
  readonly inputShapes?: Readonly<Record<string, readonly Dim[]>>;
  /** What a node that breaks its op's rules does: "throw" (default) an EdgewrightError, or "warn" and go on without its shapes. */
  readonly invalid?: "throw" | "warn";
  /** False leaves `value.type` as it is, so that the model does not change. */
  readonly write?: boolean;
}

/** What is known inside one graph with its subgraphs, or inside one call of a model-local function. */
export interface Scope {
  readonly opsets: ReadonlyMap<string, number>;
  readonly info: Map<Value, TensorInfo>;
  /** Calls of model-local functions: what is known in the body for this very call. */
  readonly calls: Map<Node, FunctionScope>;
  /** Nodes that break their op's rules (under `invalid: "warn"`). */
  readonly invalid: Set<Node>;
  /** Attributes of a node with references to the function's attributes resolved. */
  readonly attributesOf: (node: Node) => ReadonlyMap<string, Attribute>;
}
export interface FunctionScope extends Scope {
  readonly graph: Graph;
}

export interface ShapeReport extends Scope {
  /** Ops without a record, as "domain.Type" (standard domain: "Type"); each once. */
  readonly unknownOps: readonly string[];
  /** Declared types that contradict inferred ones, and invalid nodes under `invalid: "warn"`. */
  readonly warnings: readonly string[];
}

/**
 * Visits of nodes in all: loops infer their bodies more than once and functions once a call, which hostile nesting multiplies. Real
 * models stay far below ten visits a node.
 */
const maxVisits = (model: Model): number => Math.max(200_000, 10 * model.graph.nodeCount);
const maxDepth = 64;

interface Run {
  readonly model: Model;
  readonly invalid: "throw" | "warn";
  readonly unknownOps: Set<string>;
  readonly warnings: Set<string>;
  readonly declared: Map<Value, TensorType | undefined>;
  readonly bindings: Readonly<Record<string, Dim>>;
  /** Inputs were given shapes, so declared inner shapes may be stale: they fill gaps but do not contradict. */
  readonly overridden: boolean;
  readonly maxVisits: number;
  visits: number;
  depth: number;
}

/**
 * Infers dtype and shape of every value, in order, through subgraphs and model-local functions, and writes them to `value.type`
 * (of the graph inputs too, where `inputShapes` changes them; values inside function bodies are left alone). Declared types fill
 * what cannot be inferred. Throws EdgewrightError for unknown names in `inputShapes` and for invalid nodes.
 */
export function inferShapes(model: Model, options: InferOptions = {}): ShapeReport {
  const inputs = bindInputs(model.graph, options.inputShapes ?? {});
  const run: Run = {
    model,
    invalid: options.invalid ?? "throw",
    unknownOps: new Set(),
    warnings: new Set(),
    declared: new Map(),
    bindings: inputs.bindings,
    overridden: inputs.overridden,
    maxVisits: maxVisits(model),
    visits: 0,
    depth: 0,
  };
  const scope: Scope = {
    opsets: model.opsets,
    info: new Map(),
    calls: new Map(),
    invalid: new Set(),
    attributesOf: (node) => node.attributes,
  };
  inferGraph(run, scope, model.graph, inputs.types);
  if (options.write !== false)
    for (const [value, { dtype, shape }] of scope.info) if (!value.constant) value.type = { dtype, shape };
  return { ...scope, unknownOps: [...run.unknownOps].sort(), warnings: [...run.warnings] };
}

function inferGraph(
  run: Run,
  scope: Scope,
  graph: Graph,
  inputs: readonly (TensorInfo | undefined)[],
): readonly (TensorInfo | undefined)[] {
  if (++run.depth > maxDepth)
    throw new EdgewrightError("SHAPE_DEPTH", `Graph "${graph.name}" is nested more than ${maxDepth} levels deep.`);
  for (const value of graph.initializers) setInfo(scope, value, constantInfo(value));
  graph.inputs.forEach((value, i) => {
    if (!value.constant) setInfo(scope, value, settle(run, value, inputs[i]));
  });
  for (const node of graph.nodes) inferNode(run, scope, node);
  run.depth--;
  return graph.outputs.map((value) => scope.info.get(value));
}

function setInfo(scope: Scope, value: Value, info: TensorInfo | undefined): void {
  if (info) scope.info.set(value, info);
  else scope.info.delete(value);
}

/** Inferred facts of a value, completed by its declared type. */
function settle(run: Run, value: Value, inferred: TensorInfo | undefined): TensorInfo | undefined {
  if (!run.declared.has(value)) run.declared.set(value, value.type);
  const declared = run.declared.get(value);
  const merged = mergeTypes(declared, inferred, run.bindings);
  if (merged.contradiction && !run.overridden)
    run.warnings.add(`Value "${value.name}" is declared ${merged.contradiction}; the inferred type is used.`);
  return merged.info;
}

function inferNode(run: Run, scope: Scope, node: Node): void {
  const outputs = run.visits++ < run.maxVisits ? inferOutputs(run, scope, node) : tooMany(run);
  node.outputs.forEach((value, i) => {
    if (value.name) setInfo(scope, value, settle(run, value, outputs[i]));
  });
}

function tooMany(run: Run): readonly undefined[] {
  run.warnings.add(`Shape inference stopped after ${run.maxVisits} node visits; the shapes of the remaining nodes are unknown.`);
  return [];
}

class InvalidNode extends Error {}

function inferOutputs(run: Run, scope: Scope, node: Node): readonly (TensorInfo | undefined)[] {
  const reject = (reason: string): never => {
    throw new InvalidNode(reason);
  };
  try {
    const body = findFunction(run.model, node);
    if (body) return inferFunction(run, scope, node, body, reject);
    const op = lookupOp(node, scope.opsets);
    return op ? inferOp(run, scope, node, op, reject) : inferUnknown(run, scope, node);
  } catch (error) {
    if (!(error instanceof InvalidNode)) throw error;
    const message = `${describeNode(node)} is invalid: ${error.message}.`;
    if (run.invalid === "throw") throw new EdgewrightError("SHAPE_INVALID", message, { subject: describeNode(node) });
    run.warnings.add(message);
    scope.invalid.add(node);
    return [];
  }
}

function inferUnknown(run: Run, scope: Scope, node: Node): readonly undefined[] {
  run.unknownOps.add(node.domain ? `${node.domain}.${node.opType}` : node.opType);
  // Its subgraphs may hold ops that are known.
  for (const [, graph] of node.subgraphs()) inferGraph(run, scope, graph, []);
  return [];
}

function inferOp(
  run: Run,
  scope: Scope,
  node: Node,
  op: OpDef,
  reject: (reason: string) => never,
): readonly (TensorInfo | undefined)[] {
  const raw = scope.attributesOf(node);
  const inputs = node.inputs.map((value) => value && scope.info.get(value));
  if (!hasRequired(op, node, inputs, reject)) {
    for (const [, graph] of node.subgraphs()) inferGraph(run, scope, graph, []);
    return [];
  }
  const call: Call = {
    attributes: readAttributes(op.attributes, raw, reject) as Call["attributes"],
    raw,
    outputCount: node.outputs.length,
    wants: (output) => Boolean(node.outputs[output]?.name),
    inferGraph: (graph, values) => inferGraph(run, scope, graph, values),
    reject,
  };
  const named = op.infer(namePorts(op.inputs, inputs), call);
  return positional(op.outputs, named, node.outputs.length).map((info, i) =>
    checked(info, (reason) => reject(`output ${i} ${reason}`)),
  );
}

/** Rejects missing inputs; false when an input is there of which nothing is known (an unknown op made it). */
function hasRequired(
  op: OpDef,
  node: Node,
  inputs: readonly (TensorInfo | undefined)[],
  reject: (reason: string) => never,
): boolean {
  let known = true;
  op.inputs.forEach((port, i) => {
    if (port.startsWith("...")) return;
    if (!node.inputs[i] && !port.endsWith("?")) reject(`its input "${port}" is missing`);
    if (node.inputs[i] && !inputs[i]) known = false;
  });
  return known;
}

export function positional(
  ports: readonly string[],
  named: Readonly<Record<string, unknown>>,
  count: number,
): readonly (TensorInfo | undefined)[] {
  const list = ports.flatMap((port): (TensorInfo | undefined)[] => {
    if (port.startsWith("...")) return [...((named[port.slice(3)] as (TensorInfo | undefined)[]) ?? [])];
    return [named[port.replace(/\?$/, "")] as TensorInfo | undefined];
  });
  return Array.from({ length: count }, (_, i) => list[i]);
}

const findFunction = (model: Model, node: Node): ModelFunction | undefined =>
  model.functions.find((f) => f.name === node.opType && f.domain === node.domain && f.overload === node.overload);

function inferFunction(
  run: Run,
  outer: Scope,
  node: Node,
  body: ModelFunction,
  reject: (reason: string) => never,
): readonly (TensorInfo | undefined)[] {
  if (run.depth >= maxDepth) reject(`function "${body.name}" calls itself, or calls are nested more than ${maxDepth} deep`);
  const given = new Map([...body.attributeDefaults, ...outer.attributesOf(node)]);
  const scope: FunctionScope = {
    graph: body.graph,
    opsets: body.opsets,
    info: new Map(),
    calls: new Map(),
    invalid: new Set(),
    attributesOf: (inner) => resolveReferences(inner, given),
  };
  outer.calls.set(node, scope);
  return inferGraph(
    run,
    scope,
    body.graph,
    node.inputs.map((value) => value && outer.info.get(value)),
  );
}

function resolveReferences(node: Node, given: ReadonlyMap<string, Attribute>): ReadonlyMap<string, Attribute> {
  const resolved = new Map<string, Attribute>();
  for (const [name, attribute] of node.attributes) {
    const actual = attribute.type === "reference" ? given.get(attribute.value) : attribute;
    if (actual) resolved.set(name, actual);
  }
  return resolved;
}

/** Values of a graph (without inner graphs and function bodies) whose shape is not fully static. */
export function* valuesWithoutStaticShape(graph: Graph, info: ReadonlyMap<Value, TensorInfo>): Generator<Value> {
  for (const value of definedValues(graph)) {
    const shape = info.get(value)?.shape;
    if (!shape?.every((dim) => typeof dim === "number")) yield value;
  }
}
