import { type Graph, type Model, type Tensor, tensorOf, type Value } from "../ir/index.ts";
import { invariant } from "../util/errors.ts";
import { trainBatchNormalization } from "./batch-normalization.ts";
import { trainDropout } from "./dropout.ts";
import { expandComposites } from "./expand.ts";
import { differentiate } from "./gradient.ts";
import { buildLoss, type Loss } from "./losses.ts";
import { buildUpdate, type Optimizer, optimizerStates } from "./optimizers.ts";
import {
  flatten,
  type Parameter,
  type Statistic,
  TrainingGraph,
  type TrainingGraphOptions,
  type TrainingMode,
} from "./training-graph.ts";

/** A change to the forward graph before losses and gradients are built: fake quantization, exit heads, feature matching. */
export type Transform = (training: TrainingGraph) => void;

export interface CompileOptions extends Omit<TrainingGraphOptions, "mode"> {
  readonly losses: readonly Loss[];
  readonly optimizer: Optimizer;
  /** "train": statistics of each batch; "frozen": the stored ones stay. Folding is done before (`prepareForTraining`). */
  readonly batchNormalization?: "train" | "frozen" | undefined;
  /** Scales the gradient down to this Euclidean norm where it is larger. */
  readonly clipNorm?: number | undefined;
  /** Keeps an exponential moving average of the weights (state "average", decay: input "average_decay"). */
  readonly average?: boolean | undefined;
  /** Multiplies the weights by the state "masks" after every update (pruning). */
  readonly masks?: boolean | undefined;
  readonly transforms?: readonly Transform[] | undefined;
  /** Further losses made by transforms, already weighted. */
  readonly extraLosses?: ((training: TrainingGraph) => readonly { readonly name: string; readonly value: Value }[]) | undefined;
}

/** A graph with state, as `runtime/stateful` loads it (`bytes` from the model). */
export interface TrainingProgram {
  readonly model: Model;
  /** Graph input → state, graph output → state that it replaces. */
  readonly stateInputs: Readonly<Record<string, string>>;
  readonly stateOutputs: Readonly<Record<string, string>>;
  /** Inputs that data fill, with static types. */
  readonly dataInputs: readonly {
    readonly name: string;
    readonly dtype: "float32" | "int64";
    readonly shape: readonly number[];
  }[];
  /** Scalar inputs and their usual values; all must be fed. */
  readonly hyperparameters: Readonly<Record<string, number>>;
  /** Outputs that are no states: "loss", "loss:<name>" of each part, "gradient_norm"; the model's outputs when evaluating. */
  readonly outputs: readonly string[];
}

/** Where each tensor lies in its flat vector. */
export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

export interface CompiledTraining {
  /** Forward, losses, backward and optimizer in one graph. */
  readonly step: TrainingProgram;
  /** Forward, losses and backward; adds the gradient times the input "gradient_scale" to the state "gradients". */
  readonly gradient: () => TrainingProgram;
  /** The optimizer alone, from the state "gradients", which it sets to zero. */
  readonly update: () => TrainingProgram;
  /** Forward and losses as in a step, without any gradient: moves the running statistics only (to estimate them anew). */
  readonly forward: () => TrainingProgram;
  /** Forward and losses with the present weights and stored statistics, no state changes. */
  readonly evaluate: () => TrainingProgram;
  readonly parameters: readonly Slot[];
  readonly statistics: readonly Slot[];
  /** States as they are before the first step: "parameters", "statistics", the optimizer's, "average", "masks", "gradients". */
  readonly initialStates: () => Record<string, Tensor>;
}

interface Forward {
  readonly training: TrainingGraph;
  /** Decayed ones first, so that weight decay is a slice. */
  readonly parameters: readonly Parameter[];
  readonly statistics: readonly Statistic[];
  readonly total: Value;
  readonly losses: readonly { readonly name: string; readonly value: Value }[];
}

