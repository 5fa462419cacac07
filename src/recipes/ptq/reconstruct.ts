import { encodeOnnx } from "../../formats/onnx/index.ts";
import { type Model, type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { inferShapes } from "../../ops/infer.ts";
import { quantizeLinear } from "../../ops/quantize-linear.ts";
import { lookupOp } from "../../ops/registry.ts";
import { cutModel, valuesByName } from "../../passes/cut.ts";
import { type Block, blocksOf } from "../../passes/quantize/blocks.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { powerOfTwoAbove, weightScales } from "../../passes/quantize/parameters.ts";
import { type NodePlan, nodeKey, planQuantization, type QuantizationPlan } from "../../passes/quantize/plan.ts";
import { dequantizedValues } from "../../passes/quantize/probe.ts";
import type { Range } from "../../passes/quantize/ranges.ts";
import { integerBounds } from "../../passes/quantize/row.ts";
import { scaleGroups } from "../../passes/quantize/scales.ts";
import { trainingSession } from "../../runtime/executor.ts";
import { workerRuntime } from "../../runtime/stateful-worker.ts";
import { compileTraining } from "../../train/compile.ts";
import { type ActivationRange, fakeQuantize, scaleExponentName, trainedScale } from "../../train/fake-quantize.ts";
import {
  learnRounding,
  nearestIntegers,
  type RoundedWeight,
  roundedIntegers,
  roundingExponent,
  roundingName,
  roundingPull,
  shiftedBias,
  shiftName,
  trainedWeightScales,
  weightExponentName,
} from "../../train/learned-rounding.ts";
import { optimizerSchema } from "../../train/optimizers.ts";
import { pieceOf } from "../../train/program.ts";
import { runTraining, type TrainerBatch } from "../../train/trainer.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { seededRandom, shuffled } from "../../util/random.ts";
import { type Imitation, imitate } from "../imitation.ts";
import type { PtqContext } from "./context.ts";
import { type QuantizeOptions, quantized } from "./quantized.ts";

export interface ReconstructOptions extends QuantizeOptions {
  /** Optimizer steps per block. */
  readonly steps: number;
  readonly batch: number;
  readonly learningRate: number;
  /** Strength of the pull towards whole integers at the end. */
  readonly pull: number;
  /** Learn how weights are rounded; else ranges and biases only. */
  readonly rounding: boolean;
  readonly seed: number;
  /** No block is begun after this moment (performance.now()); what was tuned so far is kept. */
  readonly deadline?: number;
  /** Called with the choices so far after every block, so that nothing is lost. */
  readonly onBlock?: (choices: QuantizationChoices, report: BlockReport) => void;
}

export interface BlockReport {
  readonly layers: readonly string[];
  /** Relative squared error of the block's outputs before and after, on inputs that it did not learn from. */
  readonly before: number;
  readonly after: number;
  readonly seconds: number;
}

/** Bytes of a block's cached inputs and targets; fewer samples where one takes more. */
const cacheBytes = 768 * 2 ** 20;

interface Subject {
  readonly simplified: Model;
  readonly plan: QuantizationPlan;
  readonly context: PtqContext;
  readonly options: ReconstructOptions;
}

/**
 * Tunes block after block so that each one's results on inputs as quantized so far come close to the float model's: learned rounding
 * (AdaRound) of all layers of a block together (BRECQ: Li et al., 2021), thresholds by gradient (TQT, LSQ), and shifts of biases. Needs no
 * labels. A block whose error does not fall keeps its old choices.
 */
export async function reconstruct(
  simplified: Model,
  context: PtqContext,
  choices: QuantizationChoices,
  options: ReconstructOptions,
): Promise<{ readonly choices: QuantizationChoices; readonly reports: readonly BlockReport[] }> {
  const model = simplified.clone();
  inferShapes(model);
  const plan = planQuantization(model, context.row, new Set(options.exclude));
  const subject: Subject = { simplified: model, plan, context, options };
  const reports: BlockReport[] = [];
  const settled = new Set<string>();
  const blocks = blocksOf(model, plan);
  let present = choices;
  for (const [i, block] of blocks.entries()) {
    if (performance.now() > (options.deadline ?? Number.POSITIVE_INFINITY)) break;
    context.options.signal?.throwIfAborted();
    context.options.onProgress?.({
      step: "reconstruct",
      done: i,
      total: blocks.length,
      detail: block.layers.map(nodeKey).join(", "),
    });
    const { next, report } = await tuneBlock(subject, block, present, settled);
    present = next;
    reports.push(report);
    options.onBlock?.(present, report);
  }
  return { choices: present, reports };
}

interface Tuned {
  readonly next: QuantizationChoices;
  readonly report: BlockReport;
}

async function tuneBlock(subject: Subject, block: Block, present: QuantizationChoices, settled: Set<string>): Promise<Tuned> {
  const started = performance.now();
  const { simplified, context, options } = subject;
  const imitation = await imitate(simplified, { ...context, ...present, ...passOptions(options) });
  const part = cutImitation(imitation, block);
  const { data, held } = split(await collect(subject, block, part, present));
  const before = await errorOf(subject, block, present, held);
  const trained = await trainWhole(subject, block, { part, imitation, data, present, settled });
  const after = trained ? await errorOf(subject, block, trained, held) : Number.POSITIVE_INFINITY;
  const better = trained && after < before;
  for (const name of groupNames(imitation, part)) settled.add(name);
  return {
    next: better ? trained : present,
    report: {
      layers: block.layers.map(nodeKey),
      before,
      after: Math.min(before, after),
      seconds: (performance.now() - started) / 1000,
    },
  };
}

/** One sample in four is held apart and decides whether a block has learned something. */
function split({ inputs, targets }: BlockData): { data: BlockData; held: BlockData } {
  if (inputs.length < 8) return { data: { inputs, targets }, held: { inputs, targets } };
  const pick = <T>(list: readonly T[], apart: boolean): T[] => list.filter((_, i) => (i % 4 === 3) === apart);
  return {
    data: { inputs: pick(inputs, false), targets: pick(targets, false) },
    held: { inputs: pick(inputs, true), targets: pick(targets, true) },
  };
}

const passOptions = ({ exclude, weightBits }: QuantizeOptions): QuantizeOptions => ({
  ...(exclude ? { exclude } : {}),
  ...(weightBits === undefined ? {} : { weightBits }),
});

/** Where the quantized graph carries a float value: behind its pair where it has one that all readers share, else the value itself. */
function counterparts({ model, points }: Imitation): Map<string, string> {
  const found = new Map<string, string>();
  for (const node of model.graph.nodes) {
    if (lookupOp(node, model.opsets) !== quantizeLinear) continue;
    const from = (node.inputs[0] as Value).name;
    const behind = node.output.soleConsumer?.output.name;
    if (behind) found.set(points.get(from) ?? from, behind);
  }
  return found;
}

interface Part {
  readonly model: Model;
  /** The block's outputs there, in the order of the block's. */
  readonly outputs: readonly string[];
}

function cutImitation(imitation: Imitation, block: Block): Part {
  const behind = counterparts(imitation);
  const { model } = imitation;
  const known = valuesByName(model);
  const inputs = block.inputs.flatMap((name) => [name, behind.get(name)]).filter((name) => name !== undefined && known.has(name));
  const outputs = block.outputs.map((name) => behind.get(name) ?? name);
  const part = cutModel(model, { inputs: (inputs as string[]).map((name) => ({ name })), outputs });
  return { model: part, outputs };
}

/** Inputs of the part as the quantized model makes them, and the float model's results: per sample. */
interface BlockData {
  readonly inputs: readonly Readonly<Record<string, Tensor>>[];
  readonly targets: readonly Readonly<Record<string, Tensor>>[];
}

async function runOn(
  model: Model,
  feeds: readonly Feeds[],
  { executor, threads, options }: PtqContext,
  keep: (outputs: Readonly<Record<string, Tensor>>) => boolean,
): Promise<void> {
  const session = await executor.load(encodeOnnx(model), { threads });
  try {
    for (const one of feeds) {
      options.signal?.throwIfAborted();
      if (!keep(await session.run(one))) return;
    }
  } finally {
    await session.release();
  }
}

async function collect(
  { simplified, context, options }: Subject,
  block: Block,
  part: Part,
  present: QuantizationChoices,
): Promise<BlockData> {
  const targets: Record<string, Tensor>[] = [];
  let bytes = 0;
  await runOn(cutModel(simplified, { outputs: block.outputs }), context.feeds, context, (outputs) => {
    targets.push(outputs);
    bytes += 2 * Object.values(outputs).reduce((sum, tensor) => sum + tensor.size * 4, 0);
    return bytes < cacheBytes;
  });
  const names = part.model.graph.inputs.map(({ name }) => name);
  const own = new Set(simplified.graph.inputs.map(({ name }) => name));
  const inner = names.filter((name) => !own.has(name));
  const inputs: Record<string, Tensor>[] = [];
  const feeds = context.feeds.slice(0, targets.length);
  const given = feeds.map((one) => Object.fromEntries(names.flatMap((name) => (one[name] ? [[name, one[name]]] : []))));
  if (inner.length === 0) return { inputs: given, targets };
  const model = await quantized(simplified, context, present, passOptions(options));
  await runOn(cutModel(model, { outputs: inner }), feeds, context, (outputs) => {
    inputs.push({ ...given[inputs.length], ...outputs });
    return true;
  });
  return { inputs, targets };
}

/** Relative squared error of the block's results when it runs in integers with the given choices, on what it is fed now. */
async function errorOf(
  { simplified, context, options }: Subject,
  block: Block,
  choices: QuantizationChoices,
  data: BlockData,
): Promise<number> {
  const imitation = await imitate(simplified, { ...context, ...choices, ...passOptions(options) });
  const part = cutImitation(imitation, block);
  const model = await quantized(simplified, context, choices, passOptions(options));
  const integer = cutModel(model, {
    inputs: part.model.graph.inputs.map(({ name, type }) => ({ name, ...(type ? { type } : {}) })),
    outputs: part.outputs,
  });
  let noise = 0;
  let signal = 0;
  let i = 0;
  await runOn(integer, data.inputs, context, (outputs) => {
    block.outputs.forEach((name, k) => {
      const wanted = toFloat32(data.targets[i]?.[name] as Tensor);
      const got = toFloat32(outputs[part.outputs[k] as string] as Tensor);
      for (let j = 0; j < wanted.length; j++) {
        noise += ((got[j] as number) - (wanted[j] as number)) ** 2;
        signal += (wanted[j] as number) ** 2;
      }
    });
    i++;
    return true;
  });
  return signal === 0 ? noise : noise / signal;
}

interface Job {
  readonly part: Part;
  readonly imitation: Imitation;
  readonly data: BlockData;
  readonly present: QuantizationChoices;
  /** Values whose ranges earlier blocks have tuned. */
  readonly settled: ReadonlySet<string>;
}

/** Quantize nodes' inputs in the part. */
const groupNames = (_: Imitation, { model }: Part): string[] =>
  [...model.graph.nodes].flatMap((node) =>
    lookupOp(node, model.opsets) === quantizeLinear ? [(node.inputs[0] as Value).name] : [],
  );

function roundedWeights(
  { plan, context, options, simplified }: Subject,
  block: Block,
  present: QuantizationChoices,
): RoundedWeight[] {
  const values = valuesByName(simplified);
  return block.layers.flatMap((node) => {
    const nodePlan = plan.nodes.get(node) as NodePlan;
    const { index, axis } = nodePlan.weight as NonNullable<NodePlan["weight"]>;
    const { name } = node.inputs[index] as Value;
    const tensor = values.get(name)?.constant as Tensor;
    const choice = present.weights.get(name);
    const bits = choice?.bits ?? options.weightBits ?? 8;
    const reduced = context.row.weight.reduceRange;
    const limit = Math.min(reduced ? 63 : 127, 2 ** (bits - 1) - 1);
    const covering = choice?.scales ?? weightScales(tensor, axis, reduced, bits);
    const scales = context.row.weight.powerOfTwo ? covering.map(powerOfTwoAbove) : covering;
    // 8-bit grids are fine enough; powers of two are what they are
    const learnScales = bits < 8 && !context.row.weight.powerOfTwo;
    // and where each channel has its own, rounding to nearest is as good as it gets
    return bits < 8 || !context.row.weight.perChannel ? [{ name, axis, limit, learnScales, scales }] : [];
  });
}

/** In batches where the block takes them; sample by sample where its shapes are those of one; not at all where it has no gradient. */
async function trainWhole(subject: Subject, block: Block, job: Job): Promise<QuantizationChoices | undefined> {
  const { options } = subject;
  for (const batch of new Set([options.batch, 1])) {
    try {
      return await train({ ...subject, options: { ...options, batch } }, block, job);
    } catch (error) {
      subject.context.options.signal?.throwIfAborted();
      if (!(error instanceof EdgewrightError)) throw error;
    }
  }
  return undefined;
}

/** Trains and gives the new choices; undefined where the block holds nothing that training can change. */
async function train(subject: Subject, block: Block, job: Job): Promise<QuantizationChoices | undefined> {
  const { context, options } = subject;
  const { part, data, settled } = job;
  const weights = roundedWeights(subject, block, job.present);
  const biases = biasNames(subject, block);
  const mode: ActivationRange = context.row.activation.powerOfTwo ? "power-of-two" : "relative";
  const targets = part.outputs.map((name, k) => ({ name, target: block.outputs[k] as string }));
  const energies = targets.map(({ target }) => energyOf(data.targets, target));
  const batch = batchOf(part.model, data, options.batch);
  const optimizer = optimizerSchema.parse({ name: "adam", learningRate: options.learningRate });
  const compiled = compileTraining(options.rounding ? part.model : withRounded(part.model, weights, job.present), {
    batch,
    trainable: [],
    inputShapes: batchShapes(data, batch),
    losses: [],
    optimizer,
    transforms: [(graph) => fakeQuantize(graph, { weights: [], weightScale: "max", activationRange: mode, fixed: settled })],
    extraLosses: (graph) => {
      const pull = learnRounding(graph, { weights: options.rounding ? weights : [], biases });
      const { b } = graph;
      const parts = targets.flatMap(({ name, target }, k) => {
        const output = graph.graph.outputs[k] as Value;
        if (b.dtype(output) !== "float32") return [];
        checkBatch(b.shape(output), data.targets[0]?.[target] as Tensor, batch);
        const wanted = graph.dataInput(`target:${target}`, "float32", b.shape(output));
        const width = b.shape(output)[1] ?? 1;
        const error = b.reduceMean(b.square(b.sub(output, wanted)), undefined, false);
        return [{ name, value: b.mul(error, width / (energies[k] as number)) }];
      });
      return pull ? [...parts, { name: "rounding", value: pull }] : parts;
    },
  });
  const runtime = await workerRuntime();
  try {
    const { gradients: _, ...states } = compiled.initialStates();
    await runtime.write(states);
    await runTraining(compiled, runtime, () => batches(data, batch, options), {
      optimizer,
      schedule: { name: "cosine", warmUpSteps: 0, finalFraction: 0.05 },
      epochs: 1,
      stepsPerEpoch: stepsOf(options, data, batch),
      session: trainingSession(context.threads),
      hyperparameters: (step, total) => pullAt(step / total, options.pull),
      watchGrowth: false,
      signal: context.options.signal,
    });
    const { parameters } = await runtime.read(["parameters"]);
    const pieces = new Map(compiled.parameters.map((slot) => [slot.name, pieceOf(parameters as Tensor, slot)]));
    return merged(subject, block, job, { weights: options.rounding ? weights : [], pieces, mode });
  } finally {
    await runtime.close();
  }
}

/** A block that writes the batch of one into its shapes cannot be trained in larger ones. */
function checkBatch(shape: readonly number[], target: Tensor, batch: number): void {
  const [first = 1, ...others] = target.shape;
  if (shape[0] === batch * first && others.every((dim, i) => dim === shape[i + 1])) return;
  throw new EdgewrightError(
    "RECONSTRUCT_BATCH",
    `The block gives [${shape}] for a batch of ${batch}, not ${batch} times [${target.shape}].`,
  );
}

/** A copy in which weights are what their integers stand for. */
function withRounded(model: Model, weights: readonly RoundedWeight[], { weights: present }: QuantizationChoices): Model {
  const copy = model.clone();
  const values = valuesByName(copy);
  for (const weight of weights) {
    const value = values.get(weight.name);
    if (!value?.constant) continue;
    const { shape } = value.constant;
    const integers = present.get(weight.name)?.integers ?? nearestIntegers(value.constant, weight);
    copy.graph.setConstant(value, tensorOf("float32", shape, dequantizedValues(integers, shape, weight.scales, weight.axis)));
  }
  return copy;
}

/** Rounds over the samples after which a block only learns them by heart. */
const mostRounds = 40;

const stepsOf = ({ steps }: ReconstructOptions, { inputs }: BlockData, batch: number): number =>
  Math.max(20, Math.min(steps, Math.ceil((mostRounds * inputs.length) / batch)));

/** Elements of activations that a step may hold: large feature maps tell as much with few samples as small ones with many. */
const stepElements = 4e6;

function batchOf(model: Model, { inputs }: BlockData, most: number): number {
  const elements = [...model.graph.nodes]
    .flatMap((node) => node.outputs)
    .map(({ type }) =>
      (type?.shape ?? []).reduce<number>((product, dim, i) => (i > 0 && typeof dim === "number" ? product * dim : product), 1),
    )
    .reduce((sum, size) => sum + size, 0);
  return Math.max(1, Math.min(most, inputs.length, Math.max(4, Math.floor(stepElements / Math.max(1, elements)))));
}

/**
 * No pull for the first fifth; then it grows a thousandfold to its full strength, so that weights which matter little to the results
 * settle first and the others make up for it. (A constant pull with an exponent that falls from 20 to 2, as published for 10,000 steps,
 * leaves nearly half of the weights between two integers after a few hundred.)
 */
function pullAt(part: number, pull: number): Record<string, number> {
  const rest = Math.max(0, (part - 0.2) / 0.8);
  return { [roundingPull]: part < 0.2 ? 0 : pull * 10 ** (3 * (rest - 1)), [roundingExponent]: 2 };
}

const biasNames = ({ plan }: Subject, block: Block): string[] =>
  block.layers.flatMap((node) => {
    const index = plan.nodes.get(node)?.weight?.bias;
    const value = index === undefined ? undefined : node.inputs[index];
    return value?.constant && value.uses.size === 1 ? [value.name] : [];
  });

const energyOf = (targets: BlockData["targets"], name: string): number => {
  let sum = 0;
  let count = 0;
  for (const target of targets) {
    const values = toFloat32(target[name] as Tensor);
    for (const value of values) sum += value * value;
    count += values.length;
  }
  return Math.max(1e-12, sum / Math.max(1, count));
};

/** Samples' leading extents put together. */
function batchShapes({ inputs }: BlockData, batch: number): Record<string, readonly number[]> {
  const first = inputs[0] ?? {};
  return Object.fromEntries(
    Object.entries(first).map(([name, tensor]) => [name, [batch * (tensor.shape[0] ?? 1), ...tensor.shape.slice(1)]]),
  );
}

function stacked(tensors: readonly Tensor[]): Tensor {
  const first = tensors[0] as Tensor;
  const shape = [tensors.length * (first.shape[0] ?? 1), ...first.shape.slice(1)];
  if (first.dtype !== "float32") {
    const parts = tensors.map((tensor) => tensor.bytes());
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return new (first.constructor as new (dtype: Tensor["dtype"], shape: readonly number[], bytes: Uint8Array) => Tensor)(
      first.dtype,
      shape,
      bytes,
    );
  }
  const values = new Float32Array(first.size * tensors.length);
  for (const [i, tensor] of tensors.entries()) values.set(toFloat32(tensor), i * first.size);
  return tensorOf("float32", shape, values);
}

/** Endless batches in a seeded order, each sample once a round. */
async function* batches(
  { inputs, targets }: BlockData,
  batch: number,
  { steps, seed }: ReconstructOptions,
): AsyncGenerator<TrainerBatch> {
  let order: number[] = [];
  for (let step = 0, round = 0; step < steps; step++) {
    if (order.length < batch)
      order = shuffled(
        inputs.map((_, i) => i),
        seededRandom(seed * 1009 + round++),
      );
    const picked = order.splice(0, batch);
    const stack = (from: readonly Readonly<Record<string, Tensor>>[], prefix: string): Record<string, Tensor> =>
      Object.fromEntries(
        Object.keys(from[0] ?? {}).map((name) => [`${prefix}${name}`, stacked(picked.map((i) => from[i]?.[name] as Tensor))]),
      );
    yield { feeds: stack(inputs, ""), targets: stack(targets, "target:") };
  }
}

/** Present choices with what the block's training found. */
function merged(
  { plan, simplified }: Subject,
  block: Block,
  { part, imitation, present, settled }: Job,
  { weights, pieces, mode }: { weights: readonly RoundedWeight[]; pieces: ReadonlyMap<string, Tensor>; mode: ActivationRange },
): QuantizationChoices {
  const values = valuesByName(simplified);
  const found = { ranges: new Map(present.ranges), weights: new Map(present.weights), biases: new Map(present.biases) };
  for (const weight of weights) {
    const v = pieces.get(roundingName(weight.name));
    const tensor = values.get(weight.name)?.constant;
    if (!v || !tensor) continue;
    found.weights.set(weight.name, {
      ...found.weights.get(weight.name),
      scales: trainedWeightScales(weight, pieces.get(weightExponentName(weight.name))),
      integers: roundedIntegers(tensor, weight, v),
    });
  }
  for (const node of block.layers) {
    const index = plan.nodes.get(node)?.weight?.bias;
    const value = index === undefined ? undefined : node.inputs[index];
    const shift = value && pieces.get(shiftName(value.name));
    if (value?.constant && shift) found.biases.set(nodeKey(node), shiftedBias(value.constant, shift));
  }
  for (const [name, range] of trainedRanges(part.model, pieces, settled, mode))
    for (const alias of aliases(plan, imitation.points.get(name) ?? name)) found.ranges.set(alias, range);
  return found;
}

/** All values that share a value's scale. */
function aliases(plan: QuantizationPlan, name: string): string[] {
  const groups = scaleGroups(plan);
  const own = [...groups.keys()].find((value) => value.name === name);
  const root = own && groups.get(own);
  return root ? [...groups].flatMap(([value, other]) => (other === root ? [value.name] : [])) : [name];
}

function* trainedRanges(
  model: Model,
  pieces: ReadonlyMap<string, Tensor>,
  settled: ReadonlySet<string>,
  mode: ActivationRange,
): Generator<[string, Range]> {
  const groups = new Map<string, string>();
  for (const node of model.graph.nodes) {
    if (lookupOp(node, model.opsets) !== quantizeLinear) continue;
    const [input, scale, zero] = node.inputs as readonly Value[];
    if (!input || !scale?.constant || !zero?.constant || settled.has(input.name)) continue;
    const dtype = zero.constant.dtype as "uint8" | "int8";
    const point = dtype === "uint8" ? Number(zero.constant.bytes()[0]) : (new Int8Array(zero.constant.bytes())[0] as number);
    const initial = toFloat32(scale.constant)[0] as number;
    const key = `${initial}:${point}:${dtype}`;
    const group = groups.get(key) ?? input.name;
    groups.set(key, group);
    const exponent = pieces.get(scaleExponentName(group));
    if (!exponent) continue;
    const trained = trainedScale(initial, toFloat32(exponent)[0] as number, mode as "relative");
    const [low, high] = integerBounds(dtype);
    const symmetric = dtype === "int8" && point === 0;
    yield [input.name, { min: ((symmetric ? -high : low) - point) * trained, max: (high - point) * trained }];
  }
}
