import { encodeOnnx } from "../../formats/onnx/index.ts";
import { type Graph, type Model, type Node, toFloat32, type Value } from "../../ir/index.ts";
import { nodeKey } from "../../passes/quantize/plan.ts";
import type { KeptRun, MeasureOptions } from "./measure.ts";
import { dequantizedWeight, type Pairing, type WatchedLayer, type WatchedTable, type WatchedTensor } from "./pairing.ts";
import { comparable, NoiseTotal, type Totals } from "./totals.ts";

/** Something that could be float: the weights of a layer, an activation (with those that share its range), or a table. */
export type Suspect = { /** Noise that it brings by itself, relative to its own values. */ readonly noise: number } & (
  | { readonly kind: "weights"; readonly layer: WatchedLayer }
  | { readonly kind: "tensor"; readonly tensor: WatchedTensor }
  | { readonly kind: "table"; readonly table: WatchedTable }
);

/** How many times less noise the outputs have with something in float, dB, and the standard error of that number (jackknife over runs). */
export interface Gain {
  readonly gain: number;
  readonly error: number;
}

export interface WhatIf extends Gain {
  readonly suspect: Suspect;
}

/** Whether a node passes on the scale that it reads, so that its range is not its own. */
const inheritsRange = ({ unit }: WatchedLayer): boolean => {
  const output = unit.def?.quantization?.output;
  return unit.op?.sameScale === true || (typeof output === "object" && "sameAs" in output && !unit.op?.freeScales);
};

/** Everything quantized by the noise that it brings by itself, the largest first. */
export function suspectsOf({ layers, tensors, tables }: Pairing, totals: Totals): Suspect[] {
  const inherited = new Set(layers.filter(inheritsRange).map(({ output }) => output));
  const suspects: Suspect[] = [];
  for (const layer of layers)
    if (layer.weight) suspects.push({ kind: "weights", layer, noise: totals.layers.get(layer)?.weights.ratio ?? 0 });
  for (const tensor of tensors)
    if (!inherited.has(tensor)) suspects.push({ kind: "tensor", tensor, noise: totals.tensors.get(tensor)?.rounding.ratio ?? 0 });
  for (const table of tables) {
    const noise = new NoiseTotal();
    noise.add(toFloat32(table.tensor), dequantizedWeight(table));
    suspects.push({ kind: "table", table, noise: noise.ratio });
  }
  return suspects.sort((a, b) => b.noise - a.noise);
}

export const suspectName = (suspect: Suspect): string =>
  suspect.kind === "weights" ? suspect.layer.key : suspect.kind === "table" ? suspect.table.key : suspect.tensor.reference.name;

export interface WhatIfOptions extends MeasureOptions {
  /** Nothing new is begun after this moment (performance.now()). */
  readonly deadline: number;
}

/**
 * Puts one suspect at a time back to float in the quantized model and measures how much less noise the outputs have. Weight norms and
 * noise by layer rank layers badly; this is the effect itself. The largest gain first; suspects not reached in time are absent.
 */
export async function measureWhatIfs(
  pairing: Pairing,
  suspects: readonly Suspect[],
  runs: readonly KeptRun[],
  options: WhatIfOptions,
): Promise<WhatIf[]> {
  const base = await noiseOf(pairing.quantized.model, pairing, runs, options);
  const found: WhatIf[] = [];
  for (const [i, suspect] of suspects.entries()) {
    if (performance.now() > options.deadline) break;
    options.onProgress?.({ step: "what if", done: i, total: suspects.length, detail: suspectName(suspect) });
    found.push({ suspect, ...gainOf(base, await noiseOf(withFloat(pairing, [suspect]), pairing, runs, options)) });
  }
  return found.sort((a, b) => b.gain - a.gain);
}

