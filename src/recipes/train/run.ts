import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { prefetch, type SampleStore, type TrainingBatch, trainingBatches } from "../../data/train/index.ts";
import type { Model, Tensor } from "../../ir/index.ts";
import { trainingSession } from "../../runtime/executor.ts";
import { loadExecutor } from "../../runtime/executors.ts";
import { loadModel, saveModel } from "../../runtime/model-file.ts";
import type { StatefulRuntime } from "../../runtime/stateful.ts";
import { workerRuntime } from "../../runtime/stateful-worker.ts";
import { autoTune, type TuningCache } from "../../train/autotune.ts";
import { type CompiledTraining, compileTraining } from "../../train/compile.ts";
import { type Position, runTraining, type StepReport } from "../../train/trainer.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { writeWhole } from "../workspace.ts";
import { type Checkpoint, configDigest, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { TrainingLog, Window } from "./log.ts";
import { setUpTraining, type TrainSetup } from "./open.ts";
import type { Task } from "./setup.ts";
import { type Validation, validateModel } from "./validate.ts";

export interface TrainRequest {
  readonly config: TrainConfig;
  /** Folder for everything that the run writes. */
  readonly out: string;
  /** Go on from the checkpoint in the folder. */
  readonly resume?: boolean;
}

export interface TrainOutcome {
  readonly reason: "finished" | "stopped" | "interrupted";
  readonly out: string;
  readonly model: Model;
  readonly compiled: CompiledTraining;
  readonly log: TrainingLog;
  readonly task: Task;
  readonly best: { readonly epoch: number; readonly value: number } | undefined;
  /** Of the model that was kept. */
  readonly validation: Validation | undefined;
  readonly samples: { readonly training: number; readonly validation: number };
  readonly steps: number;
  readonly wallSeconds: number;
}

/** Choices of gradient formulations, kept beside the checkpoint: a resumed run must make the same ones. */
class TuningFile implements TuningCache {
  readonly #choices: Map<string, string>;
  readonly #path: string;

  private constructor(path: string, choices: Map<string, string>) {
    this.#path = path;
    this.#choices = choices;
  }

  static async open(path: string): Promise<TuningFile> {
    const text = await readFile(path, "utf8").catch(() => "{}");
    return new TuningFile(path, new Map(Object.entries(JSON.parse(text) as Record<string, string>)));
  }

  get = (key: string): string | undefined => this.#choices.get(key);
  set = (key: string, choice: string): void => void this.#choices.set(key, choice);
  save = (): Promise<void> => writeWhole(this.#path, `${JSON.stringify(Object.fromEntries(this.#choices), null, 1)}\n`);
}

async function compileTuned(
  { config, plan, compileOptions }: TrainSetup,
  out: string,
  options: RunOptions,
): Promise<CompiledTraining> {
  if (!config.tune) return compileTraining(plan.model, compileOptions);
  const cache = await TuningFile.open(join(out, "tuning.json"));
  const choose = await autoTune((chooser) => compileTraining(plan.model, { ...compileOptions, choose: chooser }), {
    executor: await loadExecutor(config.runtime),
    session: trainingSession(config.threads),
    cache,
    onProgress: (done, total) => options.onProgress?.({ step: "tune gradients", done, total }),
  });
  await cache.save();
  return compileTraining(plan.model, { ...compileOptions, choose });
}

const timeLeft = (seconds: number): string => (seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`);

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const start: Position = { epoch: 0, step: 0 };

/** One run: what it holds between steps and epochs. */
class TrainingRun {
  readonly #setup: TrainSetup;
  readonly #out: string;
  readonly #options: RunOptions;
  readonly #compiled: CompiledTraining;
  readonly #runtime: StatefulRuntime;
  readonly #log: TrainingLog;
  readonly #digest: string;
  readonly #stateNames: readonly string[];
  readonly #window = new Window();
  best: Checkpoint["best"];
  validation: Validation | undefined;
  steps = 0;

  constructor(held: {
    setup: TrainSetup;
    out: string;
    options: RunOptions;
    compiled: CompiledTraining;
    runtime: StatefulRuntime;
    log: TrainingLog;
    best: Checkpoint["best"];
    digest: string;
  }) {
    this.#setup = held.setup;
    this.#out = held.out;
    this.#options = held.options;
    this.#compiled = held.compiled;
    this.#runtime = held.runtime;
    this.#log = held.log;
    this.best = held.best;
    this.#digest = held.digest;
    this.#stateNames = Object.keys(held.compiled.initialStates());
  }

  get #config(): TrainConfig {
    return this.#setup.config;
  }

  async #checkpoint(position: Position): Promise<void> {
    const states = await this.#runtime.read(this.#stateNames);
    await writeCheckpoint(join(this.#out, "last.safetensors"), { position, states, best: this.best, configDigest: this.#digest });
  }

  /** Batches with the teacher's answers, a few ahead of the student. */
  batches(source: (epoch: number, start: number) => AsyncIterable<TrainingBatch>) {
    const { answers } = this.#setup;
    const taught = async function* (epoch: number, startBatch: number) {
      for await (const batch of source(epoch, startBatch))
        yield answers ? { feeds: batch.feeds, targets: { ...batch.targets, ...(await answers(batch)) } } : batch;
    };
    return (epoch: number, startBatch: number) => prefetch(taught(epoch, startBatch), { ahead: 2 });
  }

  async onStep(report: StepReport): Promise<void> {
    this.steps = report.globalStep;
    this.#window.add(report);
    const { batch, accumulate, checkpointSteps } = this.#config;
    const every = Math.max(1, Math.round(report.totalSteps / 400));
    if (report.globalStep % every === 0 || report.globalStep === report.totalSteps) {
      const { loss, samplesPerSecond } = this.#window.take(batch * accumulate);
      const { globalStep: step, epoch, learningRate, gradientNorm, parts } = report;
      const more = Object.keys(parts).length > 0 ? { parts } : {};
      await this.#log.add({
        step,
        epoch,
        loss,
        learningRate,
        gradientNorm,
        samplesPerSecond: Math.round(samplesPerSecond),
        ...more,
      });
      this.#tell(report, loss, samplesPerSecond);
    }
    const interrupted = this.#options.signal?.aborted ?? false;
    if (interrupted || report.globalStep % checkpointSteps === 0)
      await this.#checkpoint({ epoch: report.epoch, step: report.step });
  }

  #tell(report: StepReport, loss: number, samplesPerSecond: number): void {
    const { epochs } = this.#config;
    const validation = this.validation
      ? `, ${this.validation.metric} ${this.validation.value.toFixed(2)}${this.validation.unit}`
      : "";
    const left = ((report.totalSteps - report.globalStep) * this.#config.batch * this.#config.accumulate) / samplesPerSecond;
    const detail = `epoch ${report.epoch + 1}/${epochs}, loss ${loss.toFixed(4)}${validation}, ${Math.round(samplesPerSecond)} samples/s, ${timeLeft(left)} left`;
    this.#options.onProgress?.({ step: "train", done: report.globalStep, total: report.totalSteps, detail });
  }

  async onEpoch(epoch: number): Promise<"stop" | undefined> {
    const weights = this.#config.average === undefined ? "parameters" : "average";
    const states = await this.#runtime.read(this.#stateNames);
    const model = this.#setup.plan.exportModel(this.#compiled, states, weights);
    const validation = await this.#validate(model);
    if (validation) {
      const { metric, value, unit } = validation;
      this.validation = validation;
      await this.#log.add({ step: this.steps, epoch, validation: { metric, value, unit } });
    }
    if (this.#improves(validation)) {
      this.best = validation && { epoch, value: validation.value };
      await saveModel(model, join(this.#out, "model.onnx"));
    }
    await this.#checkpoint({ epoch: epoch + 1, step: 0 });
    const patience = this.#config.earlyStopping?.patience;
    return patience !== undefined && this.best && epoch - this.best.epoch >= patience ? "stop" : undefined;
  }

  #improves(validation: Validation | undefined): boolean {
    if (!validation || !this.best) return true;
    return validation.higherIsBetter ? validation.value > this.best.value : validation.value < this.best.value;
  }

  async #validate(model: Model): Promise<Validation | undefined> {
    const { validation: store, task } = this.#setup;
    if (!store) return undefined;
    if (!task.judgement) return this.#validationLoss(store, task);
    const { threads, batch, runtime } = this.#config;
    const executor = await loadExecutor(runtime);
    return validateModel(model, store, task.judgement, {
      executor,
      threads,
      batch,
      targets: task.targets,
      output: task.losses[0]?.output,
    });
  }

  async #validationLoss(store: SampleStore, task: Task): Promise<Validation> {
    const { evaluationLoss } = await import("./validation-loss.ts");
    const value = await evaluationLoss(this.#compiled.evaluate(), this.#runtime, store, {
      batch: this.#config.batch,
      targets: task.targets,
      threads: this.#config.threads,
    });
    return { metric: "loss", value, unit: "", higherIsBetter: false, samples: store.length };
  }
}

/** Trains as configured; the folder holds the best model so far at any moment, and a checkpoint to go on from. */
export async function runTrainRequest(request: TrainRequest, options: RunOptions = {}): Promise<TrainOutcome> {
  const began = performance.now();
  const { config, out } = request;
  await mkdir(out, { recursive: true });
  const path = join(out, "last.safetensors");
  const digest = configDigest(config);
  if (request.resume && !(await exists(path)))
    throw new EdgewrightError("CHECKPOINT_MISSING", `There is no checkpoint in "${out}" to resume from.`, {
      subject: out,
      hint: "Start without --resume.",
    });
  const checkpoint = request.resume ? await readCheckpoint(path, digest) : undefined;
  const setup = await setUpTraining(config, options);
  const runtime = await workerRuntime({ executor: config.runtime });
  try {
    const compiled = await compileTuned(setup, out, options);
    const states: Readonly<Record<string, Tensor>> = checkpoint?.states ?? compiled.initialStates();
    await runtime.write(states);
    const source = trainingBatches(setup.training, {
      batch: config.batch,
      seed: config.seed,
      targets: setup.task.targets,
      ...(config.augment ? { augment: config.augment } : {}),
    });
    const stepsPerEpoch = Math.max(1, Math.floor(source.stepsPerEpoch / config.accumulate));
    const from = checkpoint?.position ?? start;
    const log = await TrainingLog.open(join(out, "log.jsonl"), from.epoch * stepsPerEpoch + from.step);
    const run = new TrainingRun({ setup, out, options, compiled, runtime, log, best: checkpoint?.best, digest });
    const result = await runTraining(compiled, runtime, run.batches(source), {
      optimizer: config.optimizer,
      schedule: config.schedule,
      epochs: config.epochs,
      stepsPerEpoch,
      accumulate: config.accumulate,
      seed: config.seed,
      averageDecay: config.average,
      session: trainingSession(config.threads),
      from,
      hyperparameters: setup.plan.hyperparameters,
      onStep: (report) => run.onStep(report),
      onEpoch: (epoch) => run.onEpoch(epoch),
      signal: options.signal,
    });
    await log.writeCsv(join(out, "log.csv"));
    if (result.reason === "interrupted") options.signal?.throwIfAborted();
    return {
      reason: result.reason,
      out,
      model: await loadModel(join(out, "model.onnx")),
      compiled,
      log,
      task: setup.task,
      best: run.best,
      validation: run.validation,
      samples: { training: setup.training.length, validation: setup.validation?.length ?? 0 },
      steps: run.steps,
      wallSeconds: (performance.now() - began) / 1000,
    };
  } finally {
    await runtime.close();
    await setup.teacher?.close();
  }
}
