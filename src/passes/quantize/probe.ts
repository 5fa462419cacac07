import { type Graph, type Model, type Node, type Tensor, tensorOf, type Value } from "../../ir/index.ts";
import type { RangeCandidate, WeightCandidate } from "./choices.ts";
import { addParameters } from "./emit.ts";
import { activationParameters, quantizeWeight } from "./parameters.ts";
import type { NodePlan, QuantizationPlan } from "./plan.ts";
import type { QuantizationRow } from "./row.ts";

/** Candidates whose effect is to be measured; values by name, so that they are found in a copy of the model. */
export interface ProbeSubjects {
  /** Ranges for values that share one scale. */
  readonly groups: readonly { readonly values: readonly string[]; readonly candidates: readonly RangeCandidate[] }[];
  /** Scales for the weight of a node. */
  readonly weights: readonly {
    readonly weight: string;
    readonly axis: number | undefined;
    readonly bits: number;
    readonly candidates: readonly WeightCandidate[];
  }[];
}

/**
 * A model whose outputs are errors: for each subject a float32 vector with one entry per candidate, the relative squared error that the
 * candidate alone causes in the results of the ops that read it, Σ(y' − y)²/Σy², summed over those ops.
 */
export interface Probe {
  readonly model: Model;
  /** Output names in the order of `groups`, then of `weights`; undefined where nothing reads the subject. */
  readonly groups: readonly (string | undefined)[];
  readonly weights: readonly (string | undefined)[];
}

interface Reader {
  readonly plan: NodePlan;
  readonly index: number;
}

/** Turns `model`, for which `plan` was made, into a probe. Works on the model itself: give a copy. */
export function buildProbe(model: Model, plan: QuantizationPlan, row: QuantizationRow, subjects: ProbeSubjects): Probe {
  const builder = new ProbeBuilder(model.graph, row);
  const readers = new Map<string, Reader[]>();
  const weights = new Map<string, Reader[]>();
  const add = (map: Map<string, Reader[]>, value: Value | undefined, reader: Reader): void => {
    if (value) map.set(value.name, [...(map.get(value.name) ?? []), reader]);
  };
  for (const nodePlan of plan.nodes.values()) {
    for (const index of nodePlan.activations) add(readers, nodePlan.node.inputs[index], { plan: nodePlan, index });
    if (nodePlan.weight)
      add(weights, nodePlan.node.inputs[nodePlan.weight.index], { plan: nodePlan, index: nodePlan.weight.index });
  }
  const found = new Map(
    [...model.graph.inputs, ...[...model.graph.nodes].flatMap((node) => node.outputs)].map((value) => [value.name, value]),
  );
  const groups = subjects.groups.map(({ values, candidates }, i) => {
    const errors = candidates.map(({ range }) =>
      builder.sum(
        values.flatMap((name) => {
          const value = found.get(name);
          const own = value ? (readers.get(name) ?? []) : [];
          return own.length === 0 ? [] : builder.activationErrors(value as Value, range, own);
        }),
      ),
    );
    return builder.output(`probe_range_${i}`, errors);
  });
  const weightOutputs = subjects.weights.map(({ weight, axis, bits, candidates }, i) => {
    const own = weights.get(weight) ?? [];
    const errors = candidates.map(({ scales }) =>
      builder.sum(own.map((reader) => builder.weightError(reader, scales, axis, bits))),
    );
    return builder.output(`probe_weight_${i}`, errors);
  });
  return { model: builder.finish(model), groups, weights: weightOutputs };
}

class ProbeBuilder {
  readonly #graph: Graph;
  readonly #row: QuantizationRow;
  readonly #energies = new Map<Value, Value>();
  readonly #outputs: Value[] = [];
  readonly #one: Value;
  readonly #tiny: Value;

  constructor(graph: Graph, row: QuantizationRow) {
    this.#graph = graph;
    this.#row = row;
    this.#one = graph.addInitializer(graph.freshName("probe_shape"), tensorOf("int64", [1], [1]));
    // a dead op's results are all zero; its error is zero too, whatever is divided by
    this.#tiny = graph.addInitializer(graph.freshName("probe_tiny"), tensorOf("float32", [], [1e-30]));
  }

