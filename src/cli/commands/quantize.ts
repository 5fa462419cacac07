import { type WeightAlgorithm, weightAlgorithms } from "../../passes/quantize/weight-only/index.ts";
import {
  coverageLine,
  type QuantizeReport,
  type QuantizeRequest,
  quantizeFile,
  quantizeReportSchema,
} from "../../recipes/index.ts";
import { targets } from "../../targets/index.ts";
import type { Command } from "../command-line.ts";
import { addEvaluationFlags, collect, type EvaluationFlags, integer, readEvaluation } from "../evaluation-flags.ts";
import { formatBytes, formatCount, formatMs, printJson, printLine, printNote, table, withProgress } from "../output.ts";
import { parseDuration, parseNumber } from "../quantity.ts";

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
  readonly bits?: number;
  readonly searchTime?: number;
  readonly steps?: number;
  readonly block?: number;
  readonly asymmetric?: boolean;
  readonly algorithm?: WeightAlgorithm;
  readonly scales?: "float32" | "float16";
  readonly tableBits?: number;
  readonly headBits?: number;
  readonly threshold?: number;
  readonly averageBits?: number;
  readonly weightsOnly?: boolean;
  readonly halfIo?: boolean;
  readonly maxError?: number;
  readonly json?: boolean;
}

/** `edgewright quantize`: one quantized file, without the search. */
export function configure(command: Command): void {
  addEvaluationFlags(
    command
      .description(
        "Quantize a model for a target: INT8 static (calibrated), INT8 dynamic, FP16, BF16, or 4- and 8-bit weights alone.",
      )
      .argument("[model]", "ONNX file; may come from --config instead")
      .requiredOption("-o, --output <file>", "the file to write"),
  )
    .option("--method <method>", "static, dynamic, fp16, bf16 or weight-only (default: the target's, static for most)")
    .option("--ranges <method>", "auto, minmax, average, percentile, mse or entropy (default auto: a search by measured effect)")
    .option("--percentile <p>", "share of values kept by percentile ranges (default 99.99)", parseNumber)
    .option("--bias-correction", "move the mean error of rounded weights into the bias")
    .option("--exclude <node>", "leave a node in float; may be repeated", collect)
    .option("--convolutions", "dynamic, weight-only: convolutions too")
    .option("--target <name>", `here, ${targets.map(({ name }) => name).join(", ")} or an alias (default here)`)
    .option("--calibration <n>", "at most this many calibration samples (default 100)", integer)
    .option(
      "--search-time <time>",
      "auto: begin nothing new after this long, e.g. 90s (default 2m, 15m below 8 bits)",
      parseDuration,
    )
    .option("--steps <n>", "auto: steps of learned rounding per block; 0: none (default 150, 400 below 8 bits)", integer)
    .option("--bits <n>", "weights: 2 to 8 for static (default 8), 4 or 8 for weight-only (default 4)", integer)
    .option("--block <n>", "weight-only: weights that share a scale, 16 to 256 (default 32)", integer)
    .option("--asymmetric", "weight-only: a zero point for each block")
    .option("--algorithm <name>", `weight-only: ${weightAlgorithms.join(", ")} (default auto, by output error)`)
    .option("--scales <type>", "weight-only: float16 or float32 (default: the target's)")
    .option("--table-bits <n>", "weight-only: bits of embedding tables (default 8)", integer)
    .option("--head-bits <n>", "weight-only: bits of the last matrices", integer)
    .option("--threshold <share>", "weight-only: 8 bits where the squared error exceeds this (default 0.04)", parseNumber)
    .option("--average-bits <n>", "weight-only: raise the worst matrices to 8 bits up to this average", parseNumber)
    .option("--weights-only", "fp16, bf16: weights in 16 bits behind a Cast each, arithmetic in float32")
    .option("--half-io", "fp16, bf16: inputs and outputs in 16 bits too")
    .option("--max-error <share>", "fp16, bf16: largest relative error of an output (default 0.02, 0.1)", parseNumber)
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      [
        "\nExamples:",
        "  edgewright quantize model.onnx --data photos --preprocess imagenet -o model.int8.onnx",
        "  edgewright quantize model.onnx --method weight-only --bits 4 --block 32 --data texts.tsv -o model.int4.onnx",
      ].join("\n"),
    )
    .action(run);
}

async function run(model: string | undefined, flags: Flags): Promise<void> {
  const { output, method, ranges, percentile, biasCorrection, exclude, convolutions, target } = flags;
  const { bits, block, asymmetric, algorithm, scales, tableBits, headBits, threshold, averageBits } = flags;
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
    search: { weightBits: bits, searchMs: flags.searchTime, steps: flags.steps },
    weights: { bits, block, asymmetric, algorithm, scales, tableBits, headBits, threshold, averageBits },
    half: { weightsOnly: flags.weightsOnly, halfIo: flags.halfIo, maxError: flags.maxError },
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
      ? `${report.method}${report.calibrationSamples > 0 ? `, ${report.calibrationSamples} calibration samples` : ""}`
      : `${report.method}, ${report.ranges} ranges from ${report.calibrationSamples} samples`;
  printLine(`${how}, for ${report.target}: ${report.quantizedNodes} nodes quantized in ${formatMs(report.seconds * 1000)}`);
  if (report.search) printSearch(report.search);
  if (report.coverage) printCoverage(report.coverage);
  if (report.half) printHalf(report.half);
  if (report.weights) printWeights(report.weights, report.productRatio);
  printSkipped(report);
  for (const warning of report.warnings) printNote(`warning: ${warning}`);
}

