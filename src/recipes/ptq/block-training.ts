import type { Model, Tensor, Value } from "../../ir/index.ts";
import { valuesByName } from "../../passes/cut.ts";
import type { Block } from "../../passes/quantize/blocks.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { powerOfTwoAbove, weightScales } from "../../passes/quantize/parameters.ts";
import type { NodePlan } from "../../passes/quantize/plan.ts";
import { trainingSession } from "../../runtime/executor.ts";
import { workerRuntime } from "../../runtime/stateful-worker.ts";
import { compileTraining } from "../../train/compile.ts";
import { type ActivationRange, fakeQuantize } from "../../train/fake-quantize.ts";
import { learnRounding, type RoundedWeight, roundingExponent, roundingPull } from "../../train/learned-rounding.ts";
import { optimizerSchema } from "../../train/optimizers.ts";
import { pieceOf } from "../../train/program.ts";
import { runTraining } from "../../train/trainer.ts";
import type { TrainingGraph } from "../../train/training-graph.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { biasesOf, merged } from "./block-choices.ts";
import { batches, batchShapes, energyOf } from "./block-data.ts";
import type { BlockData, Job, ReconstructOptions, Subject } from "./block-types.ts";

function roundedWeights(
  { plan, context, options, simplified }: Subject,
  block: Block,
  present: QuantizationChoices,
): RoundedWeight[] {
  const values = valuesByName(simplified);
  const { reduceRange: reduced, powerOfTwo, perChannel } = context.row.weight;
  return block.layers.flatMap((node) => {
    const nodePlan = plan.nodes.get(node) as NodePlan;
    const { index, axis } = nodePlan.weight as NonNullable<NodePlan["weight"]>;
    const { name } = node.inputs[index] as Value;
    const tensor = values.get(name)?.constant as Tensor;
    const choice = present.weights.get(name);
    const bits = choice?.bits ?? options.weightBits ?? 8;
    const limit = Math.min(reduced ? 63 : 127, 2 ** (bits - 1) - 1);
    const covering = choice?.scales ?? weightScales(tensor, axis, reduced, bits);
    const scales = powerOfTwo ? covering.map(powerOfTwoAbove) : covering;
    // 8-bit grids are fine enough, and where each channel has its own, rounding to nearest is as good as it gets
    return bits < 8 || !perChannel ? [{ name, axis, limit, scales, learnScales: bits < 8 && !powerOfTwo }] : [];
  });
}

/** In batches where the block takes them; sample by sample where its shapes are those of one; not at all where it has no gradient. */
export async function trainWhole(subject: Subject, block: Block, job: Job): Promise<QuantizationChoices | undefined> {
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
export async function train(subject: Subject, block: Block, job: Job): Promise<QuantizationChoices | undefined> {
  const { context, options } = subject;
  const { part, data, settled } = job;
  const weights = roundedWeights(subject, block, job.present);
  const biases = biasesOf(subject, block, job.present).map(({ value }) => value.name);
  const mode: ActivationRange = context.row.activation.powerOfTwo ? "power-of-two" : "relative";
  const batch = batchOf(part.model, data, options.batch);
  const optimizer = optimizerSchema.parse({ name: "adam", learningRate: options.learningRate });
  const compiled = compileTraining(withBiases(part.model, subject, block, job.present), {
    batch,
    trainable: [],
    inputShapes: batchShapes(data, batch),
    losses: [],
    optimizer,
    transforms: [(graph) => fakeQuantize(graph, { weights: [], weightScale: "max", activationRange: mode, fixed: settled })],
    extraLosses: (graph) => {
      const pull = learnRounding(graph, { weights, biases });
      const parts = targetLosses(graph, block, { ...job, batch });
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
    return merged(subject, block, job, { weights, pieces, mode });
  } finally {
    await runtime.close();
  }
}

/** A copy with the biases that were chosen before. */
function withBiases(model: Model, subject: Subject, block: Block, present: QuantizationChoices): Model {
  const copy = model.clone();
  const values = valuesByName(copy);
  for (const { value, bias } of biasesOf(subject, block, present)) {
    const own = values.get(value.name);
    if (own?.constant) copy.graph.setConstant(own, bias);
  }
  return copy;
}

/** What the block's results are trained towards: the float model's, each output relative to its energy. */
function targetLosses(graph: TrainingGraph, block: Block, { part, data, batch }: Job & { batch: number }) {
  const { b } = graph;
  return part.outputs.flatMap((name, k) => {
    const target = block.outputs[k] as string;
    const output = graph.graph.outputs[k] as Value;
    if (b.dtype(output) !== "float32") return [];
    const shape = b.shape(output);
    const example = data.targets[0]?.[target] as Tensor;
    checkBatch(shape, example, batch);
    const wanted = graph.dataInput(`target:${target}`, "float32", shape);
    const error = b.reduceMean(b.square(b.sub(output, wanted)), undefined, false);
    return [{ name, value: b.mul(error, (shape[1] ?? 1) / energyOf(data.targets, target)) }];
  });
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

/** Rounds over the samples after which a block only learns them by heart. */
const mostRounds = 100;

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