  #op(opType: string, inputs: readonly Value[], attributes: Record<string, number> = {}): Value {
    return this.#graph.node(opType, inputs, { name: "", attributes }).output;
  }

  #squares(x: Value): Value {
    return this.#op("ReduceSumSquare", [x], { keepdims: 0 });
  }

  activationErrors(value: Value, range: RangeCandidate["range"], readers: readonly Reader[]): Value[] {
    const [scale, zeroPoint] = addParameters(this.#graph, "probe", activationParameters(range, this.#row.activation));
    const quantized = this.#op("QuantizeLinear", [value, scale, zeroPoint]);
    const rounded = this.#op("DequantizeLinear", [quantized, scale, zeroPoint]);
    return readers.map((reader) => this.#error(reader, rounded));
  }

  weightError(reader: Reader, scales: Float32Array, axis: number | undefined, bits: number): Value {
    const { node } = reader.plan;
    const tensor = (node.inputs[reader.index] as Value).constant as Tensor;
    const constant = dequantized(tensor, scales, axis, { reduced: this.#row.weight.reduceRange, bits });
    return this.#error(reader, this.#graph.addInitializer(this.#graph.freshName("probe_weight"), constant));
  }

  /** The op once more with one input replaced, its clamps included; relative squared distance from its true result. */
  #error({ plan, index }: Reader, replaced: Value): Value {
    let y = this.#copy(
      plan.node,
      plan.node.inputs.map((input, i) => (i === index ? replaced : input)),
    );
    for (const clamp of plan.clamps) y = this.#copy(clamp, [y, ...clamp.inputs.slice(1)]);
    const noise = this.#squares(this.#op("Sub", [y, plan.point]));
    return this.#op("Div", [noise, this.#energy(plan.point)]);
  }

  #copy(node: Node, inputs: readonly (Value | undefined)[]): Value {
    return this.#graph.node(node.opType, inputs, {
      name: "",
      domain: node.domain,
      attributes: Object.fromEntries(node.attributes),
      outputs: node.outputs.map((output) => (output.name ? this.#graph.freshName("probe_result") : "")),
    }).output;
  }

  #energy(value: Value): Value {
    let energy = this.#energies.get(value);
    if (!energy) {
      energy = this.#op("Add", [this.#squares(value), this.#tiny]);
      this.#energies.set(value, energy);
    }
    return energy;
  }

  sum(terms: readonly Value[]): Value | undefined {
    if (terms.length === 0) return undefined;
    return terms.reduce((sum, term) => this.#op("Add", [sum, term]));
  }

  output(name: string, errors: readonly (Value | undefined)[]): string | undefined {
    if (errors.length === 0 || errors.some((error) => !error)) return undefined;
    const vectors = errors.map((error) => this.#op("Reshape", [error as Value, this.#one]));
    const joined = this.#op("Concat", vectors, { axis: 0 });
    this.#graph.rename(joined, this.#graph.freshName(name));
    joined.type = { dtype: "float32", shape: [errors.length] };
    this.#outputs.push(joined);
    return joined.name;
  }

  finish(model: Model): Model {
    this.#graph.outputs.length = 0;
    for (const output of this.#outputs) this.#graph.addOutput(output);
    return model;
  }
}

/** A weight as the integer kernels see it, in float. */
export function dequantized(
  tensor: Tensor,
  scales: Float32Array,
  axis: number | undefined,
  { reduced, bits }: { reduced: boolean; bits: number },
): Tensor {
  const bytes = quantizeWeight(tensor, scales, axis, reduced, bits).tensor.bytes();
  const integers = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return tensorOf("float32", tensor.shape, dequantizedValues(integers, tensor.shape, scales, axis));
}

export function dequantizedValues(
  integers: Int8Array,
  shape: readonly number[],
  scales: Float32Array,
  axis: number | undefined,
): Float32Array {
  const inner = axis === undefined ? integers.length : shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const channels = axis === undefined ? 1 : (shape[axis] as number);
  return Float32Array.from(integers, (q, i) => q * (scales[Math.floor(i / inner) % channels] as number));
}
