import { type DataType, type Graph, isStatic, type Model, type Node, numel, type Tensor, type Value } from "../ir/index.ts";
import { readAttributes } from "./attributes.ts";
import { bytesOf } from "./cost-bytes.ts";
import type { OpDef, StaticInfo, TensorInfo } from "./define.ts";
import type { Scope, ShapeReport } from "./infer.ts";
import { lookupOp, namePorts } from "./registry.ts";
import { staticShapes } from "./static-shapes.ts";

/** What one run of a node costs. For nodes that hold graphs or call functions, with all that runs inside. */
export interface NodeCost {
  /** Multiply-accumulates. */
  readonly macs: number;
  /** Floating-point (or integer) operations; a MAC counts as two. */
  readonly flops: number;
  /** Bytes read and written, weights included, each tensor once: caches are not modelled. */
  readonly bytes: number;
  /** Elements of constant tensors that no earlier node reads, without scalars and int64 or bool constants (shapes, axes). */
  readonly parameters: number;
}
export interface CostReport {
  /** By node, those inside subgraphs included (for one pass of their graph). */
  readonly nodes: ReadonlyMap<Node, NodeCost>;
  readonly total: NodeCost;
  /** Nodes that the total leaves out or only estimates, with the reason. */
  readonly unknown: readonly { readonly node: Node; readonly reason: string }[];
}

const nothing: NodeCost = { macs: 0, flops: 0, bytes: 0, parameters: 0 };
const plus = (a: NodeCost, b: NodeCost): NodeCost => ({
  macs: a.macs + b.macs,
  flops: a.flops + b.flops,
  bytes: a.bytes + b.bytes,
  parameters: a.parameters + b.parameters,
});
const times = (a: NodeCost, runs: number): NodeCost => ({
  macs: a.macs * runs,
  flops: a.flops * runs,
  bytes: a.bytes * runs,
  parameters: a.parameters,
});

interface Count {
  readonly nodes: Map<Node, NodeCost>;
  readonly unknown: Map<Node, string>;
  readonly counted: Set<Tensor>;
}

/**
 * MACs, FLOPs, bytes moved and parameters of every node and of the whole model. `shapes` must be static to be of use; the default
 * sets free extents (the batch) to 1. Pass `staticShapes(model, { input: [8, 3, 224, 224] })` for others.
 */
export function modelCost(model: Model, shapes: ShapeReport = staticShapes(model)): CostReport {
  const count: Count = { nodes: new Map(), unknown: new Map(), counted: new Set() };
  const total = graphCost(count, shapes, model.graph);
  return { nodes: count.nodes, total, unknown: [...count.unknown].map(([node, reason]) => ({ node, reason })) };
}

function graphCost(count: Count, scope: Scope, graph: Graph): NodeCost {
  let total = nothing;
  for (const node of graph.nodes) {
    const cost = nodeCost(count, scope, node);
    count.nodes.set(node, cost);
    total = plus(total, cost);
  }
  return total;
}

function nodeCost(count: Count, scope: Scope, node: Node): NodeCost {
  const parameters = parametersOf(count, scope, node);
  const body = scope.calls.get(node);
  if (body) return plus({ ...nothing, parameters }, graphCost(count, body, body.graph));
  const op = lookupOp(node, scope.opsets);
  const unknown = (reason: string): NodeCost => {
    count.unknown.set(node, reason);
    return nothing;
  };
  const own = op ? ownCost(scope, node, op, unknown) : unknown("there is no record of this op");
  return plus({ ...own, parameters }, innerCost(count, scope, node, op, unknown));
}

