import { resolve } from "node:path";
import { readTrainConfig } from "../../recipes/train/index.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { Command } from "../command-line.ts";
import { parseNumber } from "../quantity.ts";
import { addTrainFlags, runTraining, type TrainFlags, withFlags } from "./train.ts";

interface Flags extends TrainFlags {
  readonly teacher?: string;
  readonly temperature?: number;
  readonly teacherWeight?: number;
  readonly cache?: string;
}

/** `edgewright distill`: training with a teacher. */
export function configure(command: Command): void {
  addTrainFlags(
    command
      .description("Train a small model to answer like a large one, on labels and the teacher's soft answers together.")
      .argument("<config>", "JSON file as for `edgewright train`; its model is the student"),
  )
    .option("--teacher <model>", "ONNX file of the teacher, instead of the configuration's")
    .option("--temperature <t>", "softens both distributions (default 4)", parseNumber)
    .option("--teacher-weight <share>", "share of the teacher's answers in the loss (default 0.9)", parseNumber)
    .option("--cache <file>", "ask the teacher once for every sample and keep its logits here; for data without augmentation")
    .addHelpText(
      "after",
      `
Examples:
  edgewright distill student.json --teacher large.onnx -o out
  edgewright distill student.json --teacher large.onnx --temperature 2 --teacher-weight 0.7 -o out`,
    )
    .action(run);
}

async function run(path: string, flags: Flags): Promise<void> {
  const { value, folder } = await readTrainConfig(path);
  const known = (value.teacher ?? {}) as Record<string, unknown>;
  const given = {
    model: flags.teacher === undefined ? undefined : resolve(flags.teacher),
    temperature: flags.temperature,
    weight: flags.teacherWeight,
    cache: flags.cache === undefined ? undefined : resolve(flags.cache),
  };
  const teacher = { ...known, ...Object.fromEntries(Object.entries(given).filter(([, setting]) => setting !== undefined)) };
  if (!("model" in teacher))
    throw new EdgewrightError("DISTILL_NO_TEACHER", "There is no teacher to learn from.", {
      subject: path,
      hint: 'Name one with --teacher, or "teacher": {"model": …} in the configuration.',
    });
  await runTraining("distill", withFlags({ ...value, teacher }, flags), folder, flags);
}
