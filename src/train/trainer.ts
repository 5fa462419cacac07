import { encodeOnnx } from "../formats/onnx/index.ts";
import { type Tensor, tensorOf, toFloat32 } from "../ir/index.ts";
import type { SessionOptions } from "../runtime/executor.ts";
import type { LoadedProgram, StatefulRuntime } from "../runtime/stateful.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { CompiledTraining } from "./compile.ts";
import { dropoutSeed } from "./dropout.ts";
import { type Optimizer, peakLearningRate, stepScalars } from "./optimizers.ts";
import type { TrainingProgram } from "./program.ts";
import { type Schedule, scheduleFactor } from "./schedules.ts";

/** What a step takes: the model's inputs and the losses' targets, by name. */
export interface TrainerBatch {
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly targets: Readonly<Record<string, Tensor>>;
}

/** Where a run stands: `step` optimizer steps of `epoch` are done. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
}

export interface StepReport extends Position {
  /** Optimizer steps since the run began, this one included. */
  readonly globalStep: number;
  readonly totalSteps: number;
  /** Mean over the accumulated batches. */
  readonly loss: number;
  /** Parts of the loss by name, when there are several. */
  readonly parts: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
  readonly learningRate: number;
}

export interface TrainerOptions {
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly epochs: number;
  /** Optimizer steps of an epoch; each takes `accumulate` batches. */
  readonly stepsPerEpoch: number;
  readonly accumulate?: number | undefined;
  readonly seed?: number | undefined;
  readonly averageDecay?: number | undefined;
  readonly session?: SessionOptions | undefined;
  /** Where to begin; the states in the runtime must be those of that moment. */
  readonly from?: Position | undefined;
  /** Further scalar inputs by global step (0-based): observers, loss weights. */
  readonly hyperparameters?: ((step: number, total: number) => Readonly<Record<string, number>>) | undefined;
  readonly onStep?: ((report: StepReport) => void | Promise<void>) | undefined;
  /** After each epoch; "stop" ends the run early. */
  readonly onEpoch?: ((epoch: number) => Promise<"stop" | undefined> | undefined) | undefined;
  /** Whether a loss far above its early size counts as divergence; false where the loss changes its meaning on the way. Default true. */
  readonly watchGrowth?: boolean | undefined;
  /** Ends the run after the step that is under way. */
  readonly signal?: AbortSignal | undefined;
}

export interface TrainerResult extends Position {
  readonly reason: "finished" | "stopped" | "interrupted";
}

/** Batches of an epoch from a batch on: the same every time it is asked. */
export type Batches = (epoch: number, startBatch: number) => AsyncIterable<TrainerBatch>;

const scalarFeeds = (values: Readonly<Record<string, number>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, tensorOf("float32", [], [value])]));
const numberOf = (tensor: Tensor | undefined): number => (tensor ? (toFloat32(tensor)[0] as number) : Number.NaN);

/** A number in [0, 1) that depends on seed and step alone, spread evenly (multiples of the golden ratio). */
const seedOf = (seed: number, step: number): number => ((seed + 1) * 0.754_877_666 + (step + 1) * 0.618_033_989) % 1;

interface Bound {
  readonly program: TrainingProgram;
  readonly loaded: LoadedProgram;
}

/** One optimizer step on one or several batches. */
class Stepper {
  readonly #programs: readonly Bound[];

  private constructor(programs: readonly Bound[]) {
    this.#programs = programs;
  }

  static async load(compiled: CompiledTraining, runtime: StatefulRuntime, options: TrainerOptions): Promise<Stepper> {
    const programs = (options.accumulate ?? 1) === 1 ? [compiled.step] : [compiled.gradient(), compiled.update()];
    const loaded = [];
    for (const program of programs)
      loaded.push({ program, loaded: await runtime.load({ ...program, bytes: encodeOnnx(program.model) }, options.session) });
    return new Stepper(loaded);
  }

