import type { Model, Node, Tensor, Value } from "../../ir/index.ts";
import { lookupOp, type OpDef, portIndex, readAttributes } from "../../ops/index.ts";
import { type IntegerOp, integersOnly, type QuantizationRow } from "./row.ts";

/** A node that will run in integers, and which of its ports carry what. */
export interface NodePlan {
  readonly node: Node;
  readonly def: OpDef;
  readonly op: IntegerOp;
  /** Input positions quantized as activations (constants among them are quantized with their own range). */
  readonly activations: readonly number[];
  readonly weight: { readonly index: number; readonly axis: number | undefined; readonly bias: number | undefined } | undefined;
  /** Where the quantize node goes: the output, or the output of the clamps (Relu, Clip) that the quantize node replaces. */
  readonly point: Value;
  readonly clamps: readonly Node[];
  readonly limits: readonly [number, number];
}

export interface FloatNode {
  readonly node: Node;
  readonly reason: string;
}

/** A table read by row (embedding): stored as integers, rows dequantized after reading. */
export interface LookupPlan {
  readonly node: Node;
  readonly table: number;
}

export interface QuantizationPlan {
  readonly nodes: ReadonlyMap<Node, NodePlan>;
  readonly lookups: readonly LookupPlan[];
  /** Nodes that keep computing in float, with the reason. */
  readonly floats: readonly FloatNode[];
}

/** Position of the bias that the op record names; -1 where the op takes none. */
export function biasIndex({ def }: NodePlan): number {
  const name = def.quantization?.weight?.bias;
  return name === undefined ? -1 : portIndex(def.inputs, name);
}

/** How a node is named in `exclude` lists and reports. */
export const nodeKey = (node: Node): string => node.name || node.outputs.find((output) => output.name)?.name || node.opType;

/**
 * Decides which nodes run in integers on the target. Types must be inferred. Works on the main graph; nodes inside subgraphs stay float.
 * Order of decisions: what each node could do by itself, then "follow" and "move" ops only where they continue an integer region.
 */
export function planQuantization(model: Model, row: QuantizationRow, exclude: ReadonlySet<string> = new Set()): QuantizationPlan {
  const floats = new Map<Node, string>();
  const nodes = new Map<Node, NodePlan>();
  const lookups: LookupPlan[] = [];
  const producers = new Map<Value, NodePlan>();
  for (const node of model.graph.nodes) {
    const verdict = exclude.has(nodeKey(node)) ? "excluded" : planNode(node, model, row, producers);
    if (typeof verdict === "string") {
      floats.set(node, verdict);
      continue;
    }
    if ("table" in verdict) {
      lookups.push(verdict);
      continue;
    }
    nodes.set(node, verdict);
    producers.set(verdict.point, verdict);
  }
  if (!integersOnly(row)) dropDeadEnds(nodes, floats);
  for (const plan of nodes.values()) for (const clamp of plan.clamps) floats.delete(clamp);
  return { nodes, lookups, floats: [...floats].map(([node, reason]) => ({ node, reason })) };
}

function planNode(
  node: Node,
  model: Model,
  row: QuantizationRow,
  producers: ReadonlyMap<Value, NodePlan>,
): NodePlan | LookupPlan | string {
  const def = lookupOp(node, model.opsets);
  if (!def) return "unknown op";
  const facet = def.quantization;
  if (!facet) return "no integer form of this op is known";
  if (facet.output !== "none" && node.outputs[0]?.type?.dtype !== "float32")
    return `computes ${node.outputs[0]?.type?.dtype ?? "an unknown type"}, not float32`;
  const weight = facet.weight ? portIndex(def.inputs, facet.weight.input) : -1;
  const table = lookupTable(node, def);
  if (table >= 0) return { node, table };
  const op = row.ops[node.opType];
  if (!op || node.domain !== "") return `${row.name} has no integer kernel for ${node.opType}`;
  const activations = activationInputs(node, def, weight);
  return checkNode({ node, def, op, activations, weightIndex: weight, row, producers, opsets: model.opsets });
}

/** Tables smaller than this are not worth a dequantize node. */
const leastTableElements = 1024;

/** Position of the constant table of an op that picks elements of it by a run-time index (embedding); -1 when the op is none. */
function lookupTable(node: Node, def: OpDef): number {
  const output = def.quantization?.output;
  if (typeof output !== "object" || !("sameAs" in output) || output.sameAs.length !== 1) return -1;
  const index = portIndex(def.inputs, output.sameAs[0] as string);
  const table = node.inputs[index]?.constant;
  const picks = node.inputs.some((input, i) => i !== index && input && !input.constant);
  return picks && table?.dtype === "float32" && table.size >= leastTableElements ? index : -1;
}

function activationInputs(node: Node, def: OpDef, weight: number): number[] {
  const names = def.quantization?.activations ?? [];
  const found = names.flatMap((name) => {
    const index = portIndex(def.inputs, name);
    return def.inputs[index]?.startsWith("...") ? node.inputs.map((_, i) => i).slice(index) : [index];
  });
  const constantWeight = weight >= 0 && node.inputs[weight]?.constant !== undefined;
  return found.filter((index) => node.inputs[index] !== undefined && !(constantWeight && index === weight));
}

interface Candidate {
  readonly node: Node;
  readonly def: OpDef;
  readonly op: IntegerOp;
  readonly activations: readonly number[];
  readonly weightIndex: number;
  readonly row: QuantizationRow;
  readonly producers: ReadonlyMap<Value, NodePlan>;
  readonly opsets: ReadonlyMap<string, number>;
}

