import type { DataType, Model, Node, Tensor, Value } from "../../../ir/index.ts";
import { toNumbers } from "../../../ir/index.ts";
import { inferShapes, lookupOp, type OpDef, portIndex, readAttributes, type TensorInfo } from "../../../ops/index.ts";
import {
  dequantizeLinear,
  microsoftDequantizeLinear,
  microsoftQuantizeLinear,
  quantizeLinear,
} from "../../../ops/quantize-linear.ts";
import { workingOpset } from "../../upgrade-opset/index.ts";
import type { IntegerOp, QuantizationRow } from "../row.ts";

/** How integers stand for reals: real = (q - zeroPoint) * scale, entry by entry along `axis`. */
export interface Scheme {
  readonly dtype: DataType;
  readonly scales: readonly number[];
  /** As many as scales. */
  readonly zeroPoints: readonly number[];
  /** Undefined: one scale for the whole tensor; "blocks": several along an axis. */
  readonly axis: number | "blocks" | undefined;
  /** The stored integers, where the tensor is a constant. */
  readonly integers: Tensor | undefined;
}

/** One input of a node, seen through its dequantize node. */
export interface Port {
  readonly value: Value;
  /** Undefined: read as float. */
  readonly scheme: Scheme | undefined;
  readonly constant: boolean;
}

/** A node with its inputs and outputs as integer arithmetic sees them. */
export interface Unit {
  readonly node: Node;
  readonly def: OpDef | undefined;
  /** The row's entry; undefined where the target has no integer kernel. */
  readonly op: IntegerOp | undefined;
  /** By input position. */
  readonly activations: ReadonlyMap<number, Port>;
  /** `axis` is the output-channel axis. */
  readonly weight: (Port & { readonly axis: number }) | undefined;
  readonly bias: Port | undefined;
  /** Schemes of the quantize nodes that read the results, behind clamps. */
  readonly outputs: readonly Scheme[];
  readonly clamps: readonly Node[];
  /** Whether the target's integer kernel computes it: everything read is quantized, and everything written. */
  readonly integer: boolean;
}

/** A model of quantize and dequantize nodes, read back. */
export interface QdqGraph {
  readonly model: Model;
  readonly quantizers: readonly Node[];
  readonly dequantizers: readonly Node[];
  /** All other nodes of the main graph, in order. */
  readonly units: readonly Unit[];
  /** Of a quantize or dequantize node; undefined where scale or zero point are computed. */
  readonly schemeOf: (node: Node) => Scheme | undefined;
  readonly typeOf: (value: Value) => TensorInfo | undefined;
}

const quantizeRecords: readonly unknown[] = [quantizeLinear, microsoftQuantizeLinear];
const dequantizeRecords: readonly unknown[] = [dequantizeLinear, microsoftDequantizeLinear];

interface Reader {
  readonly row: QuantizationRow;
  readonly defOf: (node: Node) => OpDef | undefined;
  readonly quantizes: (node: Node | undefined) => boolean;
  readonly dequantizes: (node: Node | undefined) => boolean;
  readonly schemeOf: QdqGraph["schemeOf"];
  readonly typeOf: QdqGraph["typeOf"];
}

/** Reads the main graph; changes nothing. Files of older operator sets are read by the records of the working one. */
export function readQdqGraph(model: Model, row: QuantizationRow): QdqGraph {
  const info = inferShapes(model, { write: false, invalid: "warn" }).info;
  const opsets = new Map(model.opsets).set("", Math.max(workingOpset, model.opsets.get("") ?? 1));
  const defOf = (node: Node): OpDef | undefined => lookupOp(node, opsets);
  const typeOf = (value: Value): TensorInfo | undefined => info.get(value);
  const among = (records: readonly unknown[]) => (node: Node | undefined) => node !== undefined && records.includes(defOf(node));
  const [quantizes, dequantizes] = [among(quantizeRecords), among(dequantizeRecords)];
  const schemes = new Map<Node, Scheme | undefined>();
  const schemeOf = (node: Node): Scheme | undefined => {
    if (!schemes.has(node)) schemes.set(node, readScheme(node, typeOf));
    return schemes.get(node);
  };
  const reader: Reader = { row, defOf, quantizes, dequantizes, schemeOf, typeOf };
  const nodes = [...model.graph.nodes];
  return {
    model,
    quantizers: nodes.filter(quantizes),
    dequantizers: nodes.filter(dequantizes),
    units: nodes.filter((node) => !quantizes(node) && !dequantizes(node)).map((node) => readUnit(node, reader)),
    schemeOf,
    typeOf,
  };
}