function buildForward(model: Model, options: CompileOptions, mode: TrainingMode): Forward {
  const training = new TrainingGraph(model, { ...options, mode });
  const { b } = training;
  for (const transform of options.transforms ?? []) transform(training);
  if (options.batchNormalization !== "frozen") trainBatchNormalization(training);
  trainDropout(training);
  const weighted = options.losses.map((loss) => buildLoss(training, loss));
  const parts = weighted.map(({ name, value, weight }) => ({ name, value, scaled: b.mul(value, weight) }));
  const extra = options.extraLosses?.(training) ?? [];
  const scaled = [...parts.map((part) => part.scaled), ...extra.map(({ value }) => value)];
  invariant(scaled.length > 0, "training needs a loss");
  const total = scaled.reduce((a, part) => b.add(a, part));
  expandComposites(b);
  const parameters = [...training.parameters].sort((a, z) => Number(z.decay) - Number(a.decay));
  return { training, parameters, statistics: training.statistics, total, losses: [...parts, ...extra] };
}

const slotsOf = (tensors: readonly { readonly name: string; readonly initial: Tensor }[]): Slot[] => {
  let offset = 0;
  return tensors.map(({ name, initial }) => {
    const slot = { name, shape: initial.shape, offset, size: initial.size };
    offset += initial.size;
    return slot;
  });
};
const sizeOf = (slots: readonly Slot[]): number => slots.reduce((sum, { size }) => sum + size, 0);

/** Replaces the separate graph inputs by pieces of one flat state vector; returns the vector. */
function flattenInputs(training: TrainingGraph, state: string, values: readonly Value[]): Value {
  const { b, graph } = training;
  const sizes = values.map((value) => b.size(value));
  const flat = graph.addInput(state, { dtype: "float32", shape: [sizes.reduce((a, size) => a + size, 0)] });
  b.before(graph.firstNode, () => {
    const pieces = b.split(flat, sizes, 0);
    values.forEach((value, i) => {
      const piece = pieces[i] as Value;
      graph.replaceAllUses(
        value,
        piece === flat && b.rank(value) === 1 ? flat : b.op("Reshape", [piece, b.ints(b.shape(value))]),
      );
    });
  });
  for (const value of values) graph.inputs.splice(graph.inputs.indexOf(value), 1);
  graph.changed();
  return flat;
}

/** Names a value and makes it a graph output. */
function give(graph: Graph, b: TrainingGraph["b"], name: string, value: Value): void {
  const output = b.op("Identity", [value]);
  graph.rename(output, graph.freshName(name));
  graph.addOutput(output);
}

const flatGradient = ({ training: { b }, parameters }: Forward, gradients: readonly (Value | undefined)[]): Value =>
  b.concat(
    parameters.map(({ value }, i) =>
      gradients[i] ? b.reshape(gradients[i] as Value, [b.size(value)]) : b.zeros([b.size(value)]),
    ),
    0,
  );

const stateOutput = (state: string): string => `next:${state}`;

/** Turns a finished graph into a program: unused state inputs go, everything else is listed. */
function finish(forward: Forward, states: readonly string[], written: readonly string[]): TrainingProgram {
  const { training } = forward;
  const { graph } = training;
  removeDeadNodes(graph);
  const stateInputs = states.filter((state) => graph.inputs.some(({ name }) => name === state));
  for (const state of stateInputs) {
    const input = graph.inputs.find(({ name }) => name === state) as Value;
    if (input.uses.size > 0 || input.isGraphOutput) continue;
    graph.inputs.splice(graph.inputs.indexOf(input), 1);
  }
  const left = new Set(graph.inputs.map(({ name }) => name));
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
  const outputs = graph.outputs.map(({ name }) => name);
  return {
    model: training.model,
    stateInputs: Object.fromEntries(stateInputs.filter((state) => left.has(state)).map((state) => [state, state])),
    stateOutputs: Object.fromEntries(written.map((state) => [stateOutput(state), state])),
    dataInputs: training.dataInputs.map(({ name, type }) => ({
      name,
      dtype: type?.dtype as "float32",
      shape: type?.shape as readonly number[],
    })),
    hyperparameters: Object.fromEntries(training.hyperparameters),
    outputs: outputs.filter((name) => !name.startsWith("next:")),
  };
}

function removeDeadNodes(graph: Graph): void {
  for (const node of [...graph.nodesReversed()])
    if (node.outputs.every((output) => output.uses.size === 0 && !output.isGraphOutput)) graph.remove(node);
}

function giveLosses({ training, total, losses }: Forward): void {
  const { graph, b } = training;
  give(graph, b, "loss", total);
  if (losses.length > 1) for (const { name, value } of losses) give(graph, b, `loss:${name}`, value);
}

