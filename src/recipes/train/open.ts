import type { SampleStore, TrainingBatch } from "../../data/train/index.ts";
import type { Model, Tensor } from "../../ir/index.ts";
import { fileDigest, loadModel } from "../../runtime/model-file.ts";
import { workerRuntime } from "../../runtime/stateful-worker.ts";
import { buildFeatureMatch } from "../../train/feature-matching.ts";
import type { CompileOptions } from "../../train/forward.ts";
import { type Loss, lossSchema } from "../../train/losses.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { CachedLogits } from "./cached-logits.ts";
import type { TrainConfig } from "./config.ts";
import { floatPlan, type TrainingPlan } from "./plan.ts";
import { openData, openModel, type Task, taskOf } from "./setup.ts";
import { openTeacher, type Teacher, teacherLogits } from "./teacher.ts";

/** Everything that is opened before the first step. */
export interface TrainSetup {
  readonly config: TrainConfig;
  readonly prepared: Model;
  readonly training: SampleStore;
  readonly validation: SampleStore | undefined;
  readonly task: Task;
  readonly plan: TrainingPlan;
  readonly teacher: Teacher | undefined;
  /** What the teacher says to a batch, by target name. */
  readonly answers: ((batch: TrainingBatch) => Promise<Readonly<Record<string, Tensor>>>) | undefined;
  readonly compileOptions: CompileOptions;
}

/** Opens model, data and teacher, and makes the plan; nothing is trained yet. */
export async function setUpTraining(config: TrainConfig, options: RunOptions): Promise<TrainSetup> {
  const prepared = await openModel(config);
  const { training, validation } = await openData(config, prepared, options);
  const task = taskOf(config, prepared, training);
  const plan = config.quantize ? await quantizedPlan(config, prepared, training, options) : floatPlan(prepared);
  const teacher = config.teacher && (await teacherOf(config, prepared));
  const answers = teacher && (await answersOf(teacher, config, training, options));
  const compileOptions: CompileOptions = {
    batch: config.batch,
    losses: withTeacher(task.losses, config),
    optimizer: config.optimizer,
    batchNormalization: config.batchNormalization === "train" ? "train" : "frozen",
    trainable: config.trainable,
    frozen: config.frozen,
    noDecay: config.noDecay,
    clipNorm: config.clipNorm,
    average: config.average !== undefined,
    transforms: plan.transforms,
    extraLosses: (graph) =>
      (config.teacher?.features ?? []).map((match) =>
        buildFeatureMatch(graph, match, teacher?.featureShapes[match.teacher] as readonly number[]),
      ),
  };
  return { config, prepared, training, validation, task, plan, teacher, answers, compileOptions };
}

async function quantizedPlan(
  config: TrainConfig,
  prepared: Model,
  training: SampleStore,
  options: RunOptions,
): Promise<TrainingPlan> {
  const { quantizationAwarePlan } = await import("./quantization-aware.ts");
  return quantizationAwarePlan(prepared, training, config, options);
}

async function teacherOf(config: TrainConfig, student: Model): Promise<Teacher> {
  const { model, output, features, threads } = config.teacher as NonNullable<TrainConfig["teacher"]>;
  return openTeacher({
    model: await loadModel(model),
    path: model,
    runtime: await workerRuntime({ executor: config.runtime }),
    batch: config.batch,
    threads,
    output,
    features,
    inputs: student.graph.inputs.filter((input) => !input.constant).map(({ name }) => name),
  });
}

/** Asks the teacher for every batch, or once for every sample where a cache is wanted. */
async function answersOf(
  teacher: Teacher,
  config: TrainConfig,
  store: SampleStore,
  options: RunOptions,
): Promise<TrainSetup["answers"]> {
  const { cache, features, model } = config.teacher as NonNullable<TrainConfig["teacher"]>;
  if (cache === undefined) return ({ feeds }) => teacher.teach(feeds);
  if (config.augment?.length || features.length > 0)
    throw new EdgewrightError(
      "DISTILL_CACHE",
      "Cached logits fit samples as they are: they go with neither augmentation nor feature matching.",
      {
        subject: cache,
        hint: "Leave out teacher.cache, or the augmentation.",
      },
    );
  const source = { teacher, digest: await fileDigest(model), batch: config.batch };
  const cached = await CachedLogits.open(cache, store, source, options);
  return async ({ sampleIndices }) => ({ [teacherLogits]: cached.rows(sampleIndices) });
}

/** Hard labels and the teacher's answers share the loss. */
function withTeacher(losses: readonly Loss[], { teacher }: TrainConfig): readonly Loss[] {
  if (!teacher) return losses;
  const own = losses.map((loss) => ({ ...loss, weight: loss.weight * (1 - teacher.weight) }));
  const output = losses[0]?.output;
  const soft = lossSchema.parse({
    name: "distillation",
    temperature: teacher.temperature,
    weight: teacher.weight,
    ...(output ? { output } : {}),
  });
  return [...own, soft];
}
