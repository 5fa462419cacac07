import { type Model, type Node, type Tensor, tensorOf, toFloat32, toNumbers, type Value } from "../../ir/index.ts";
import { lookupOp, portIndex } from "../../ops/index.ts";
import { type Port, type QdqGraph, readQdqGraph, type Scheme, type Unit } from "../../passes/quantize/legality/qdq-graph.ts";
import type { NodeMatch } from "../../passes/quantize/match-nodes.ts";
import { channelLayout, clamp, roundEven } from "../../passes/quantize/parameters.ts";
import { nodeKey } from "../../passes/quantize/plan.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { type Grid, integerRange } from "./integers.ts";
import { behindPairs, matchModels, pairsOf } from "./match.ts";

/** A quantized activation and the float value that it stands for. */
export interface WatchedTensor {
  /** The QuantizeLinear node of the quantized model. */
  readonly quantizer: Node;
  readonly grid: Grid;
  /** In the reference model. */
  readonly reference: Value;
  /** Key of the node whose result it is; null for model inputs. */
  readonly producer: string | null;
}

export interface WatchedWeight {
  readonly value: Value;
  /** Position among the node's inputs. */
  readonly index: number;
  readonly scheme: Scheme & { readonly integers: Tensor };
  /** The float weights. */
  readonly tensor: Tensor;
}

/** A node that computes on integers, with the float node that it stands for. */
export interface WatchedLayer {
  readonly key: string;
  readonly unit: Unit;
  readonly node: Node;
  readonly float: Node;
  /** By input position. */
  readonly inputs: ReadonlyMap<number, WatchedTensor>;
  /** Undefined where the result is float. */
  readonly output: WatchedTensor | undefined;
  /** What the result stands for in the reference model: behind clamps that the quantize node has taken over. */
  readonly point: Value;
  readonly weight: WatchedWeight | undefined;
}

/** A table stored as integers, of which rows are read and then dequantized. */
export interface WatchedTable {
  readonly key: string;
  readonly node: Node;
  readonly float: Node;
  /** Position of the table among the node's inputs. */
  readonly index: number;
  readonly tensor: Tensor;
  readonly dequantizer: Node;
  readonly scheme: Scheme & { readonly integers: Tensor };
}

/** A quantized model beside the float model that it was made of. */
export interface Pairing {
  readonly reference: Model;
  readonly quantized: QdqGraph;
  readonly match: NodeMatch;
  /** In execution order. */
  readonly layers: readonly WatchedLayer[];
  readonly tensors: readonly WatchedTensor[];
  readonly tables: readonly WatchedTable[];
  /** Integer nodes that cannot be compared, with the reason. */
  readonly unmatched: readonly { readonly node: string; readonly opType: string; readonly reason: string }[];
}

const rescaledWeights = "its weights are not the float model's rounded: equalized, smoothed or trained since";

/** Whether a unit computes on integers, on this target or on the one that its file was made for. */
function isLayer({ activations, weight, outputs, integer }: Unit): boolean {
  const read = [...activations.values(), ...(weight ? [weight] : [])];
  const quantized = read.length > 0 && read.every(({ scheme }) => scheme !== undefined);
  const dynamic = [...activations.values()].some(({ constant }) => !constant);
  return (quantized && dynamic && (integer || outputs.length > 0)) || weight?.scheme?.integers !== undefined;
}

/** Finds every integer node of a model in QDQ form and the float node and values that it stands for. */
export function pairModels(reference: Model, quantized: Model, row: QuantizationRow): Pairing {
  const graph = readQdqGraph(quantized, row);
  const match = matchModels(reference, graph);
  return new Pairer(reference, graph, match, row).pairing();
}

class Pairer {
  readonly #reference: Model;
  readonly #graph: QdqGraph;
  readonly #match: NodeMatch;
  readonly #guard: string | undefined;
  readonly #pairs: ReadonlySet<Node>;
  readonly #floats: ReadonlyMap<Node, Node>;
  readonly #tensors = new Map<Node, WatchedTensor | undefined>();
  /** Values of the reference model that the quantized model holds in another scale. */
  readonly #foreign = new Set<Value>();
  #loneStranger = false;

  constructor(reference: Model, graph: QdqGraph, match: NodeMatch, row: QuantizationRow) {
    this.#reference = reference;
    this.#graph = graph;
    this.#match = match;
    this.#guard = row.guard?.opType;
    this.#pairs = pairsOf(graph);
    this.#floats = new Map([...match.counterparts].map(([float, node]) => [node, float]));
  }