function giveStatistics(forward: Forward): readonly string[] {
  const { training, statistics } = forward;
  const { graph, b } = training;
  if (!statistics.some(({ next }) => next)) return [];
  const next = statistics.map((s) => b.reshape(s.next ?? s.value, [b.size(s.value)]));
  give(graph, b, stateOutput("statistics"), b.concat(next, 0));
  return ["statistics"];
}

/** Gradient clipped by its norm, weights moved, average and masks applied; gives the new states as outputs and names them. */
function giveUpdate(forward: Forward, options: CompileOptions, weights: Value, raw: Value): readonly string[] {
  const { training, parameters } = forward;
  const { graph, b } = training;
  const size = b.shape(weights);
  const vector = (name: string): Value => graph.addInput(name, { dtype: "float32", shape: size });
  const norm = b.sqrt(b.reduceSum(b.square(raw), undefined, false));
  give(graph, b, "gradient_norm", norm);
  const gradient =
    options.clipNorm === undefined ? raw : b.mul(raw, b.op("Min", [b.div(options.clipNorm, b.add(norm, 1e-6)), b.scalar(1)]));
  const decayed = parameters.filter(({ decay }) => decay).reduce((sum, { value }) => sum + b.size(value), 0);
  const states = optimizerStates(options.optimizer);
  const { weights: moved, states: next } = buildUpdate(b, options.optimizer, {
    weights,
    gradient,
    states: Object.fromEntries(states.map((name) => [name, vector(name)])),
    learningRate: training.hyperparameter("learning_rate", 0),
    decay: decayTerm(training, weights, decayed, options.optimizer.weightDecay),
    scalar: (name) => training.hyperparameter(name, 1),
  });
  const result = options.masks ? b.mul(moved, vector("masks")) : moved;
  give(graph, b, stateOutput("parameters"), result);
  for (const [name, value] of Object.entries(next)) give(graph, b, stateOutput(name), value);
  if (!options.average) return ["parameters", ...states];
  const average = vector("average");
  const rate = b.sub(1, training.hyperparameter("average_decay", 0.999));
  give(graph, b, stateOutput("average"), b.add(average, b.mul(b.sub(result, average), rate)));
  return ["parameters", ...states, "average"];
}

function decayTerm(training: TrainingGraph, weights: Value, decayed: number, weightDecay: number): Value | undefined {
  if (decayed === 0 || weightDecay === 0) return undefined;
  const { b } = training;
  const rest = b.size(weights) - decayed;
  const term = b.mul(b.slice(weights, 0, 0, decayed), training.hyperparameter("weight_decay", weightDecay));
  return rest === 0 ? term : b.op("Pad", [term, b.ints([0, rest])]);
}

const allStates = ["parameters", "statistics", "gradients", "momentum", "second_moment", "average", "masks"] as const;

/** A graph that gives losses, new statistics and the flat gradient. */
interface Backward {
  readonly forward: Forward;
  readonly weights: Value;
  readonly gradient: Value;
  readonly written: readonly string[];
}

function buildBackward(model: Model, options: CompileOptions): Backward {
  const forward = buildForward(model, options, "train");
  const { training, parameters, statistics, total } = forward;
  const values = parameters.map(({ value }) => value);
  const gradient = flatGradient(forward, differentiate(training.b, total, values));
  releaseOutputs(forward);
  giveLosses(forward);
  const written = giveStatistics(forward);
  const weights = flattenInputs(training, "parameters", values);
  if (statistics.length > 0)
    flattenInputs(
      training,
      "statistics",
      statistics.map(({ value }) => value),
    );
  return { forward, weights, gradient, written };
}

/** The model's own outputs are no outputs of a step. */
function releaseOutputs({ training: { graph } }: Forward): void {
  graph.outputs.length = 0;
  graph.changed();
}

function compileStep(model: Model, options: CompileOptions): { program: TrainingProgram; forward: Forward } {
  const { forward, weights, gradient, written } = buildBackward(model, options);
  const updated = giveUpdate(forward, options, weights, gradient);
  return { program: finish(forward, allStates, [...written, ...updated]), forward };
}

function compileGradient(model: Model, options: CompileOptions): TrainingProgram {
  const { forward, weights, gradient, written } = buildBackward(model, options);
  const { b, graph } = forward.training;
  const sum = graph.addInput("gradients", { dtype: "float32", shape: b.shape(weights) });
  const scaled = b.mul(gradient, forward.training.hyperparameter("gradient_scale", 1));
  give(graph, b, stateOutput("gradients"), b.add(sum, scaled));
  return finish(forward, allStates, [...written, "gradients"]);
}

