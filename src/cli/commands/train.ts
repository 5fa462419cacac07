import { resolve } from "node:path";
import { z } from "zod";
import {
  describeTraining,
  readTrainConfig,
  type TrainConfigInput,
  type TrainingOverview,
  type TrainManifest,
  train,
  trainManifestSchema,
} from "../../recipes/train/index.ts";
import type { Command } from "../command-line.ts";
import { integer } from "../evaluation-flags.ts";
import { isInterrupted } from "../interrupt.ts";
import { formatCount, formatMs, printJson, printLine, printNote, table, withProgress } from "../output.ts";
import { parseNumber } from "../quantity.ts";

/** Flags of every verb that trains. */
export interface TrainFlags {
  readonly output?: string;
  readonly data?: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly learningRate?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly limit?: number;
  readonly resume?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export const addTrainFlags = (command: Command): Command =>
  command
    .option("-o, --output <folder>", "folder for model.onnx, checkpoint, logs and report")
    .option("--data <path>", "training data, instead of the configuration's")
    .option("--epochs <n>", "passes over the training data", integer)
    .option("--batch <n>", "samples of one step", integer)
    .option("--learning-rate <rate>", "peak learning rate", parseNumber)
    .option("--limit <n>", "at most this many training samples", integer)
    .option("--seed <n>", "decides weights, order and augmentation", integer)
    .option("--threads <n>", "threads of the runtime", integer)
    .option("--resume", "go on from the checkpoint in the output folder, to the same bits")
    .option("--dry-run", "say what would be trained, and stop")
    .option("--json", "print one JSON document");

/** `edgewright train`: a model from a configuration. */
export function configure(command: Command): void {
  addTrainFlags(
    command
      .description(
        "Train a model, or fine-tune an ONNX file, as a configuration says; quantization-aware and with a teacher where it says so.",
      )
      .argument("<config>", "JSON file; docs/training.md lists its settings"),
  )
    .addHelpText(
      "after",
      `
A configuration is as short as {"model": {"architecture": "cnn"}, "data": "photos", "output": "out"}.

Examples:
  edgewright train train.json
  edgewright train train.json --epochs 10 --learning-rate 0.01 -o out
  edgewright train train.json -o out --resume`,
    )
    .action(run);
}

async function run(path: string, flags: TrainFlags): Promise<void> {
  const { value, folder } = await readTrainConfig(path);
  await runTraining("train", withFlags(value, flags), folder, flags);
}

/** Flags win over the file; paths among them start from the shell's folder. */
export function withFlags(value: Readonly<Record<string, unknown>>, flags: TrainFlags): TrainConfigInput {
  const { learningRate } = flags;
  const optimizer = (value.optimizer ?? { name: "sgd", momentum: 0.9 }) as Record<string, unknown>;
  const given = {
    output: flags.output === undefined ? undefined : resolve(flags.output),
    data: flags.data === undefined ? undefined : resolve(flags.data),
    epochs: flags.epochs,
    batch: flags.batch,
    limit: flags.limit,
    seed: flags.seed,
    threads: flags.threads,
    optimizer: learningRate === undefined ? undefined : { ...optimizer, learningRate },
  };
  const defined = Object.fromEntries(Object.entries(given).filter(([, setting]) => setting !== undefined));
  return { ...value, ...defined } as TrainConfigInput;
}

const overviewSchema = z.object({
  parameters: z.array(z.object({ name: z.string(), shape: z.array(z.number()), size: z.number() })),
  frozen: z.array(z.string()),
  samples: z.object({ training: z.number(), validation: z.number() }),
  stepsPerEpoch: z.number(),
  steps: z.number(),
  nodes: z.object({ forward: z.number(), step: z.number() }),
});

/** Runs, or only describes, a configuration. */
export async function runTraining(verb: string, config: TrainConfigInput, folder: string, flags: TrainFlags): Promise<void> {
  if (flags.dryRun) {
    const overview = await withProgress(verb, (options) => describeTraining(config, { ...options, folder }));
    if (flags.json) printJson(overviewSchema, overview);
    else printOverview(overview);
    return;
  }
  try {
    const manifest = await withProgress(verb, (options) => train(config, { ...options, folder, resume: flags.resume }));
    if (flags.json) printJson(trainManifestSchema, manifest);
    else printSummary(manifest, config.output ?? "");
  } catch (error) {
    if (isInterrupted()) printNote(`Stopped. ${config.output} holds a checkpoint; go on with the same command and --resume.`);
    throw error;
  }
}

function printOverview({ parameters, frozen, samples, stepsPerEpoch, steps, nodes }: TrainingOverview): void {
  printLine(
    table([
      ["trained", "shape", "parameters"],
      ...parameters.map(({ name, shape, size }) => [name, shape.join("x") || "1", String(size)]),
    ]),
  );
  printLine();
  if (frozen.length > 0)
    printLine(`stay as they are: ${frozen.slice(0, 8).join(", ")}${frozen.length > 8 ? ` and ${frozen.length - 8} more` : ""}`);
  const total = parameters.reduce((sum, { size }) => sum + size, 0);
  printLine(`${formatCount(total)} parameters; ${samples.training} training and ${samples.validation} validation samples`);
  printLine(`${stepsPerEpoch} steps an epoch, ${steps} in all; ${nodes.forward} nodes forward, ${nodes.step} in a step`);
}

function printSummary({ best, finalLoss, steps, samplesPerSecond, wallSeconds, reason }: TrainManifest, output: string): void {
  const ended = reason === "stopped" ? "stopped early" : "done";
  printLine(
    `${ended} after ${steps} steps, ${formatMs(wallSeconds * 1000)}${samplesPerSecond ? `, ${samplesPerSecond} samples/s` : ""}`,
  );
  printLine(
    `loss ${finalLoss?.toFixed(4) ?? "unknown"}${best ? `; best ${best.metric} ${best.value.toFixed(2)} ${best.unit} after epoch ${best.epoch + 1} on ${best.samples} validation samples` : ""}`,
  );
  printLine(`${output}: model.onnx, report.html, train.json, log.csv, log.jsonl, last.safetensors`);
}