  pairing(): Pairing {
    this.#loneStranger = this.#strangers() === 1;
    const layers: WatchedLayer[] = [];
    const unmatched: { node: string; opType: string; reason: string }[] = [];
    for (const unit of this.#graph.units) {
      const float = this.#floats.get(unit.node);
      const layer = isLayer(unit) ? this.#layer(unit, float) : undefined;
      if (typeof layer === "string") unmatched.push({ node: nodeKey(unit.node), opType: unit.node.opType, reason: layer });
      else if (layer) layers.push(layer);
      if (float && layer === rescaledWeights) this.#mark(float);
      else if (float && !unit.weight && float.inputs.some((input) => input && this.#foreign.has(input))) this.#mark(float);
    }
    const tables = this.#graph.units.flatMap(({ node }) => this.#table(node) ?? []);
    const tensors = this.#graph.quantizers.flatMap((node) => this.#tensor(node) ?? []);
    return { reference: this.#reference, quantized: this.#graph, match: this.#match, layers, tensors, tables, unmatched };
  }

  /**
   * How many nodes have other weights than the float model's rounded. Equalization moves scales between layers and training changes all,
   * so one alone is a mistake in its scales, and its effect is wanted.
   */
  #strangers(): number {
    return this.#graph.units.filter((unit) => {
      const float = this.#floats.get(unit.node);
      return float && isLayer(unit) && this.#weight(unit, float) === rescaledWeights;
    }).length;
  }

  #table(node: Node): WatchedTable | undefined {
    const float = this.#floats.get(node);
    const index = node.inputs.findIndex((input, i) => input?.constant && float?.inputs[i]?.constant?.dtype === "float32");
    const [integers, tensor] = [node.inputs[index]?.constant, float?.inputs[index]?.constant];
    const dequantizer = [...(node.outputs[0]?.uses ?? [])]
      .map((use) => use.node)
      .find((one) => this.#graph.dequantizers.includes(one));
    const scheme = dequantizer && this.#graph.schemeOf(dequantizer);
    if (!float || !integers || !tensor || !scheme || integers.dtype === "float32" || `${integers.shape}` !== `${tensor.shape}`)
      return undefined;
    return { key: nodeKey(float), node, float, index, tensor, dequantizer, scheme: { ...scheme, integers } };
  }

