import { type Explanation, explain, explanationSchema } from "../../recipes/index.ts";
import type { Command } from "../command-line.ts";
import { addEvaluationFlags, type EvaluationFlags, integer, readEvaluation } from "../evaluation-flags.ts";
import { formatMs, printJson, printLine, printNote, table, withProgress } from "../output.ts";
import { parseNumber } from "../quantity.ts";

interface Flags extends EvaluationFlags {
  readonly output?: string;
  readonly samples?: number;
  readonly whatIf?: number;
  readonly target?: string;
  readonly json?: boolean;
}

/** `edgewright explain`: where a quantized model loses accuracy, and what to do about it. */
export function configure(command: Command): void {
  addEvaluationFlags(
    command
      .description("Say layer by layer where a quantized model (QDQ form) departs from its float model, and what to do about it.")
      .argument("<model>", "the float model, an ONNX file")
      .argument("<quantized>", "the quantized model that was made of it"),
  )
    .option("-o, --output <file>", "write a report as an HTML page")
    .option("--samples <n>", "samples to compare on (default 32)", integer)
    .option("--what-if <seconds>", "time for putting parts back to float one by one; 0: none (default 60)", parseNumber)
    .option("--target <name>", "the target that the quantized model is for (default here)")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      "\nExample:\n  edgewright explain model.onnx model.int8.onnx --data photos --preprocess imagenet -o explained.html",
    )
    .action(run);
}

async function run(model: string, quantized: string, flags: Flags): Promise<void> {
  const evaluation = await readEvaluation(model, flags);
  const { samples, target, output: report } = flags;
  const request = { evaluation, quantized, samples, target, whatIfSeconds: flags.whatIf, report };
  const explanation = await withProgress("explain", (options) => explain(request, options));
  if (flags.json) printJson(explanationSchema, explanation);
  else print(explanation);
  if (report !== undefined) printNote(`report: ${report}`);
}

const decibels = (value: number | null): string => (value === null ? "" : value >= 200 ? "exact" : value.toFixed(1));
type Layer = Explanation["layers"][number];

const gain = (value: Layer["weightGain"]): string =>
  value === null
    ? ""
    : `${value.db >= 0 ? "+" : ""}${value.db.toFixed(1)} ± ${value.error === null ? "?" : value.error.toFixed(1)}`;
const largest = ({ weightGain, resultGain }: Layer): number => Math.max(weightGain?.db ?? 0, resultGain?.db ?? 0);

/** Rows of the table of layers. */
const shown = 12;

function print(explanation: Explanation): void {
  const { sqnr, samples, layers, unmatched, advice, warnings, seconds } = explanation;
  printLine(
    `outputs: ${decibels(sqnr)} dB of signal over quantization noise, ${samples} samples, in ${formatMs(1000 * seconds)}`,
  );
  printLine(`${layers.length} integer layers compared${unmatched.length > 0 ? `, ${unmatched.length} not` : ""}`);
  printLine();
  for (const [i, { text }] of advice.entries()) printLine(`${i + 1}. ${text}`);
  printLine();
  const worst = [...layers].sort((a, b) => largest(b) - largest(a) || a.localSqnr - b.localSqnr).slice(0, shown);
  const rows = worst.map((layer) => [
    `${layer.opType} ${layer.node}`,
    decibels(layer.sqnr),
    decibels(layer.localSqnr),
    decibels(layer.weightSqnr),
    decibels(layer.resultSqnr),
    gain(layer.weightGain),
    gain(layer.resultGain),
  ]);
  printLine(
    table([["layer", "accumulated dB", "alone", "weights", "result", "weights in float", "result in float"], ...rows], {
      maxWidth: 44,
    }),
  );
  if (layers.length > worst.length) printLine(`… and ${layers.length - worst.length} more (--json lists all)`);
  for (const { node, opType, reason } of unmatched.slice(0, 5)) printNote(`not compared: ${opType} "${node}": ${reason}`);
  if (unmatched.length > 5) printNote(`not compared: ${unmatched.length - 5} more (--json lists all)`);
  for (const warning of warnings) printNote(`warning: ${warning}`);
}
