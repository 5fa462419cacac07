import { resolve } from "node:path";
import { type EvalReport, evalReportSchema, evaluate } from "../../measure/evaluate.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import type { Command } from "../command-line.ts";
import { addEvaluationFlags, type EvaluationFlags, integer, readEvaluation } from "../evaluation-flags.ts";
import { formatMs, printJson, printLine, printNote, setExitCode, table, withProgress } from "../output.ts";

interface Flags extends EvaluationFlags {
  readonly baseline?: string;
  readonly split?: string;
  readonly batch?: number;
  readonly json?: boolean;
}

/** `edgewright eval`: accuracy of a model on data, every number with its interval. */
export function configure(command: Command): void {
  addEvaluationFlags(
    command
      .description("Measure a model's accuracy on labelled data, or its closeness to another model without labels.")
      .argument("[model]", "ONNX file; may come from --config instead"),
  )
    .option("--baseline <model>", "original model: adds the difference to it, agreement, KL and SQNR")
    .option("--split <name>", "only this part of the data: calibration, selection or final")
    .option("--batch <n>", "samples in one run, where the model allows it (default 1)", integer)
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples:
  edgewright eval model.onnx --data photos --preprocess imagenet --limit 500
  edgewright eval small.onnx --data photos --preprocess imagenet --baseline model.onnx
  edgewright eval --config bench/eval/mnist.json`,
    )
    .action(run);
}

async function run(model: string | undefined, flags: Flags): Promise<void> {
  const baseline = flags.baseline === undefined ? undefined : resolve(flags.baseline);
  const config = await readEvaluation(model, flags, { baseline, split: flags.split, batch: flags.batch });
  const report = await withProgress("eval", (options) => evaluate(config, ortNode, options));
  if (report.expectations.some(({ met }) => !met)) setExitCode(2);
  if (flags.json) return printJson(evalReportSchema, report);
  print(report);
}

const digits = (unit: string, value: number): string => (unit === "%" || unit === "dB" ? value.toFixed(2) : value.toPrecision(4));
const withUnit = (value: number, unit: string): string => `${digits(unit, value)}${unit ? ` ${unit}` : ""}`;
const range = (interval: readonly [number, number] | undefined, unit: string): string =>
  interval ? `[${digits(unit, interval[0])}, ${digits(unit, interval[1])}]` : "none";

function print(report: EvalReport): void {
  printLine(`${report.model.path}`);
  printLine(`${report.data.summary}`);
  const how =
    report.preprocess === null
      ? ""
      : `, preprocessing ${typeof report.preprocess === "string" ? report.preprocess : "as configured"}`;
  printLine(
    `task ${report.task}${how}, ${report.threads} thread${report.threads === 1 ? "" : "s"}, ${formatMs(report.seconds * 1000)}`,
  );
  printLine();
  printLine(
    table([
      ["metric", "value", "95 % interval", "n"],
      ...report.measurements.map((m) => [m.metric, withUnit(m.value, m.unit), range(m.interval, m.unit), String(m.n)]),
    ]),
  );
  if (report.baseline) printDifferences(report.baseline);
  if (report.expectations.length > 0) {
    printLine();
    printLine(
      table([
        ["metric", "expected", "measured", ""],
        ...report.expectations.map(({ metric, expected, within, measured, met }) => [
          metric,
          `${expected} ± ${within}`,
          measured === null ? "none" : measured.toFixed(3),
          met ? "as expected" : "NOT as expected",
        ]),
      ]),
    );
  }
  for (const warning of report.warnings) printNote(`warning: ${warning}`);
}

function printDifferences({ model, differences }: NonNullable<EvalReport["baseline"]>): void {
  printLine();
  printLine(`against ${model.path}, sample by sample`);
  printLine(
    table([
      ["metric", "baseline", "difference", "95 % interval", "lost / gained", "p"],
      ...differences.map((d) => [
        d.metric,
        withUnit(d.baseline, d.unit),
        withUnit(d.difference, d.unit),
        range(d.interval, d.unit),
        d.mcNemar ? `${d.mcNemar.lost} / ${d.mcNemar.gained}` : "",
        d.mcNemar ? d.mcNemar.p.toPrecision(2) : "",
      ]),
    ]),
  );
}
