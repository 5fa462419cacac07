import { type SimplifyReport, simplifyFile, simplifyReportSchema } from "../../measure/simplify-file.ts";
import { fail } from "../../util/errors.ts";
import { color } from "../color.ts";
import type { Command } from "../command-line.ts";
import { formatBytes, formatMs, printJson, printLine, printNote, table, withProgress } from "../output.ts";
import { parseShape, type ShapeFlags } from "../shape-option.ts";

interface Flags {
  readonly output: string;
  readonly shape?: ShapeFlags;
  readonly skip?: readonly string[];
  readonly keepOpset?: boolean;
  readonly fixOverridable?: boolean;
  readonly explain?: boolean;
  readonly check: boolean;
  readonly tolerance?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0) fail("NUMBER_SYNTAX", `"${text}" is not a number from 0 up.`);
  return value;
}

const staticOnly = (shapes: Flags["shape"] = {}) =>
  Object.fromEntries(Object.entries(shapes).filter(([, shape]) => shape.every((dim) => typeof dim === "number"))) as Record<
    string,
    number[]
  >;

export function configure(command: Command): void {
  command
    .description("Fold constants and normalization, remove what does nothing, recognize fused ops; outputs stay equal.")
    .argument("<model>", "an ONNX file")
    .requiredOption("-o, --output <file>", "the file to write")
    .option("--shape <name=dims>", "fix the shape of an input (again for more inputs)", parseShape)
    .option("--skip <rule>", "leave a rule out (again for more)", (rule: string, rules: string[] = []) => [...rules, rule])
    .option("--keep-opset", "do not bring the operators to the working operator set first; fewer rules fit then")
    .option("--fix-overridable", "make constants of initializers that a caller may override")
    .option("--explain", "say why rules that nearly fired did not")
    .option("--tolerance <x>", "largest allowed difference, relative to an output's largest magnitude", parseNumber)
    .option("--seed <n>", "seed of the random inputs that outputs are compared on", parseNumber)
    .option("--no-check", "do not compare outputs in onnxruntime")
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExample:\n  edgewright simplify model.onnx -o simple.onnx --shape input=1,3,224,224")
    .action(async (model: string, flags: Flags) => {
      const report = await withProgress("simplify", (run) => simplifyFile(model, flags.output, { ...run, ...optionsOf(flags) }));
      if (flags.json) return printJson(simplifyReportSchema, report);
      print(report, flags);
    });
}

function optionsOf({
  shape = {},
  skip = [],
  explain = false,
  keepOpset = false,
  fixOverridable = false,
  check,
  tolerance,
  seed,
}: Flags) {
  const inputShapes = Object.fromEntries(Object.entries(shape).map(([name, dims]) => [name, [...dims]]));
  const comparison = {
    shapes: staticOnly(shape),
    ...(tolerance === undefined ? {} : { tolerance }),
    ...(seed === undefined ? {} : { seed }),
  };
  return {
    params: { inputShapes, skip: [...skip], explain, upgrade: !keepOpset, fixOverridable },
    check: check ? comparison : (false as const),
  };
}

function print(report: SimplifyReport, flags: Flags): void {
  const { before, after, check } = report;
  printLine(
    table([
      ["", "before", "after"],
      ["nodes", String(before.nodes), String(after.nodes)],
      ["size", formatBytes(before.bytes), formatBytes(after.bytes)],
      ["opset", String(before.opset), String(after.opset)],
    ]),
  );
  const counts = Object.entries(report.rules).sort(([, a], [, b]) => b - a);
  if (counts.length > 0) printLine(`\n${table([["rule", "times"], ...counts.map(([rule, n]) => [rule, String(n)])])}`);
  if (flags.explain) printSkipped(report);
  printLine();
  for (const warning of report.warnings) printNote(`${color.yellow("warning")}: ${warning}`);
  if (check)
    printLine(
      `Outputs equal on ${check.runs} random inputs: largest difference ${check.maxAbsolute.toExponential(1)}, ` +
        `${check.maxRelative.toExponential(1)} of the largest magnitude (allowed ${check.tolerance.toExponential(0)}).`,
    );
  else printLine("Outputs were not compared.");
  printLine(`Wrote ${after.path} in ${formatMs(report.milliseconds)}.`);
}

function printSkipped({ skipped }: SimplifyReport): void {
  printLine(skipped.length === 0 ? "\nNo rule nearly fired." : "\nNearly fired:");
  for (const { rule, subject, reason } of skipped) printLine(`  ${rule} at ${subject || "the model"}: ${reason}`);
}
