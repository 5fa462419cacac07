import { resolve } from "node:path";
import { type EvalReport, evalReportSchema, evaluate } from "../../measure/evaluate.ts";
import { folderOf, parseEvalConfig, readEvalConfig } from "../../measure/evaluate-config.ts";
import { tasks } from "../../measure/task.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { type Command, InvalidArgumentError } from "../command-line.ts";
import { formatMs, printJson, printLine, printNote, setExitCode, table, withProgress } from "../output.ts";

interface Flags {
  readonly data?: string;
  readonly kind?: string;
  readonly task?: string;
  readonly preprocess?: string;
  readonly metric?: string[];
  readonly postprocess?: string[];
  readonly plugin?: string[];
  readonly baseline?: string;
  readonly split?: string;
  readonly limit?: number;
  readonly seed?: number;
  readonly batch?: number;
  readonly threads?: number;
  readonly config?: string;
  readonly check: boolean;
  readonly json?: boolean;
}

const integer = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError("It must be a whole number.");
  return value;
};
const collect = (text: string, before: string[] = []): string[] => [...before, text];

/** `edgewright eval`: accuracy of a model on data, every number with its interval. */
export function configure(command: Command): void {
  command
    .description("Measure a model's accuracy on labelled data, or its closeness to another model without labels.")
    .argument("[model]", "ONNX file; may come from --config instead")
    .option("--data <path>", "folder or file with samples")
    .option("--kind <kind>", "kind of data, where the path does not tell")
    .option("--task <task>", `one of ${tasks.map(({ name }) => name).join(", ")}; default: what the labels say`)
    .option(
      "--preprocess <preset|json>",
      "how samples become inputs: a preset's name or a JSON object; default: the best preset on a few samples",
    )
    .option("--metric <name>", "measure this instead of the task's metrics; may be repeated", collect)
    .option("--postprocess <name>", "step between outputs and metrics; may be repeated", collect)
    .option("--plugin <file>", "JavaScript module with metrics, post-processing or a run function; may be repeated", collect)
    .option("--baseline <model>", "original model: adds the difference to it, agreement, KL and SQNR")
    .option("--split <name>", "only this part of the data: calibration, selection or final")
    .option("--limit <n>", "at most this many samples", integer)
    .option("--seed <n>", "seed of order and splits (default 0)", integer)
    .option("--batch <n>", "samples in one run, where the model allows it (default 1)", integer)
    .option("--threads <n>", "threads of the runtime (default 1)", integer)
    .option("--config <file>", "JSON file with all of this; flags win over it")
    .option("--no-check", "do not try other preprocessing presets on a few samples")
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

/** A preset's name, or JSON where it begins like an object. */
function preprocessOf(text: string): unknown {
  if (!text.trimStart().startsWith("{")) return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EdgewrightError("OPTION_INVALID", `--preprocess is not valid JSON: ${(cause as Error).message}.`, { cause });
  }
}

const defined = (values: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** What the flags say, in the shape of a configuration; paths are the shell's, so they start here. */
function fromFlags(model: string | undefined, flags: Flags): Record<string, unknown> {
  const path = flags.data === undefined ? undefined : resolve(flags.data);
  return defined({
    model: model === undefined ? undefined : resolve(model),
    data: path !== undefined && flags.kind !== undefined ? { path, kind: flags.kind } : path,
    preprocess: flags.preprocess === undefined ? undefined : preprocessOf(flags.preprocess),
    task: flags.task,
    metrics: flags.metric,
    postprocess: flags.postprocess,
    plugins: flags.plugin?.map((file) => resolve(file)),
    baseline: flags.baseline === undefined ? undefined : resolve(flags.baseline),
    split: flags.split,
    limit: flags.limit,
    seed: flags.seed,
    batch: flags.batch,
    threads: flags.threads,
    check: flags.check ? undefined : false,
  });
}

async function run(model: string | undefined, flags: Flags): Promise<void> {
  const file = flags.config === undefined ? {} : await readEvalConfig(flags.config);
  const merged = { ...file, ...fromFlags(model, flags) };
  if (!("model" in merged))
    throw new EdgewrightError("MODEL_NOT_GIVEN", "There is no model to evaluate.", {
      hint: "edgewright eval model.onnx --data folder",
    });
  const folder = flags.config === undefined ? process.cwd() : folderOf(flags.config);
  const config = parseEvalConfig(merged, folder, flags.config);
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
