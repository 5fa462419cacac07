import { openTrainingData, type SampleStore, type TargetOptions, type TrainingData } from "../../data/train/index.ts";
import type { Model, Value } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { loadModel } from "../../runtime/model-file.ts";
import { type Loss, type LossInput, lossSchema } from "../../train/losses.ts";
import { prepareForTraining } from "../../train/prepare.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { buildModel } from "../../zoo/index.ts";
import type { TrainConfig } from "./config.ts";
import type { Judgement } from "./validate.ts";

/** The model to train, as its file or its architecture says, in the form that training takes. */
export async function openModel(config: TrainConfig): Promise<Model> {
  const model = typeof config.model === "string" ? await loadModel(config.model) : freshModel(config.model, config.seed);
  // quantization needs what batch normalization folds into
  const batchNormalization = config.quantize ? "fold" : config.batchNormalization;
  const prepared = await prepareForTraining(model, { batchNormalization, evaluate: ortEvaluate });
  inferShapes(prepared);
  return prepared;
}

function freshModel({ architecture, seed, ...options }: Exclude<TrainConfig["model"], string>, fallback: number): Model {
  return buildModel(architecture as string, options, (seed as number | undefined) ?? fallback);
}

/** What is judged, and by what: read off the labels where the configuration leaves it open. */
export interface Task {
  readonly losses: readonly Loss[];
  readonly targets: TargetOptions;
  /** undefined: validation is the loss itself. */
  readonly judgement: Judgement | undefined;
}

const withDefaults = (loss: LossInput): Loss => lossSchema.parse(loss);

function outputOf(model: Model, name: string | undefined): Value {
  const output = name === undefined ? model.graph.outputs[0] : model.graph.outputs.find((value) => value.name === name);
  if (output) return output;
  throw new EdgewrightError("TRAIN_OUTPUT", `The model has no output "${name}".`, {
    hint: `Its outputs are: ${model.graph.outputs.map((value) => value.name).join(", ")}.`,
  });
}

/** Extents of an output beside the batch, where they are fixed. */
function staticExtents(output: Value): number[] {
  const shape = output.type?.shape?.slice(1);
  if (shape?.every((dim) => typeof dim === "number")) return shape as number[];
  throw new EdgewrightError("TRAIN_SHAPE", `The shape of the output "${output.name}" is not fixed beside its batch.`, {
    subject: output.name,
    hint: "Name the losses and their outputs in the configuration.",
  });
}

export function taskOf(config: TrainConfig, model: Model, store: SampleStore): Task {
  const [first] = config.losses;
  const output = outputOf(
    model,
    first?.output && model.graph.outputs.some(({ name }) => name === first.output) ? first.output : undefined,
  );
  const kind = store.target(0)?.kind;
  const losses = config.losses;
  if (kind === "class") {
    const extents = staticExtents(output);
    const classes = extents.reduce((a, d) => a * d, 1);
    const binary = classes === 1 || first?.name === "binary-cross-entropy";
    const targets: TargetOptions = { form: binary && classes === 1 ? "binary" : "classes", classes, shape: extents };
    const usual: LossInput = binary ? { name: "binary-cross-entropy" } : { name: "softmax-cross-entropy" };
    return {
      losses: losses.length > 0 ? losses : [withDefaults(usual)],
      targets,
      judgement: classes === 1 ? "binary" : "accuracy",
    };
  }
  if (kind === "tensor") {
    const targets: TargetOptions = { form: "tensor", shape: staticExtents(output) };
    return { losses: losses.length > 0 ? losses : [withDefaults({ name: "mse" })], targets, judgement: "error" };
  }
  const targets: TargetOptions = { form: kind === "tokens" ? "tokens" : "next-token" };
  return {
    losses: losses.length > 0 ? losses : [withDefaults({ name: "sequence-cross-entropy" })],
    targets,
    judgement: undefined,
  };
}

/** Opens the data for the model's inputs. Without a preprocessing setting, images are scaled to 0..1 (`unit`), other kinds taken as stored. */
export async function openData(config: TrainConfig, model: Model, options: RunOptions): Promise<TrainingData> {
  const inputs = model.graph.inputs
    .filter((input) => !input.constant)
    .map(({ name, type }) => ({ name, type: { dtype: type?.dtype ?? "float32", shape: type?.shape } }));
  return openTrainingData({
    train: config.data,
    ...(typeof config.validation === "string" ? { validation: config.validation } : { validationFraction: config.validation }),
    preprocess: (config.preprocess as string | undefined) ?? guessed(inputs),
    inputs,
    ...(config.kind === undefined ? {} : { open: { kind: config.kind } }),
    seed: config.seed,
    ...(config.limit === undefined ? {} : { limit: config.limit }),
    ...(config.validationLimit === undefined ? {} : { validationLimit: config.validationLimit }),
    ...options,
  });
}

/** A picture input is scaled; token and tensor inputs are what they are. */
function guessed(
  inputs: readonly { readonly type: { readonly dtype: string; readonly shape: readonly unknown[] | undefined } }[],
): string {
  const [first] = inputs;
  if (first?.type.dtype !== "float32") return "tokens";
  const shape = first.type.shape ?? [];
  if (shape.length !== 4) return "raw";
  return shape[1] === 1 || shape[3] === 1 ? "mnist-unit" : "unit";
}