function compileUpdate(model: Model, options: CompileOptions): TrainingProgram {
  const forward = buildForward(model, options, "train");
  const { training, parameters } = forward;
  const { b, graph } = training;
  releaseOutputs(forward);
  graph.inputs.length = 0;
  training.dataInputs.length = 0;
  training.hyperparameters.clear();
  const size = parameters.reduce((sum, { value }) => sum + b.size(value), 0);
  const weights = graph.addInput("parameters", { dtype: "float32", shape: [size] });
  const gradient = graph.addInput("gradients", { dtype: "float32", shape: [size] });
  const written = giveUpdate(forward, options, weights, gradient);
  give(graph, b, stateOutput("gradients"), b.zeros([size]));
  return finish(forward, allStates, [...written, "gradients"]);
}

function compileForward(model: Model, options: CompileOptions, mode: TrainingMode): TrainingProgram {
  const forward = buildForward(model, options, mode);
  const { training, parameters, statistics } = forward;
  if (mode === "train") releaseOutputs(forward);
  giveLosses(forward);
  const written = mode === "train" ? giveStatistics(forward) : [];
  flattenInputs(
    training,
    "parameters",
    parameters.map(({ value }) => value),
  );
  if (statistics.length > 0)
    flattenInputs(
      training,
      "statistics",
      statistics.map(({ value }) => value),
    );
  return finish(forward, allStates, written);
}

/**
 * Builds everything that training a model needs, as ONNX graphs of standard ops over flat state vectors. The model must be prepared
 * (`prepareForTraining`): working opset, no subgraphs on the way of gradients.
 *
 * @throws GRADIENT_MISSING, TRAIN_SHAPE, TRAIN_NOTHING, TRAIN_PATTERN, TRAIN_OUTPUT with the node, value or pattern that is to blame.
 */
export function compileTraining(model: Model, options: CompileOptions): CompiledTraining {
  const { program: step, forward } = compileStep(model, options);
  const parameters = slotsOf(forward.parameters);
  const statistics = slotsOf(forward.statistics);
  return {
    step,
    gradient: () => compileGradient(model, options),
    update: () => compileUpdate(model, options),
    forward: () => compileForward(model, options, "train"),
    evaluate: () => compileForward(model, options, "evaluate"),
    parameters,
    statistics,
    initialStates: () => {
      const flat = (tensors: readonly { initial: Tensor }[]): Tensor => {
        const values = flatten(tensors.map(({ initial }) => initial));
        return tensorOf("float32", [values.length], values);
      };
      const filled = (value: number): Tensor => {
        const size = sizeOf(parameters);
        return tensorOf("float32", [size], new Float32Array(size).fill(value));
      };
      const weights = flat(forward.parameters);
      return {
        parameters: weights,
        gradients: filled(0),
        ...(statistics.length > 0 ? { statistics: flat(forward.statistics) } : {}),
        ...Object.fromEntries(optimizerStates(options.optimizer).map((name) => [name, filled(0)])),
        ...(options.average ? { average: weights } : {}),
        ...(options.masks ? { masks: filled(1) } : {}),
      };
    },
  };
}

/** One tensor of a flat state. */
export function pieceOf(flat: Tensor, { shape, offset, size }: Slot): Tensor {
  const bytes = flat.bytes().subarray(4 * offset, 4 * (offset + size));
  return tensorOf("float32", shape, new Float32Array(new Uint8Array(bytes).buffer));
}

/** Writes trained weights and running statistics back into a copy of the model, by name. Tensors made for training alone are left out. */
export function exportTrained(
  model: Model,
  compiled: CompiledTraining,
  states: Readonly<Record<string, Tensor>>,
  weights = "parameters",
): Model {
  const copy = model.clone();
  const byName = new Map([...copy.graph.initializers].map((value) => [value.name, value]));
  for (const [state, slots] of [
    [weights, compiled.parameters],
    ["statistics", compiled.statistics],
  ] as const)
    for (const slot of slots) {
      const value = byName.get(slot.name);
      if (value) copy.graph.setConstant(value, pieceOf(states[state] as Tensor, slot));
    }
  return copy;
}