/** The gain of several suspects in float at once. */
export async function measureTogether(
  pairing: Pairing,
  suspects: readonly Suspect[],
  runs: readonly KeptRun[],
  options: MeasureOptions,
): Promise<Gain> {
  const base = await noiseOf(pairing.quantized.model, pairing, runs, options);
  return gainOf(base, await noiseOf(withFloat(pairing, suspects), pairing, runs, options));
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** From squared errors run by run. */
function gainOf(base: readonly number[], other: readonly number[]): Gain {
  const [total, rest] = [sum(base), sum(other)];
  const ratio = (a: number, b: number): number =>
    a <= 0 ? 0 : Math.min(200, 10 * Math.log10(a / Math.max(b, Number.MIN_VALUE)));
  const without = base.map((noise, i) => ratio(total - noise, rest - (other[i] as number)));
  const middle = sum(without) / without.length;
  const n = base.length;
  const error = n > 1 ? Math.sqrt(((n - 1) / n) * sum(without.map((gain) => (gain - middle) ** 2))) : Number.POSITIVE_INFINITY;
  return { gain: ratio(total, rest), error };
}

/** Squared error of all outputs of a model against what was kept, run by run. */
export async function noiseOf(
  model: Model,
  { reference }: Pairing,
  runs: readonly KeptRun[],
  options: MeasureOptions,
): Promise<number[]> {
  // fusions would quantize float weights between integer neighbours again
  const session = await options.executor.load(encodeOnnx(model), { threads: options.threads, optimization: "disabled" });
  try {
    const noises: number[] = [];
    for (const { feeds, outputs } of runs) {
      options.signal?.throwIfAborted();
      const own = await session.run(feeds);
      const noise = new NoiseTotal();
      for (const { name } of reference.graph.outputs) {
        const both = comparable(outputs[name], own[name]);
        if (both) noise.add(...both);
      }
      noises.push(noise.noise);
    }
    return noises;
  } finally {
    await session.release();
  }
}

/** The quantized model with suspects in float. */
export function withFloat(pairing: Pairing, suspects: readonly Suspect[]): Model {
  const source = pairing.quantized.model;
  const model = source.clone();
  const copies = [...model.graph.nodes];
  const editor = new FloatEditor(pairing, new Map([...source.graph.nodes].map((node, i) => [node, copies[i] as Node])));
  for (const suspect of suspects) {
    if (suspect.kind === "table") editor.restoreTable(suspect.table);
    else if (suspect.kind === "tensor") editor.bypass(suspect.tensor);
    else editor.restoreWeights(suspect.layer);
  }
  return model;
}

class FloatEditor {
  readonly #pairing: Pairing;
  readonly #copies: ReadonlyMap<Node, Node>;
  readonly #done = new Set<WatchedTensor>();

  constructor(pairing: Pairing, copies: ReadonlyMap<Node, Node>) {
    this.#pairing = pairing;
    this.#copies = copies;
  }

  restoreWeights({ node, float, weight, unit }: WatchedLayer): void {
    if (!weight) return;
    const copy = this.#copies.get(node) as Node;
    const graph = copy.graph as Graph;
    const constants = new Map([[weight.index, weight.tensor]]);
    const bias = unit.bias && node.inputs.indexOf(unit.bias.value);
    const tensor = bias === undefined ? undefined : float.inputs[bias]?.constant;
    if (bias !== undefined && tensor) constants.set(bias, tensor);
    for (const [index, constant] of constants)
      copy.setInput(index, graph.addInitializer(graph.freshName(`${nodeKey(float)}_float`), constant));
  }

  restoreTable({ key, node, index, tensor, dequantizer }: WatchedTable): void {
    const copy = this.#copies.get(node) as Node;
    const graph = copy.graph as Graph;
    copy.setInput(index, graph.addInitializer(graph.freshName(`${key}_float`), tensor));
    copy.output.type = undefined;
    this.#replace((this.#copies.get(dequantizer) as Node).output, copy.output);
  }

  /** Readers of the dequantized value read the float one, behind clamps that the quantize node had taken over; so do values of one range. */
  bypass(tensor: WatchedTensor): void {
    if (this.#done.has(tensor)) return;
    this.#done.add(tensor);
    const quantize = this.#copies.get(tensor.quantizer) as Node;
    let value = quantize.inputs[0] as Value;
    for (const clamp of this.#clampsBefore(tensor)) value = this.#clamp(clamp, value, quantize);
    for (const { node } of [...quantize.output.uses])
      if (node.inputs[0] === quantize.output && this.#isDequantizer(node)) this.#replace(node.output, value);
    for (const layer of this.#pairing.layers)
      if (layer.output && inheritsRange(layer) && [...layer.inputs.values()].includes(tensor)) this.bypass(layer.output);
  }

  #isDequantizer(node: Node): boolean {
    return this.#pairing.quantized.dequantizers.some((dequantizer) => this.#copies.get(dequantizer) === node);
  }

  #clampsBefore({ reference }: WatchedTensor): Node[] {
    const { absorbed } = this.#pairing.match;
    const clamps: Node[] = [];
    for (let maker = reference.producer; maker && absorbed.has(maker); maker = maker.inputs[0]?.producer) clamps.unshift(maker);
    return clamps;
  }

  #clamp(clamp: Node, value: Value, before: Node): Value {
    const graph = before.graph as Graph;
    const limits = clamp.inputs
      .slice(1)
      .map((limit) => limit?.constant && graph.addInitializer(graph.freshName(`${limit.name}_float`), limit.constant));
    const copy = graph.node(clamp.opType, [value, ...limits], { domain: clamp.domain, before });
    for (const [name, attribute] of clamp.attributes) copy.setAttribute(name, attribute);
    return copy.output;
  }

  /** Graph outputs keep their names; a dequantize node that nobody reads would be checked by the runtime all the same. */
  #replace(from: Value, to: Value): void {
    from.graph.replaceAllUses(from, to);
    from.graph.remove(from.producer as Node);
  }
}