  async #run(index: number, batch: TrainerBatch | undefined, values: Readonly<Record<string, number>>) {
    const { program, loaded } = this.#programs[index] as Bound;
    const hyper = Object.fromEntries(
      Object.entries(program.hyperparameters).map(([name, usual]) => [name, values[name] ?? usual]),
    );
    const data = Object.fromEntries(program.dataInputs.map(({ name }) => [name, dataOf(batch, name)]));
    return loaded.run({ ...data, ...scalarFeeds(hyper) });
  }

  async step(batches: readonly TrainerBatch[], values: Readonly<Record<string, number>>) {
    if (this.#programs.length === 1) {
      const outputs = await this.#run(0, batches[0], values);
      return { loss: numberOf(outputs.loss), parts: partsOf([outputs]), gradientNorm: numberOf(outputs.gradient_norm) };
    }
    const results = [];
    for (const batch of batches) results.push(await this.#run(0, batch, { ...values, gradient_scale: 1 / batches.length }));
    const update = await this.#run(1, undefined, values);
    const loss = results.reduce((sum, outputs) => sum + numberOf(outputs.loss), 0) / results.length;
    return { loss, parts: partsOf(results), gradientNorm: numberOf(update.gradient_norm) };
  }

  async release(): Promise<void> {
    for (const { loaded } of this.#programs) await loaded.release();
  }
}

function dataOf(batch: TrainerBatch | undefined, name: string): Tensor {
  const tensor = batch?.feeds[name] ?? batch?.targets[name];
  if (tensor) return tensor;
  throw new EdgewrightError("TRAIN_BATCH", `The batches hold no "${name}", which the training graph needs.`, {
    subject: name,
    hint: `They hold: ${[...Object.keys(batch?.feeds ?? {}), ...Object.keys(batch?.targets ?? {})].join(", ")}.`,
  });
}

function partsOf(results: readonly Readonly<Record<string, Tensor>>[]): Record<string, number> {
  const parts: Record<string, number> = {};
  for (const outputs of results)
    for (const [name, tensor] of Object.entries(outputs))
      if (name.startsWith("loss:")) parts[name.slice(5)] = (parts[name.slice(5)] ?? 0) + numberOf(tensor) / results.length;
  return parts;
}

/** Watches the loss: numbers that are none end the run at once, a loss far above its usual size after a while. */
class DivergenceWatch {
  readonly #early: number[] = [];
  #bad = 0;
  readonly #growth: boolean;

  constructor(growth: boolean) {
    this.#growth = growth;
  }

  check({ loss, gradientNorm, globalStep, learningRate }: StepReport): void {
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm))
      throw diverged(`The loss is ${loss} and the gradient's norm ${gradientNorm} at step ${globalStep}`, learningRate);
    if (!this.#growth) return;
    if (this.#early.length < 20) {
      this.#early.push(Math.abs(loss));
      return;
    }
    const usual = this.#early.toSorted((a, b) => a - b)[10] as number;
    this.#bad = loss > 10 * usual + 1 ? this.#bad + 1 : 0;
    if (this.#bad >= 20)
      throw diverged(
        `The loss has been more than ten times its early size (${usual.toPrecision(3)}) for 20 steps, at step ${globalStep}`,
        learningRate,
      );
  }
}

const diverged = (what: string, learningRate: number): EdgewrightError =>
  new EdgewrightError("TRAIN_DIVERGED", `${what}: training diverged at learning rate ${learningRate.toPrecision(3)}.`, {
    hint: "Try a lower learning rate (a tenth), clipNorm 1, or warmUpSteps; check that inputs and targets are finite.",
  });

/** Takes `count` batches at a time; an incomplete last group is left out. */
async function* groups(batches: AsyncIterable<TrainerBatch>, count: number): AsyncGenerator<readonly TrainerBatch[]> {
  let group: TrainerBatch[] = [];
  for await (const batch of batches) {
    group.push(batch);
    if (group.length < count) continue;
    yield group;
    group = [];
  }
}

/**
 * Runs optimizer steps over epochs of batches, on states that are in the runtime already. Everything random comes from the seed and the
 * step's number, so that a run that begins at a stored position continues as if it had never stopped.
 *
 * @throws TRAIN_DIVERGED when the loss is no number any more or far above where it began; the states are then as that step left them.
 */
export async function runTraining(
  compiled: CompiledTraining,
  runtime: StatefulRuntime,
  batches: Batches,
  options: TrainerOptions,
): Promise<TrainerResult> {
  const { epochs, stepsPerEpoch, accumulate = 1, from = { epoch: 0, step: 0 } } = options;
  const stepper = await Stepper.load(compiled, runtime, options);
  const watch = new DivergenceWatch(options.watchGrowth ?? true);
  const total = epochs * stepsPerEpoch;
  try {
    for (let epoch = from.epoch; epoch < epochs; epoch++) {
      let step = epoch === from.epoch ? from.step : 0;
      for await (const group of groups(batches(epoch, step * accumulate), accumulate)) {
        if (step >= stepsPerEpoch) break;
        const globalStep = epoch * stepsPerEpoch + step;
        const values = valuesAt(options, globalStep, total);
        const outcome = await stepper.step(group, values);
        step++;
        const learningRate = values.learning_rate as number;
        const report = { ...outcome, epoch, step, globalStep: globalStep + 1, totalSteps: total, learningRate };
        watch.check(report);
        await options.onStep?.(report);
        if (options.signal?.aborted) return { epoch, step, reason: "interrupted" };
      }
      if ((await options.onEpoch?.(epoch)) === "stop") return { epoch: epoch + 1, step: 0, reason: "stopped" };
      if (options.signal?.aborted) return { epoch: epoch + 1, step: 0, reason: "interrupted" };
    }
    return { epoch: epochs, step: 0, reason: "finished" };
  } finally {
    await stepper.release();
  }
}

/** Every scalar input of a step. */
function valuesAt(options: TrainerOptions, step: number, total: number): Record<string, number> {
  const { optimizer, schedule } = options;
  return {
    learning_rate: peakLearningRate(optimizer) * scheduleFactor(schedule, step, total),
    weight_decay: optimizer.weightDecay,
    ...stepScalars(optimizer, step + 1),
    [dropoutSeed]: seedOf(options.seed ?? 0, step),
    ...(options.averageDecay === undefined ? {} : { average_decay: Math.min(options.averageDecay, (1 + step) / (10 + step)) }),
    ...options.hyperparameters?.(step, total),
  };
}