  #mark(float: Node): void {
    for (const output of float.outputs) {
      this.#foreign.add(output);
      this.#foreign.add(this.#point(output));
    }
  }

  /** Behind clamps that the quantize node has taken over. */
  #point(value: Value): Value {
    let point = value;
    for (let next = point.soleConsumer; next && this.#match.absorbed.has(next); next = point.soleConsumer) point = next.output;
    return point;
  }

  /** The value of the reference model that a value of the quantized one stands for. */
  #referenceOf(value: Value | undefined): Value | undefined {
    const source = behindPairs(value, this.#pairs);
    if (!source) return undefined;
    const maker = source.producer;
    if (!maker) return source.constant ? undefined : this.#reference.graph.inputs.find(({ name }) => name === source.name);
    const float = this.#floats.get(maker);
    if (float) {
      const output = float.outputs[maker.outputs.indexOf(source)];
      return output && this.#point(output);
    }
    return maker.opType === this.#guard ? this.#referenceOf(maker.inputs[0]) : undefined;
  }

  #tensor(quantizer: Node): WatchedTensor | undefined {
    if (this.#tensors.has(quantizer)) return this.#tensors.get(quantizer);
    const scheme = this.#graph.schemeOf(quantizer);
    const reference = this.#referenceOf(quantizer.inputs[0]);
    const usable = scheme && scheme.axis !== "blocks" && reference && !this.#foreign.has(reference);
    const found: WatchedTensor | undefined = usable
      ? {
          quantizer,
          grid: { ...scheme, axis: scheme.axis as number | undefined },
          reference,
          producer: reference.producer ? nodeKey(this.#match.absorbed.get(reference.producer) ?? reference.producer) : null,
        }
      : undefined;
    this.#tensors.set(quantizer, found);
    return found;
  }

  /** A text says why the node cannot be compared. */
  #layer(unit: Unit, float: Node | undefined): WatchedLayer | string {
    if (!float) return "the float model has no such node";
    const weight = this.#weight(unit, float);
    if (typeof weight === "string") return weight;
    if (!weight && float.inputs.some((input) => input && this.#foreign.has(input)))
      return "it reads values that the quantized model holds in another scale";
    const inputs = new Map<number, WatchedTensor>();
    for (const [index, { value, scheme, constant }] of unit.activations) {
      if (!scheme || constant) continue;
      const quantizer = value.producer?.inputs[0]?.producer;
      const tensor = quantizer && this.#pairs.has(quantizer) ? this.#tensor(quantizer) : undefined;
      if (!tensor) return `its input "${value.name}" stands for no value of the float model`;
      inputs.set(index, tensor);
    }
    const quantizer = this.#quantizerAfter(unit);
    const output = quantizer && this.#tensor(quantizer);
    if (quantizer && !output) return "its result stands for no value of the float model";
    return {
      key: nodeKey(float),
      unit,
      node: unit.node,
      float,
      inputs,
      output,
      point: output?.reference ?? float.output,
      weight,
    };
  }

  #quantizerAfter({ node, clamps }: Unit): Node | undefined {
    const result = clamps.at(-1)?.output ?? node.outputs[0];
    return [...(result?.uses ?? [])].map((use) => use.node).find((reader) => this.#graph.quantizers.includes(reader));
  }

  #weight({ weight }: Unit, float: Node): WatchedWeight | string | undefined {
    if (!weight?.scheme) return undefined;
    const { value } = weight;
    const scheme = storedScheme(weight, this.#graph);
    const def = lookupOp(float, this.#reference.opsets);
    const port = def?.quantization?.weight?.input;
    const index = def && port !== undefined ? portIndex(def.inputs, port) : -1;
    const tensor = float.inputs[index]?.constant;
    if (!scheme || !tensor) return "its weights are not constant in both models";
    if (`${tensor.shape}` !== `${scheme.integers.shape}`) return "its weights have another shape than the float model's";
    const found = { value, index, scheme, tensor };
    return this.#loneStranger || areRounded(found)
      ? found
      : "its weights are not the float model's rounded: equalized, smoothed or trained since";
  }
}

/** How weights are stored, with their integers; undefined where they are float. */
export function storedScheme({ scheme, value }: Port, graph: QdqGraph): WatchedWeight["scheme"] | undefined {
  const integers = scheme && (scheme.integers ?? roundedConstant(value, scheme, pairsOf(graph)));
  return integers && { ...scheme, integers };
}

/** Integers of weights that the file holds as floats behind a pair of their own. */
function roundedConstant(
  value: Value,
  { scales, zeroPoints, dtype, axis }: Scheme,
  pairs: ReadonlySet<Node>,
): Tensor | undefined {
  const tensor = behindPairs(value, pairs)?.constant;
  if (!tensor || axis === "blocks") return undefined;
  const [low, high] = integerRange(dtype);
  const { channels, inner } = channelLayout(tensor.shape, axis);
  const integers = Array.from(toFloat32(tensor), (x, i) => {
    const channel = channels === 1 ? 0 : Math.floor(i / inner) % channels;
    return clamp(roundEven(x / (scales[channel] as number)) + (zeroPoints[channel] ?? 0), low, high);
  });
  return tensorOf(dtype, tensor.shape, integers);
}

/** The reals that a weight's integers stand for. */
export function dequantizedWeight({ scheme }: Pick<WatchedWeight, "scheme">): Float32Array {
  const { integers, scales, zeroPoints, axis } = scheme;
  const { channels, inner } = channelLayout(integers.shape, typeof axis === "number" ? axis : undefined);
  return Float32Array.from(toNumbers(integers), (q, i) => {
    const channel = channels === 1 ? 0 : Math.floor(i / inner) % channels;
    return (q - (zeroPoints[channel] ?? 0)) * (scales[channel] as number);
  });
}

/** Shares above this speak against rounding. */
const tolerated = 0.05;

/** Whether the integers are the float weights rounded, up or down: off by less than a step wherever nothing was clipped. */
function areRounded(weight: Pick<WatchedWeight, "scheme" | "tensor">): boolean {
  const { scheme, tensor } = weight;
  if (scheme.axis === "blocks") return true;
  const real = toFloat32(tensor);
  const stored = toNumbers(scheme.integers);
  const { channels, inner } = channelLayout(tensor.shape, scheme.axis);
  const low = stored.reduce((a, b) => Math.min(a, b), 0);
  const high = stored.reduce((a, b) => Math.max(a, b), 0);
  let off = 0;
  stored.forEach((q, i) => {
    const channel = channels === 1 ? 0 : Math.floor(i / inner) % channels;
    const scale = scheme.scales[channel] as number;
    const clipped = q === low || q === high;
    if (!clipped && Math.abs((q - (scheme.zeroPoints[channel] ?? 0)) * scale - (real[i] as number)) > 1.01 * scale) off++;
  });
  return off <= tolerated * stored.length;
}
