import type { Graph, Model, Node, Value } from "../../ir/index.ts";
import { valuesByName } from "../../passes/cut.ts";
import { pairsOf } from "./match.ts";
import type { Pairing, WatchedLayer, WatchedTensor } from "./pairing.ts";

/** Names of what one run of the probe gives. */
export interface Probe {
  readonly model: Model;
  /** By layer: its result when it reads the float model's values; integers where the layer has an output tensor. */
  readonly local: ReadonlyMap<WatchedLayer, string>;
  /** By layer with weights: its float result with its stored weights and everything else in float. */
  readonly weights: ReadonlyMap<WatchedLayer, string>;
}

/**
 * The float model with, beside each node that the quantized model computes on integers, a copy of that integer node which reads the float
 * values, and one that has only its weights from there. One run gives every float value, and what each layer by itself makes of it.
 */
export function probeModel(pairing: Pairing): Probe {
  const model = pairing.reference.clone();
  const builder = new ProbeBuilder(model, pairing);
  const local = new Map<WatchedLayer, string>();
  const weights = new Map<WatchedLayer, string>();
  for (const layer of pairing.layers) {
    local.set(layer, builder.addLocal(layer));
    if (layer.weight) weights.set(layer, builder.addWeights(layer));
  }
  for (const name of referenceNames(pairing)) builder.watch(name);
  return { model, local, weights };
}

/** Float values that are compared, by name. */
export const referenceNames = ({ tensors, layers }: Pairing): ReadonlySet<string> =>
  new Set([...tensors.map(({ reference }) => reference.name), ...layers.map(({ point }) => point.name)]);

class ProbeBuilder {
  readonly #graph: Graph;
  readonly #values: ReadonlyMap<string, Value>;
  readonly #pairs: ReadonlySet<Node>;
  /** Copies of constants and of what dequantizes them, by the quantized model's value. */
  readonly #constants = new Map<Value, Value>();
  readonly #quantized = new Map<Node, Value>();

  constructor(model: Model, { quantized }: Pairing) {
    this.#graph = model.graph;
    this.#values = valuesByName(model);
    this.#pairs = pairsOf(quantized);
  }

  /** The copy's value of a value of the reference model. */
  #own(value: Value): Value {
    const own = this.#values.get(value.name);
    if (!own) throw new Error(`internal: ${value.name} is not in the copy`);
    return own;
  }

  watch(name: string): void {
    const value = this.#values.get(name) as Value;
    if (!value.isGraphInput && !value.isGraphOutput) this.#graph.addOutput(value);
  }

  #output(value: Value): string {
    this.#graph.addOutput(value);
    return value.name;
  }

  addLocal(layer: WatchedLayer): string {
    const { node, float, inputs, unit, output } = layer;
    const read = node.inputs.map((input, i) => {
      if (!input) return undefined;
      const tensor = inputs.get(i);
      if (tensor) return this.#dequantized(tensor);
      return this.#constant(input) ?? (float.inputs[i] && this.#own(float.inputs[i] as Value));
    });
    let result = this.#copy(node, read, "local");
    for (const clamp of unit.clamps) {
      const rest = clamp.inputs.slice(1).map((input) => input && this.#constant(input));
      result = this.#copy(clamp, [result, ...rest], "local");
    }
    return this.#output(output ? this.#quantize(output, result) : result);
  }

  addWeights({ float, weight, unit, node, point }: WatchedLayer): string {
    const read = float.inputs.map((input, i) => {
      if (!input) return undefined;
      const stored =
        i === weight?.index ? unit.weight?.value : input.constant && this.#isBias(i, unit) ? node.inputs[i] : undefined;
      return (stored && this.#constant(stored)) ?? this.#own(input);
    });
    let result = this.#copy(float, read, "weights");
    for (let at = float.output; at !== point; ) {
      const clamp = at.soleConsumer as Node;
      const rest = clamp.inputs.slice(1).map((input) => input && this.#own(input));
      result = this.#copy(clamp, [result, ...rest], "weights");
      at = clamp.output;
    }
    return this.#output(result);
  }

  #isBias(index: number, { node, bias }: WatchedLayer["unit"]): boolean {
    return bias !== undefined && node.inputs[index] === bias.value;
  }

  /** A constant of the quantized model, dequantized there or not; undefined where it is no constant. */
  #constant(value: Value): Value | undefined {
    const known = this.#constants.get(value);
    if (known) return known;
    const copy = this.#copiedConstant(value);
    if (copy) this.#constants.set(value, copy);
    return copy;
  }

  #copiedConstant(value: Value): Value | undefined {
    if (value.constant) return this.#graph.addInitializer(this.#graph.freshName(`${value.name}_probe`), value.constant);
    const maker = value.producer;
    if (!maker || !this.#pairs.has(maker)) return undefined;
    const read = maker.inputs.map((input) => input && this.#constant(input));
    return read[0] ? this.#copy(maker, read, "probe") : undefined;
  }

  #copy(node: Node, inputs: readonly (Value | undefined)[], what: string): Value {
    const graph = this.#graph;
    const outputs = node.outputs.map(({ name }) => (name ? graph.freshName(`${name}_${what}`) : ""));
    const copy = graph.node(node.opType, inputs, {
      domain: node.domain,
      overload: node.overload,
      name: graph.freshName(`${node.name || node.output.name}_${what}`),
      outputs,
    });
    for (const [name, attribute] of node.attributes) copy.setAttribute(name, attribute);
    return copy.output;
  }

  #parameters({ quantizer }: WatchedTensor): (Value | undefined)[] {
    return quantizer.inputs.slice(1).map((input) => input && this.#constant(input));
  }

  #quantize(tensor: WatchedTensor, value: Value): Value {
    return this.#copy(tensor.quantizer, [value, ...this.#parameters(tensor)], "local");
  }

  /** The float value through the quantized model's grid; made once for all that read it. */
  #dequantized(tensor: WatchedTensor): Value {
    const known = this.#quantized.get(tensor.quantizer);
    const integers = known ?? this.#quantize(tensor, this.#own(tensor.reference));
    this.#quantized.set(tensor.quantizer, integers);
    const { domain, attributes } = tensor.quantizer;
    const node = this.#graph.node("DequantizeLinear", [integers, ...this.#parameters(tensor)], { domain });
    node.setAttribute("axis", attributes.get("axis"));
    return node.output;
  }
}

/** The quantized model with the integers of every watched tensor, and the results of layers that stay float, as outputs. */
export function watchedModel({ quantized, tensors, layers }: Pairing): Model {
  const model = quantized.model.clone();
  const values = valuesByName(model);
  const wanted = new Set([...tensors.map(integersName), ...layers.filter(({ output }) => !output).map(resultName)]);
  for (const name of wanted) {
    const value = values.get(name) as Value;
    if (!value.isGraphOutput) model.graph.addOutput(value);
  }
  return model;
}

export const integersName = ({ quantizer }: WatchedTensor): string => quantizer.output.name;
export const resultName = ({ node }: WatchedLayer): string => node.output.name;
