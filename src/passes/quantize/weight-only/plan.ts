import { allGraphs, type Graph, type Model, type Node, type Tensor, type Value } from "../../../ir/index.ts";
import { lookupOp, type OpDef, portIndex, readAttributes } from "../../../ops/index.ts";
import { nodeKey } from "../plan.ts";
import type { WeightKind, WeightOnlyRow } from "./row.ts";

/** One node that reads a constant matrix. */
export interface WeightUse {
  readonly node: Node;
  readonly kind: "product" | "table";
  /** The node whose input `port` is the matrix: `node` itself, or a transposition before it. */
  readonly reader: Node;
  readonly port: number;
  /** What the matrix is multiplied with, or the indices; later read `node.inputs[inputPort]`, inputs may be scaled meanwhile. */
  readonly input: Value;
  readonly inputPort: number;
  /** Added to the product. */
  readonly bias: Value | undefined;
}

/** A constant matrix and all nodes that read it along the same axis: stored once. */
export interface WeightUnit {
  readonly value: Value;
  readonly tensor: Tensor;
  /** Axis of the tensor along which outputs (or the entries of a table) lie; blocks lie along the other. */
  readonly rowAxis: 0 | 1;
  readonly rows: number;
  readonly columns: number;
  readonly uses: WeightUse[];
  /** No further product with a constant matrix follows before the graph's outputs. */
  head: boolean;
}

export interface ConvolutionWeight {
  readonly node: Node;
  readonly port: number;
  readonly value: Value;
  readonly tensor: Tensor;
  readonly channelAxis: number;
}

export interface WeightPlan {
  readonly units: readonly WeightUnit[];
  readonly convolutions: readonly ConvolutionWeight[];
  readonly skipped: readonly { readonly node: Node; readonly reason: string }[];
}

export interface PlanOptions {
  readonly row: WeightOnlyRow;
  readonly exclude: ReadonlySet<string>;
  readonly convolutions: boolean;
  readonly tables: boolean;
}

/** Shorter rows do not fill the smallest block. */
const leastColumns = 16;
/** Smaller matrices are not worth a node. */
const leastElements = 128;

type Found =
  | { readonly unit: Omit<WeightUnit, "uses" | "head">; readonly use: WeightUse }
  | ConvolutionWeight
  | string
  | undefined;

/** Constant matrices that can be stored in blocks, and for every other node why it stays as it is. */
export function planWeights(model: Model, options: PlanOptions): WeightPlan {
  const units = new Map<string, WeightUnit>();
  const convolutions: ConvolutionWeight[] = [];
  const skipped: { node: Node; reason: string }[] = [];
  const transpositions: Node[] = [];
  for (const graph of allGraphs(model.graph))
    for (const node of graph.nodes) {
      const found = graph === model.graph ? findWeight(node, model, options) : "inside a body of control flow";
      if (found === undefined) transpositions.push(node);
      else if (typeof found === "string") skipped.push({ node, reason: found });
      else if ("unit" in found) addUse(units, found.unit, found.use);
      else convolutions.push(found);
    }
  const kept = withoutFloatReaders([...units.values()], skipped);
  const readers = new Set(kept.flatMap(({ uses }) => uses.map(({ reader }) => reader)));
  for (const node of transpositions) if (!readers.has(node)) skipped.push({ node, reason: noWeights });
  markHeads(kept, model.graph);
  return { units: kept, convolutions, skipped };
}

const noWeights = "has no weights that can be stored in blocks";

/** Drops matrices that other nodes go on reading as float: they would be in the file twice. */
function withoutFloatReaders(units: readonly WeightUnit[], skipped: { node: Node; reason: string }[]): WeightUnit[] {
  const planned = new Set(units.flatMap(({ uses }) => uses.flatMap(({ node, reader }) => [node, reader])));
  return units.filter(({ value, uses }) => {
    const read = [value, ...uses.flatMap(({ node, reader }) => (reader === node ? [] : [reader.output]))];
    const other = read.flatMap((one) => [...one.uses]).find(({ node }) => !planned.has(node));
    if (!other) return true;
    const reason = `"${nodeKey(other.node)}" reads the same matrix as float, so that it would be stored twice`;
    for (const { node } of uses) skipped.push({ node, reason });
    return false;
  });
}

function addUse(units: Map<string, WeightUnit>, unit: Omit<WeightUnit, "uses" | "head">, use: WeightUse): void {
  const key = `${unit.rowAxis} ${unit.value.name}`;
  const known = units.get(key) ?? { ...unit, uses: [], head: false };
  known.uses.push(use);
  units.set(key, known);
}

function findWeight(node: Node, model: Model, options: PlanOptions): Found {
  const kind: WeightKind | undefined = node.domain === "" ? options.row.ops[node.opType] : undefined;
  const def = lookupOp(node, model.opsets);
  if (!kind || !def) return noWeights;
  if (options.exclude.has(nodeKey(node))) return "excluded";
  if (kind === "table") return findTable(node, def, options);
  if (kind === "transpose") return constantBehind(node, options.row) ? undefined : noWeights;
  const facet = def.quantization?.weight;
  if (!facet) return noWeights;
  const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
  const port = portIndex(def.inputs, facet.input);
  if (kind === "convolution") return findConvolution(node, port, facet.channelAxis(attributes, 4), options);
  return findProduct(node, def, port, attributes, options.row);
}