function readScheme(node: Node, typeOf: QdqGraph["typeOf"]): Scheme | undefined {
  const [data, scale, zero] = node.inputs;
  if (!data || !scale?.constant || (zero && !zero.constant)) return undefined;
  const scales = toNumbers(scale.constant);
  const stored = typeOf(data)?.dtype.startsWith("float") ? undefined : data;
  const dtype = zero?.constant?.dtype ?? (typeOf(stored ?? node.output)?.dtype as DataType | undefined) ?? "uint8";
  const rank = typeOf(data)?.shape?.length ?? 0;
  const axis = node.int("axis", 1);
  return {
    dtype,
    scales,
    zeroPoints: zero?.constant ? toNumbers(zero.constant) : scales.map(() => 0),
    axis: scale.constant.shape.length > 1 ? "blocks" : scales.length === 1 ? undefined : axis < 0 ? axis + rank : axis,
    integers: stored?.constant,
  };
}

/** A dequantized input's scheme; constants may be stored as integers, or as floats behind a pair of their own. */
function readPort(value: Value, { dequantizes, quantizes, schemeOf }: Reader): Port {
  const dequantize = value.producer;
  if (!dequantize || !dequantizes(dequantize)) return { value, scheme: undefined, constant: value.constant !== undefined };
  const source = dequantize.inputs[0] as Value;
  const origin = quantizes(source.producer) ? source.producer?.inputs[0] : source;
  return { value, scheme: schemeOf(dequantize), constant: origin?.constant !== undefined };
}

function readUnit(node: Node, reader: Reader): Unit {
  const def = reader.defOf(node);
  const op = node.domain === "" ? reader.row.ops[node.opType] : undefined;
  const facet = def?.quantization;
  const none = { node, def, op, activations: new Map<number, Port>(), weight: undefined, bias: undefined };
  if (!def || !facet) return { ...none, outputs: [], clamps: [], integer: false };
  const weight = readWeight(node, def, reader);
  const activations = new Map<number, Port>();
  for (const name of facet.activations)
    for (const index of positionsOf(def, name, node)) {
      const value = node.inputs[index];
      if (value && !(weight && value === weight.value)) activations.set(index, readPort(value, reader));
    }
  const biasIndex = facet.weight?.bias === undefined ? -1 : portIndex(def.inputs, facet.weight.bias);
  const bias = node.inputs[biasIndex];
  const { schemes, clamps, closed } = readOutputs(node, reader);
  const read = [...activations.values(), ...(weight ? [weight] : [])];
  const quantized = read.length > 0 && read.every(({ scheme }) => scheme !== undefined);
  const integer = op !== undefined && quantized && (closed || op.floatOutput === true || facet.output === "none");
  return { ...none, activations, weight, bias: bias && readPort(bias, reader), outputs: schemes, clamps, integer };
}

function readWeight(node: Node, def: OpDef, reader: Reader): Unit["weight"] {
  const facet = def.quantization?.weight;
  const value = facet && node.inputs[portIndex(def.inputs, facet.input)];
  if (!facet || !value) return undefined;
  const port = readPort(value, reader);
  if (!port.constant) return undefined;
  const rank = reader.typeOf(value)?.shape?.length ?? port.scheme?.integers?.shape.length ?? 0;
  const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
  const axis = facet.channelAxis(attributes, rank);
  return { ...port, axis: axis < 0 ? axis + rank : axis };
}

/** Positions of a named port; of a variadic one, all. */
export function positionsOf(def: OpDef, name: string, node: Node): readonly number[] {
  const index = portIndex(def.inputs, name);
  return def.inputs[index]?.startsWith("...") ? node.inputs.map((_, i) => i).slice(index) : index < 0 ? [] : [index];
}

/** Follows sole readers that only limit the result (Relu, Clip): kernels and quantize nodes take them over. */
function readOutputs(node: Node, reader: Reader): { schemes: Scheme[]; clamps: Node[]; closed: boolean } {
  const schemes: Scheme[] = [];
  const clamps: Node[] = [];
  let closed = true;
  for (const output of node.outputs) {
    if (!output.name) continue;
    let point = output;
    for (let next = point.soleConsumer; next && limits(next, reader); next = point.soleConsumer) {
      clamps.push(next);
      point = next.output;
    }
    const readers = [...point.uses].map((use) => use.node);
    if (point.isGraphOutput || !readers.every(reader.quantizes)) closed = false;
    for (const quantize of readers.filter(reader.quantizes)) {
      const scheme = reader.schemeOf(quantize);
      if (scheme) schemes.push(scheme);
    }
  }
  return { schemes, clamps, closed };
}

function limits(node: Node, { defOf }: Reader): boolean {
  const output = defOf(node)?.quantization?.output;
  return typeof output === "object" && "clamp" in output;
}