const remedies = [
  ["scales", "coarser weights"],
  ["uint8", "weights as uint8"],
] as const;

/** What the search kept, and how far ahead of the simplest way it came. */
function printSearch({ recipe, divergence, trials, wider, saturating }: NonNullable<QuantizeReport["search"]>): void {
  const simplest = trials.find(({ name }) => name === "min-max ranges");
  const beside = simplest?.divergence ? `; min-max ranges: ${simplest.divergence.toExponential(2)}` : "";
  printLine(`${recipe}: divergence from the float outputs ${divergence.toExponential(2)}${beside}; ${trials.length} ways tried`);
  if (wider.length > 0) printLine(`8 bits all the same in ${wider.length}: ${wider.join(", ")}`);
  for (const [remedy, how] of remedies) {
    const nodes = saturating.flatMap((layer) => (layer.remedy === remedy ? [layer.node] : []));
    if (nodes.length > 0) printLine(`against saturation without VNNI, ${how} in ${nodes.length}: ${nodes.join(", ")}`);
  }
}

function printCoverage({ summary, unfused }: NonNullable<QuantizeReport["coverage"]>): void {
  printLine(coverageLine(summary));
  const between = (unfused ?? []).filter(({ kind }) => kind === "between");
  if (between.length === 0) return;
  const elements = between.reduce((sum, pair) => sum + pair.elements, 0);
  const names = between.slice(0, 3).map(({ opType, node }) => `${opType} "${node}"`);
  const rest = between.length > names.length ? ", …" : "";
  printLine(`conversions around float nodes: ${formatCount(elements)} numbers a run, at ${names.join(", ")}${rest}`);
}

/** Nodes one by one; where most of a model has nothing to quantize (weight-only), by reason. */
function printSkipped({ skipped, weights, half }: QuantizeReport): void {
  if (skipped.length === 0 || (half && half.islands.length > 0)) return;
  printLine();
  if (weights || half) {
    const reasons = new Map<string, string[]>();
    for (const { subject, message } of skipped) reasons.set(message, [...(reasons.get(message) ?? []), subject]);
    const rows = [...reasons].map(([reason, subjects]) => [String(subjects.length), reason, subjects[0] as string]);
    printLine(table([["nodes stay float", "because", "the first"], ...rows], { maxWidth: 90 }));
    return;
  }
  const shown = skipped.slice(0, 15);
  printLine(table([["stays float", "because"], ...shown.map(({ subject, message }) => [subject, message])], { maxWidth: 90 }));
  if (skipped.length > shown.length) printLine(`… and ${skipped.length - shown.length} more (--json lists all)`);
}

function printHalf(half: NonNullable<QuantizeReport["half"]>): void {
  const { dtype, halfNodes, floatNodes, casts, stored, islands, comparison } = half;
  printLine(
    `${halfNodes} nodes compute in ${dtype}, ${floatNodes} in float32; ${stored} constants in ${dtype}, ${casts} casts of activations`,
  );
  if (comparison) {
    const { runs, inputs, relativeError, bound, sqnr, removed } = comparison;
    printLine(
      `against the float model on ${runs} ${inputs} inputs: SQNR ${sqnr.toFixed(1)} dB, relative error ${relativeError.toPrecision(2)} (bound ${bound})`,
    );
    if (removed.length > 0) printLine(`taken back to float32 by measuring: ${removed.join(", ")}`);
  }
  if (half.masks > 0) printLine(`${half.masks} masks before a Softmax became -10000, which gives the same`);
  if (islands.length === 0) return;
  printLine();
  const shown = islands.slice(0, 15).map(({ nodes, reasons }) => [nodes.join(", "), reasons.join("; ")]);
  printLine(table([["float32 island", "because"], ...shown], { maxWidth: 90 }));
  if (islands.length > shown.length) printLine(`… and ${islands.length - shown.length} more (--json lists all)`);
}

function printWeights(weights: NonNullable<QuantizeReport["weights"]>, ratio: number | undefined): void {
  if (ratio !== undefined) printLine(`matrices of products: ${ratio.toFixed(2)}x smaller, scales included`);
  printLine();
  const rows = weights.map(({ name, shape, bits, block, algorithm, error }) => [
    name,
    shape.join("x"),
    `${bits}/${block}`,
    algorithm,
    `${(100 * error).toPrecision(2)} %`,
  ]);
  printLine(table([["weights", "shape", "bits/block", "algorithm", "error"], ...rows], { maxWidth: 90 }));
}
