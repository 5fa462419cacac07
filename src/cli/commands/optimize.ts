import { relative } from "node:path";
import { budgetOf, candidateRows, finalLines, type Manifest, manifestSchema, optimize } from "../../recipes/index.ts";
import { targets } from "../../targets/index.ts";
import type { Command } from "../command-line.ts";
import { addEvaluationFlags, type EvaluationFlags, integer, readEvaluation } from "../evaluation-flags.ts";
import { isInterrupted } from "../interrupt.ts";
import {
  formatBytes,
  formatCount,
  formatMs,
  printJson,
  printLine,
  printNote,
  setExitCode,
  table,
  withProgress,
} from "../output.ts";
import { parseDuration, parseNumber, parseSize } from "../quantity.ts";

interface Flags extends EvaluationFlags {
  readonly out: string;
  readonly target?: string;
  readonly maxDrop?: number;
  readonly maxSize?: number;
  readonly maxLatency?: number;
  readonly timeBudget?: number;
  readonly calibration?: number;
  readonly resume?: boolean;
  readonly json?: boolean;
}

/** `edgewright optimize`: the main job. */
export function configure(command: Command): void {
  addEvaluationFlags(
    command
      .description("Find the fastest file that keeps the budget, measured in the target's runtime; write it with a report.")
      .argument("[model]", "ONNX file; may come from --config instead")
      .requiredOption("-o, --out <folder>", "folder for model.onnx, the other Pareto models, manifest.json and report.html"),
  )
    .option(
      "--target <name>",
      `here, ${targets.map(({ name }) => name).join(", ")} or an alias such as android-arm64, browser (default here)`,
    )
    .option("--max-drop <points>", "largest loss of the main metric, in points or its unit (default 1)", parseNumber)
    .option("--max-size <size>", "largest file, e.g. 4MB", parseSize)
    .option("--max-latency <time>", "longest p50 latency on this machine, e.g. 20ms", parseDuration)
    .option("--time-budget <time>", "begin no new candidate after this long, e.g. 10m", parseDuration)
    .option("--calibration <n>", "at most this many calibration samples (default 100)", integer)
    .option("--resume", "go on with an interrupted run in the same folder")
    .option("--json", "print the manifest as one JSON document")
    .addHelpText(
      "after",
      `
Exit codes: 0 done, 1 wrong input, 2 no candidate keeps the budget (the best is still written).

Examples:
  edgewright optimize model.onnx --data photos --preprocess imagenet --out out
  edgewright optimize model.onnx --data photos --max-drop 1 --max-size 4MB --max-latency 20ms --time-budget 10m --out out
  edgewright optimize model.onnx --data photos --target browser --out out --resume`,
    )
    .action(run);
}

async function run(model: string | undefined, flags: Flags): Promise<void> {
  const evaluation = await readEvaluation(model, flags);
  const request = {
    evaluation,
    target: flags.target,
    out: flags.out,
    maxDrop: flags.maxDrop,
    maxSizeBytes: flags.maxSize,
    maxLatencyMs: flags.maxLatency,
    timeBudgetMs: flags.timeBudget,
    calibrationSamples: flags.calibration,
    resume: flags.resume,
    command: `edgewright ${process.argv.slice(2).join(" ")}`,
  };
  try {
    const manifest = await withProgress("optimize", (options) => optimize(request, options));
    if (!manifest.verdict.budgetMet) setExitCode(2);
    if (flags.json) printJson(manifestSchema, manifest);
    else printSummary(manifest, flags.out);
  } catch (error) {
    if (isInterrupted())
      printNote(`Stopped. The best so far is ${flags.out}/model.onnx; go on with the same command and --resume.`);
    throw error;
  }
}

function printSummary(manifest: Manifest, out: string): void {
  const { model, data, target, budget } = manifest;
  printLine(
    `${relative(process.cwd(), model.path)}: ${formatBytes(model.bytes)}, ${formatCount(model.parameters)} parameters${model.macs === null ? "" : `, ${formatCount(model.macs)} MACs`}`,
  );
  printLine(
    `${target.name} (${target.summary}), ${target.threads} thread${target.threads === 1 ? "" : "s"}; ${data.metric} on ${data.selection} samples, ranges from ${data.calibration}; budget: ${budgetOf(budget)}`,
  );
  printLine();
  printLine(table([["candidate", "size", "p50", "speed", data.metric, "change [95 %]", ""], ...candidateRows(manifest)]));
  printLine();
  printLine(manifest.verdict.recommendation);
  for (const line of [...finalLines(manifest), ...manifest.verdict.reasons.slice(0, 4)]) printLine(`  ${line}`);
  for (const warning of manifest.warnings) printNote(`warning: ${warning}`);
  printLine();
  printLine(
    `${out}: model.onnx, report.html, manifest.json${manifest.files.length > 1 ? `, ${manifest.files.length - 1} more of the Pareto set` : ""}; ${formatMs(manifest.wallSeconds * 1000)}`,
  );
}
