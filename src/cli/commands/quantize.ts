import { type QuantizeReport, type QuantizeRequest, quantizeFile, quantizeReportSchema } from "../../recipes/index.ts";
import { targets } from "../../targets/index.ts";
import type { Command } from "../command-line.ts";
import { addEvaluationFlags, collect, type EvaluationFlags, integer, readEvaluation } from "../evaluation-flags.ts";
import { formatBytes, formatMs, printJson, printLine, printNote, table, withProgress } from "../output.ts";
import { parseNumber } from "../quantity.ts";

interface Flags extends EvaluationFlags {
  readonly output: string;
  readonly method?: QuantizeRequest["method"];
  readonly ranges?: QuantizeRequest["ranges"];
  readonly percentile?: number;
  readonly biasCorrection?: boolean;
  readonly exclude?: string[];
  readonly convolutions?: boolean;
  readonly target?: string;
  readonly calibration?: number;
  readonly json?: boolean;
}

/** `edgewright quantize`: one quantized file, without the search. */
export function configure(command: Command): void {
  addEvaluationFlags(
    command
      .description("Quantize a model for a target: INT8 static (calibrated), INT8 dynamic, or FP16.")
      .argument("[model]", "ONNX file; may come from --config instead")
      .requiredOption("-o, --output <file>", "the file to write"),
  )
    .option("--method <method>", "static, dynamic or fp16 (default static)")
    .option("--ranges <method>", "minmax, average, percentile or mse (default mse)")
    .option("--percentile <p>", "share of values kept by percentile ranges (default 99.99)", parseNumber)
    .option("--bias-correction", "move the mean error of rounded weights into the bias")
    .option("--exclude <node>", "leave a node in float; may be repeated", collect)
    .option("--convolutions", "dynamic: convolutions too")
    .option("--target <name>", `here, ${targets.map(({ name }) => name).join(", ")} or an alias (default here)`)
    .option("--calibration <n>", "at most this many calibration samples (default 100)", integer)
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExample:\n  edgewright quantize model.onnx --data photos --preprocess imagenet -o model.int8.onnx")
    .action(run);
}

async function run(model: string | undefined, flags: Flags): Promise<void> {
  const { output, method, ranges, percentile, biasCorrection, exclude, convolutions, target } = flags;
  const evaluation = await readEvaluation(model, flags);
  const request = {
    evaluation,
    output,
    method,
    ranges,
    percentile,
    biasCorrection,
    exclude,
    convolutions,
    target,
    calibrationSamples: flags.calibration,
  };
  const report = await withProgress("quantize", (options) => quantizeFile(request, options));
  if (flags.json) printJson(quantizeReportSchema, report);
  else print(report);
}

function print(report: QuantizeReport): void {
  const ratio = report.original.bytes / report.model.bytes;
  printLine(
    `${report.model.path}: ${formatBytes(report.model.bytes)}, ${ratio.toFixed(2)}x smaller than ${formatBytes(report.original.bytes)}`,
  );
  const how =
    report.ranges === null
      ? report.method
      : `${report.method}, ${report.ranges} ranges from ${report.calibrationSamples} samples`;
  printLine(`${how}, for ${report.target}: ${report.quantizedNodes} nodes quantized in ${formatMs(report.seconds * 1000)}`);
  if (report.skipped.length > 0) {
    printLine();
    const shown = report.skipped.slice(0, 15);
    printLine(table([["stays float", "because"], ...shown.map(({ subject, message }) => [subject, message])], { maxWidth: 90 }));
    if (report.skipped.length > shown.length) printLine(`… and ${report.skipped.length - shown.length} more (--json lists all)`);
  }
  for (const warning of report.warnings) printNote(`warning: ${warning}`);
}