/** The constant that a transposition turns, where it swaps the two axes of a matrix. */
function constantBehind(node: Node | undefined, row: WeightOnlyRow): Value | undefined {
  if (node?.domain !== "" || row.ops[node.opType] !== ("transpose" satisfies WeightKind)) return undefined;
  const source = node.inputs[0];
  const order = node.ints("perm") ?? [1, 0];
  return source?.constant?.shape.length === 2 && order[0] === 1 ? source : undefined;
}

const isFixed = (value: Value): boolean => value.constant !== undefined && !value.isGraphInput && !value.isGraphOutput;

function findProduct(
  node: Node,
  def: OpDef,
  port: number,
  attributes: Readonly<Record<string, unknown>>,
  row: WeightOnlyRow,
): Found {
  const facet = def.quantization;
  const given = node.inputs[port] as Value;
  const behind = constantBehind(given.producer, row);
  const value = behind ?? given;
  const tensor = value.constant;
  const inputPort = portIndex(def.inputs, facet?.activations[0] as string);
  const input = node.inputs[inputPort] as Value;
  if (!tensor || !isFixed(value))
    return input.constant ? "its constant is the left operand" : "both operands are computed at run time";
  if (input.constant) return "all inputs are constant";
  if (tensor.dtype !== "float32" || (input.type && input.type.dtype !== "float32"))
    return `weights are ${tensor.dtype}, not float32`;
  if (tensor.shape.length !== 2) return `the constant has rank ${tensor.shape.length}, not 2`;
  if (input.type?.shape?.length === 1) return "its input is a vector";
  if (attributes.transA) return "transA is set";
  for (const name of ["alpha", "beta"]) if ((attributes[name] ?? 1) !== 1) return `${name} is ${attributes[name]}, not 1`;
  const channels = facet?.weight?.channelAxis(attributes, 2) ?? 1;
  const axis = (channels < 0 ? channels + 2 : channels) as 0 | 1;
  const rowAxis = behind ? ((1 - axis) as 0 | 1) : axis;
  const bias = facet?.weight?.bias === undefined ? undefined : node.inputs[portIndex(def.inputs, facet.weight.bias)];
  const reader = behind ? (given.producer as Node) : node;
  return matrix(value, tensor, rowAxis, { node, kind: "product", reader, port: behind ? 0 : port, input, inputPort, bias });
}

function matrix(value: Value, tensor: Tensor, rowAxis: 0 | 1, use: WeightUse): Found {
  const rows = tensor.shape[rowAxis] as number;
  const columns = tensor.shape[1 - rowAxis] as number;
  if (columns < leastColumns) return `rows of ${columns} weights are shorter than the smallest block`;
  if (rows * columns < leastElements) return `${rows * columns} weights are too few to gain from`;
  return { unit: { value, tensor, rowAxis, rows, columns }, use };
}

/** A constant table that is read by indices along its first axis (an embedding). */
function findTable(node: Node, def: OpDef, { row, tables }: PlanOptions): Found {
  const output = def.quantization?.output;
  const name = typeof output === "object" && "sameAs" in output ? output.sameAs[0] : undefined;
  const port = name === undefined ? -1 : portIndex(def.inputs, name);
  const value = node.inputs[port];
  const inputPort = node.inputs.findIndex((one, i) => i !== port && one);
  const input = node.inputs[inputPort];
  if (!value?.constant || !isFixed(value) || !input) return "has no constant table";
  if (input.constant) return "all inputs are constant";
  const tensor = value.constant;
  if (tensor.dtype !== "float32") return `the table holds ${tensor.dtype}, not float32`;
  if (!tables) return "tables are left in float (option tables)";
  if (tensor.shape.length !== 2 || node.int("axis", 0) % tensor.shape.length !== 0)
    return "only rows of tables of rank 2 can be stored in blocks";
  if (row.tables === "blocks" && input.type && !["int32", "int64"].includes(input.type.dtype))
    return "its indices are no int32 or int64";
  return matrix(value, tensor, 0, { node, kind: "table", reader: node, port, input, inputPort, bias: undefined });
}

function findConvolution(node: Node, port: number, channelAxis: number, { convolutions }: PlanOptions): Found {
  const value = node.inputs[port];
  if (!value?.constant || !isFixed(value)) return "weights are not constant";
  if (!convolutions) return "convolutions are left in float (option convolutions)";
  if (value.constant.dtype !== "float32") return `weights are ${value.constant.dtype}, not float32`;
  return { node, port, value, tensor: value.constant, channelAxis };
}

/** Marks matrices from whose products no other planned product is reached. */
function markHeads(units: readonly WeightUnit[], graph: Graph): void {
  const products = new Set(units.flatMap(({ uses }) => uses.filter(({ kind }) => kind === "product").map(({ node }) => node)));
  const leadsToProduct = new Set<Node>();
  for (const node of graph.nodesReversed())
    for (const output of node.outputs)
      for (const { node: user } of output.uses) if (products.has(user) || leadsToProduct.has(user)) leadsToProduct.add(node);
  for (const unit of units) unit.head = unit.uses.some(({ node, kind }) => kind === "product" && !leadsToProduct.has(node));
}
