import { join } from "node:path";
import { trainingBatches } from "../../data/train/index.ts";
import { compileTraining } from "../../train/compile.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { writeWhole } from "../workspace.ts";
import { parseTrainConfig, type TrainConfig, type TrainConfigInput } from "./config.ts";
import { describeRun, type TrainManifest, writeRun } from "./manifest.ts";
import { setUpTraining } from "./open.ts";
import { renderTrainReport } from "./report.ts";
import { runTrainRequest } from "./run.ts";

export interface TrainCall extends RunOptions {
  /** Go on from the checkpoint in the output folder. */
  readonly resume?: boolean | undefined;
  /** Folder that relative paths start from; default: the working directory. */
  readonly folder?: string | undefined;
}

/**
 * Trains a model as configured and writes model.onnx (the best on validation data), last.safetensors (checkpoint), log.jsonl, log.csv,
 * train.json and report.html to the output folder.
 *
 * @throws TRAIN_CONFIG, TRAIN_DIVERGED, CHECKPOINT_FOREIGN, and what data and model bring up.
 */
export async function train(
  input: TrainConfigInput,
  { resume, folder = process.cwd(), ...options }: TrainCall = {},
): Promise<TrainManifest> {
  const config = parseTrainConfig(input, folder);
  const out = outputOf(config);
  const outcome = await runTrainRequest({ config, out, resume: resume ?? false }, options);
  const manifest = await describeRun(outcome, config);
  await writeRun(out, manifest);
  await writeWhole(join(out, "report.html"), renderTrainReport(manifest, outcome.log.entries));
  return manifest;
}

function outputOf({ output }: TrainConfig): string {
  if (output !== undefined) return output;
  throw new EdgewrightError("TRAIN_OUTPUT_MISSING", "There is no folder to write to.", {
    hint: 'Name one with --output, or "output" in the configuration.',
  });
}

/** What a run would do, without doing it. */
export interface TrainingOverview {
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[]; readonly size: number }[];
  /** Float initializers that stay as they are. */
  readonly frozen: readonly string[];
  readonly samples: { readonly training: number; readonly validation: number };
  readonly stepsPerEpoch: number;
  readonly steps: number;
  readonly nodes: { readonly forward: number; readonly step: number };
}

/** Opens everything and builds the step graph once: what `--dry-run` prints. */
export async function describeTraining(
  input: TrainConfigInput,
  { folder = process.cwd(), ...options }: TrainCall = {},
): Promise<TrainingOverview> {
  const config = parseTrainConfig(input, folder);
  const setup = await setUpTraining(config, options);
  try {
    const compiled = compileTraining(setup.plan.model, setup.compileOptions);
    const { stepsPerEpoch } = trainingBatches(setup.training, { batch: config.batch, targets: setup.task.targets });
    const steps = Math.max(1, Math.floor(stepsPerEpoch / config.accumulate));
    const trained = new Set(compiled.parameters.map(({ name }) => name));
    return {
      parameters: compiled.parameters.map(({ name, shape, size }) => ({ name, shape, size })),
      frozen: [...setup.prepared.graph.initializers]
        .filter(({ name, constant }) => constant?.dtype === "float32" && constant.size > 1 && !trained.has(name))
        .map(({ name }) => name),
      samples: { training: setup.training.length, validation: setup.validation?.length ?? 0 },
      stepsPerEpoch: steps,
      steps: steps * config.epochs,
      nodes: { forward: compiled.forward().model.graph.nodeCount, step: compiled.step.model.graph.nodeCount },
    };
  } finally {
    await setup.teacher?.close();
  }
}