function ownCost(scope: Scope, node: Node, op: OpDef, unknown: (reason: string) => NodeCost): NodeCost {
  if (scope.invalid.has(node)) return unknown("the node is invalid");
  const inputs = node.inputs.map((value) => value && staticInfo(scope.info.get(value)));
  const outputs = node.outputs.map((value) => (value.name ? staticInfo(scope.info.get(value)) : undefined));
  if (node.inputs.some((value, i) => value && !inputs[i])) return unknown("the shape of an input is not known");
  if (node.outputs.some((value, i) => value.name && !outputs[i])) return unknown("the shape of an output is not known");
  const attributes = readAttributes(op.attributes, scope.attributesOf(node), (reason) => {
    throw new Error(`internal: attributes of ${node.name} passed inference: ${reason}`);
  });
  const cost = op.cost?.(namePorts(op.inputs, inputs), namePorts(op.outputs, outputs), attributes);
  const { macs, flops, bytes } = { macs: 0, flops: elementsIn(outputs), bytes: moved(node, inputs, outputs), ...cost };
  return Number.isFinite(macs + flops + bytes) ? { macs, flops, bytes, parameters: 0 } : unknown("its rule gives no number");
}

/** Inputs are read once each, however often a node names them; outputs are written. */
function moved(node: Node, inputs: readonly (StaticInfo | undefined)[], outputs: readonly (StaticInfo | undefined)[]): number {
  const read = inputs.filter((_, i) => node.inputs.indexOf(node.inputs[i]) === i);
  return [...read, ...outputs].reduce((sum, info) => sum + bytesOf(info), 0);
}

const elementsIn = (infos: readonly (StaticInfo | undefined)[]): number =>
  infos.reduce((sum, info) => sum + (info ? numel(info.shape) : 0), 0);

const staticInfo = (info: TensorInfo | undefined): StaticInfo | undefined =>
  info && isStatic(info.shape) ? { dtype: info.dtype, shape: info.shape } : undefined;

/** One graph is a body that runs `iterations` times; several are alternatives, of which the dearest counts. */
function innerCost(
  count: Count,
  scope: Scope,
  node: Node,
  op: OpDef | undefined,
  unknown: (reason: string) => NodeCost,
): NodeCost {
  const costs = [...node.subgraphs()].map(([, graph]) => graphCost(count, scope, graph));
  const [first] = costs;
  if (!first) return nothing;
  const parameters = costs.reduce((sum, cost) => sum + cost.parameters, 0);
  if (costs.length > 1) return { ...costs.reduce((a, b) => (b.flops > a.flops ? b : a)), parameters };
  const runs = op && iterations(scope, node, op);
  if (runs === undefined) unknown("how often its body runs is not known; it is counted once");
  return times(first, runs ?? 1);
}

function iterations(scope: Scope, node: Node, op: OpDef): number | undefined {
  if (!op.iterations || scope.invalid.has(node)) return undefined;
  const inputs = namePorts(
    op.inputs,
    node.inputs.map((value) => value && scope.info.get(value)),
  );
  const attributes = readAttributes(op.attributes, scope.attributesOf(node), () => {
    throw new Error(`internal: attributes of ${node.name} passed inference`);
  });
  return op.iterations(inputs, attributes);
}

const notParameters = new Set<DataType>(["int64", "bool", "string"]);

/** Whether a constant tensor holds weights: not a scalar, and not of a type that shapes and axes have. */
export const isParameter = (tensor: Tensor): boolean => tensor.shape.length > 0 && !notParameters.has(tensor.dtype);

function parametersOf(count: Count, scope: Scope, node: Node): number {
  let sum = 0;
  for (const value of node.inputs) {
    const tensor = value && ownedConstant(scope, value);
    if (!tensor || count.counted.has(tensor) || !isParameter(tensor)) continue;
    count.counted.add(tensor);
    sum += tensor.size;
  }
  return sum;
}

/** The tensor of an initializer, or of a node that takes no inputs and holds a constant. */
function ownedConstant(scope: Scope, value: Value): Tensor | undefined {
  if (value.constant || value.sparse) return value.constant ?? value.sparse?.values;
  return value.producer?.inputs.length === 0 ? scope.info.get(value)?.constant : undefined;
}
