import { type Graph, type Model, type Node, type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { lookupOp, portIndex } from "../../ops/index.ts";
import { linkedAxes, linkedOutputAxis, outputAxes } from "./channels.ts";
import { channelLayout } from "./parameters.ts";
import { biasIndex, type NodePlan, type QuantizationPlan } from "./plan.ts";

/** A value whose channels may be scaled: what makes it takes the factor, what reads it the inverse, and the model stays the same. */
export interface EqualizablePair {
  readonly value: Value;
  /** The value's channel axis. */
  readonly axis: number;
  readonly channels: number;
  /** Constants of the producer with the axis along which they are divided. */
  readonly sources: readonly Scaled[];
  /** Weights of the readers with the axis along which they are multiplied. */
  readonly targets: readonly (Scaled & { readonly ownChannels: boolean })[];
  /** Clips between producer and value with their upper bound. */
  readonly clips: readonly Node[];
  readonly limit: number;
}

interface Scaled {
  readonly value: Value;
  readonly axis: number;
}

/** What scales are made of. */
export interface EqualizeOptions {
  /** Largest magnitude per channel, by the value's name, measured on calibration samples. */
  readonly maxima: ReadonlyMap<string, Float64Array>;
  /**
   * "weights": the ranges of both weights meet in the middle (Nagel et al., "Data-Free Quantization", 2019), for one scale per tensor.
   * "activations": the value's channels come closer to each other at the weights' expense (Xiao et al., "SmoothQuant", 2023).
   */
  readonly by: "weights" | "activations";
  /** Share of the burden that weights take, 0 … 1, for "activations". */
  readonly strength: number;
  /** Upper bounds of clips (ReLU6) are dropped, so that every channel may be scaled; else channels that reach the bound stay. */
  readonly relax: boolean;
}

/** The pairs of a model for which `plan` was made. */
export function equalizablePairs(model: Model, plan: QuantizationPlan): EqualizablePair[] {
  const pairs: EqualizablePair[] = [];
  for (const nodePlan of plan.nodes.values()) {
    const axes = outputAxes(nodePlan);
    const source = axes && layerSources(nodePlan, axes.weight);
    if (!source || !clipsScale(nodePlan)) continue;
    const pair = pairOf(nodePlan.point, axes.output, source, plan);
    if (pair) pairs.push({ ...pair, clips: nodePlan.clamps, limit: nodePlan.limits[1] });
  }
  for (const node of model.graph.nodes) {
    const sources = plan.nodes.has(node) ? undefined : normalizationSources(node, model);
    const axis = sources && scaledOutputAxis(node, model);
    const pair = sources && axis !== undefined && pairOf(node.output, axis, sources, plan);
    if (pair) pairs.push({ ...pair, clips: [], limit: Number.POSITIVE_INFINITY });
  }
  return pairs;
}

/** Clamps commute with positive scales where they begin at zero (or nowhere). */
const clipsScale = ({ limits }: NodePlan): boolean => limits[0] === 0 || limits[0] === Number.NEGATIVE_INFINITY;

const ownConstant = (value: Value | undefined): boolean => value?.constant?.dtype === "float32" && value.uses.size === 1;

function layerSources(plan: NodePlan, axis: number): Scaled[] | undefined {
  const { node, weight } = plan;
  const value = weight && node.inputs[weight.index];
  const bias = node.inputs[biasIndex(plan)];
  if (!value || !ownConstant(value) || (bias && !ownConstant(bias))) return undefined;
  return [{ value, axis }, ...(bias ? [{ value: bias, axis: 0 }] : [])];
}

function normalizationSources(node: Node, model: Model): Scaled[] | undefined {
  const def = lookupOp(node, model.opsets);
  const ports = def?.outputScales ?? [];
  const values = ports
    .map((port) => node.inputs[portIndex((def as NonNullable<typeof def>).inputs, port)])
    .filter((value) => value !== undefined);
  const vectors = values.every((value) => ownConstant(value) && value.constant?.shape.length === 1);
  return values.length > 0 && vectors ? values.map((value) => ({ value, axis: 0 })) : undefined;
}

/** The output axis along which a normalization's scale lies: where its channel link says so, else the last. */
function scaledOutputAxis(node: Node, model: Model): number | undefined {
  const def = lookupOp(node, model.opsets);
  const rank = node.outputs[0]?.type?.shape?.length;
  if (!def || rank === undefined) return undefined;
  const port = portIndex(def.inputs, def.outputScales[0] as string);
  return linkedOutputAxis(node, def, { port, axis: 0 }) ?? rank - 1;
}

function pairOf(
  value: Value,
  axis: number,
  sources: readonly Scaled[],
  plan: QuantizationPlan,
): Omit<EqualizablePair, "clips" | "limit"> | undefined {
  const channels = value.type?.shape?.[axis];
  if (typeof channels !== "number" || value.isGraphOutput || value.uses.size === 0) return undefined;
  if (sources.some((source) => source.value.constant?.shape[source.axis] !== channels)) return undefined;
  const targets: EqualizablePair["targets"][number][] = [];
  for (const { node, index } of value.uses) {
    const reader = plan.nodes.get(node);
    const link = reader && linkedAxes(reader);
    const weight = reader?.weight && node.inputs[reader.weight.index];
    if (!reader || !link || !weight || reader.activations[0] !== index || reader.activations.length !== 1) return undefined;
    if (link.input !== axis || !ownConstant(weight) || weight.constant?.shape[link.weight] !== channels) return undefined;
    targets.push({ value: weight, axis: link.weight, ownChannels: outputAxes(reader)?.weight === link.weight });
  }
  return { value, axis, channels, sources, targets };
}

/** Scales never leave this range: beyond it rounding of biases and of near-dead channels would cost more than is won. */
const bounds = { least: 1 / 64, most: 64 };

/** Rescales all pairs of the model in place; returns how many channels changed. */
export function equalize(pairs: readonly EqualizablePair[], options: EqualizeOptions): number {
  const maxima = new Map([...options.maxima].map(([name, values]) => [name, values.slice()]));
  // scales of neighbouring pairs depend on each other
  const rounds = options.by === "weights" ? 10 : 1;
  let changed = 0;
  for (let round = 0; round < rounds; round++)
    for (const pair of pairs) {
      const scales = scalesOf(pair, maxima, options);
      if (!scales) continue;
      for (const { value, axis } of pair.sources) rescale(value, axis, (c) => 1 / (scales[c] as number));
      for (const { value, axis } of pair.targets) rescale(value, axis, (c) => scales[c] as number);
      const own = maxima.get(pair.value.name);
      own?.forEach((most, c) => {
        own[c] = most / (scales[c] as number);
      });
      if (round === 0) changed += scales.filter((scale) => scale !== 1).length;
    }
  if (options.relax)
    for (const { clips } of pairs) for (const clip of clips) if (clip.inputs.length > 2) clip.setInput(2, undefined);
  return changed;
}

function scalesOf(
  pair: EqualizablePair,
  maxima: ReadonlyMap<string, Float64Array>,
  { by, strength, relax }: EqualizeOptions,
): Float64Array | undefined {
  const reached = maxima.get(pair.value.name);
  if (!reached || reached.length !== pair.channels) return undefined;
  const reading = channelMaxima(pair.targets, pair.channels);
  const making = channelMaxima(pair.sources.slice(0, 1), pair.channels);
  // a weight with a scale for each of these channels takes any factor without loss
  const free = pair.targets.every(({ ownChannels }) => ownChannels) && by === "activations";
  const wanted = Float64Array.from(reached, (most, c) => {
    const other = reading[c] as number;
    const source = by === "weights" ? (making[c] as number) : most;
    if (source <= 0 || other <= 0) return 1;
    if (by === "weights") return Math.sqrt(source / other);
    return free ? most : most ** strength / other ** (1 - strength);
  });
  const centre = relax || pair.limit === Number.POSITIVE_INFINITY ? geometricMean(wanted) : undefined;
  return wanted.map((scale, c) => {
    const most = reached[c] as number;
    const bounded = Math.min(
      bounds.most,
      Math.max(bounds.least, centre === undefined ? boundedScale(scale, wanted, reached, pair.limit) : scale / centre),
    );
    if (centre !== undefined || most <= 0) return most <= 0 ? 1 : bounded;
    // the bound still clips at `limit` after scaling: a channel that reaches it must stay, another must not be lifted above it
    return most >= pair.limit * 0.999 ? 1 : Math.max(bounded, most / pair.limit);
  });
}

/** Relative to the channels that reach the bound and therefore cannot move. */
function boundedScale(scale: number, wanted: Float64Array, reached: Float64Array, limit: number): number {
  const fixed = wanted.filter((_, c) => (reached[c] as number) >= limit * 0.999);
  return scale / (fixed.length > 0 ? geometricMean(fixed) : Math.max(...wanted));
}

const geometricMean = (values: Float64Array): number =>
  values.length === 0 ? 1 : Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

function channelMaxima(parts: readonly Scaled[], channels: number): Float64Array {
  const maxima = new Float64Array(channels);
  for (const { value, axis } of parts) {
    const tensor = value.constant as Tensor;
    const { inner } = channelLayout(tensor.shape, axis);
    toFloat32(tensor).forEach((x, i) => {
      const c = Math.floor(i / inner) % channels;
      maxima[c] = Math.max(maxima[c] as number, Math.abs(x));
    });
  }
  return maxima;
}

function rescale(value: Value, axis: number, factor: (channel: number) => number): void {
  const tensor = value.constant as Tensor;
  const { channels, inner } = channelLayout(tensor.shape, axis);
  const values = toFloat32(tensor).map((x, i) => x * factor(Math.floor(i / inner) % channels));
  (value.graph as Graph).setConstant(value, tensorOf("float32", tensor.shape, values));
}