function checkNode(candidate: Candidate): NodePlan | string {
  const { node, def, op, activations } = candidate;
  const dynamic = activations.filter((index) => node.inputs[index]?.constant === undefined);
  if (dynamic.length === 0) return "all inputs are constant";
  for (const index of activations) {
    const type = node.inputs[index]?.type;
    if (type && type.dtype !== "float32") return `input ${index} is ${type.dtype}, not float32`;
  }
  const rank = node.inputs[activations[0] as number]?.type?.shape?.length;
  if (op.ranks && (rank === undefined || !op.ranks.includes(rank)))
    return `the integer kernel takes rank ${op.ranks.join(" or ")}, not ${rank ?? "an unknown rank"}`;
  if (op.role !== "anchor") {
    const floatInput = dynamic.find((index) => !candidate.producers.has(node.inputs[index] as Value));
    if (floatInput !== undefined)
      return `input "${node.inputs[floatInput]?.name}" is float; quantizing only this node would cost more than it saves`;
    if (op.role === "move" && dynamic.length !== activations.length) return "moves a constant together with activations";
  }
  const results = node.outputs.filter((output) => output.uses.size > 0 || output.isGraphOutput);
  if (results.length > 1) return `it has ${results.length} results, and quantize nodes are placed after the first only`;
  const weight = planWeight(candidate);
  if (typeof weight === "string") return weight;
  return { node, def, op, activations, weight, ...quantizePoint(node, op, candidate.opsets) };
}

function planWeight({ node, def, op, weightIndex, row }: Candidate): NodePlan["weight"] | string {
  const facet = def.quantization?.weight;
  if (!facet) return undefined;
  const tensor = node.inputs[weightIndex]?.constant;
  if (!tensor) {
    const alsoActivation = def.quantization?.activations.includes(facet.input);
    return alsoActivation ? undefined : "weights are not constant";
  }
  if (tensor.dtype !== "float32") return `weights are ${tensor.dtype}, not float32`;
  const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
  const axis = facet.channelAxis(attributes, tensor.shape.length);
  const resolved = axis < 0 ? axis + tensor.shape.length : axis;
  const bias = facet.bias === undefined ? -1 : portIndex(def.inputs, facet.bias);
  const problem = checkBias(node, bias, tensor, resolved, attributes);
  if (problem) return problem;
  const perChannel = row.weight.perChannel && op.perChannel !== false && tensor.shape.length > 1;
  return { index: weightIndex, axis: perChannel ? resolved : undefined, bias: node.inputs[bias] ? bias : undefined };
}

function checkBias(
  node: Node,
  bias: number,
  weight: Tensor,
  axis: number,
  attributes: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const name of ["alpha", "beta"])
    if ((attributes[name] ?? 1) !== 1) return `${name} is ${attributes[name]}; the integer kernel needs 1`;
  const value = bias >= 0 ? node.inputs[bias] : undefined;
  if (!value) return undefined;
  if (!value.constant) return "the bias is not constant";
  if (value.constant.shape.length !== 1 || value.constant.shape[0] !== weight.shape[axis])
    return `the bias has shape [${value.constant.shape}], not one entry per channel`;
  return undefined;
}

/** Follows sole consumers that only limit the output, so that the quantize node's own saturation can replace them. */
function quantizePoint(
  node: Node,
  op: IntegerOp,
  opsets: ReadonlyMap<string, number>,
): Pick<NodePlan, "point" | "clamps" | "limits"> {
  let point = node.output;
  let limits: readonly [number, number] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const clamps: Node[] = [];
  while (op.role !== "move") {
    const next = point.soleConsumer;
    const range = next && clampRange(next, opsets);
    if (!next || !range || next.inputs[0] !== point || next.graph !== node.graph) break;
    clamps.push(next);
    limits = [Math.max(limits[0], range[0]), Math.min(limits[1], range[1])];
    point = next.output;
  }
  return { point, clamps, limits };
}

export function clampRange(node: Node, opsets: ReadonlyMap<string, number>): readonly [number, number] | undefined {
  const output = lookupOp(node, opsets)?.quantization?.output;
  if (typeof output !== "object" || !("clamp" in output)) return undefined;
  const constants = node.inputs.map((input) => scalar(input?.constant));
  if (node.inputs.some((input, i) => i > 0 && input && constants[i] === undefined)) return undefined;
  return output.clamp(constants);
}

function scalar(tensor: Tensor | undefined): number | undefined {
  if (!tensor || tensor.size !== 1 || tensor.dtype !== "float32") return undefined;
  return new DataView(tensor.bytes().buffer, tensor.bytes().byteOffset).getFloat32(0, true);
}

/** "follow" and "move" nodes that end in float anyway gain nothing and lose accuracy: they go back to float, last first. */
function dropDeadEnds(nodes: Map<Node, NodePlan>, floats: Map<Node, string>): void {
  for (const [node, plan] of [...nodes].reverse()) {
    if (plan.op.role === "anchor" || shrinks(plan)) continue;
    const feedsInteger = [...plan.point.uses].some(({ node: user, index }) => nodes.get(user)?.activations.includes(index));
    if (feedsInteger) continue;
    nodes.delete(node);
    floats.set(node, "only float nodes read its result");
  }
}

/** Pools and means read more than they write: worth running in integers even at the end of a region. */
function shrinks({ node, activations }: NodePlan): boolean {
  const size = (value: Value | undefined): number =>
    value?.type?.shape?.reduce<number>((product, dim) => product * (typeof dim === "number" ? dim : 1), 1) ?? 0;
  return size(node.outputs[0]) < size(node.inputs[activations[0] as number]);
}
