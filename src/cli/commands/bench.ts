import { readFile } from "node:fs/promises";
import { parseNpy } from "../../data/npy.ts";
import { openDataset } from "../../data/open.ts";
import { prepareSamples } from "../../data/prepare.ts";
import { type BenchModel, type BenchReport, benchModels, benchSchema, bindFeeds } from "../../measure/bench.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { Measurement } from "../../measure/measurement.ts";
import type { Session } from "../../runtime/executor.ts";
import { executorNames } from "../../runtime/executors.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { type Command, InvalidArgumentError } from "../command-line.ts";
import { formatBytes, formatMs, printJson, printLine, printNote, table, withProgress } from "../output.ts";
import { parseShape, type ShapeFlags } from "../shape-option.ts";

interface Flags {
  readonly executor: (typeof executorNames)[number];
  readonly threads: number;
  readonly shape?: ShapeFlags;
  readonly rounds?: number;
  readonly time: number;
  readonly seed: number;
  readonly input?: readonly string[];
  readonly data?: string;
  readonly preprocess?: string;
  readonly memory: boolean;
  readonly energy: boolean;
  readonly profile?: boolean;
  readonly json?: boolean;
}

const positiveInteger = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number of at least 1.");
  return value;
};

/** "500ms", "5s", "2m"; a plain number is seconds. */
export function parseTime(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m)?$/.exec(text.trim());
  if (!match) throw new InvalidArgumentError('Write a time like "500ms", "5s" or "2m".');
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[(match[2] ?? "s") as "s"];
}

/** Inputs to run need sizes: a symbol will not do. */
export function sizes(shape: ShapeFlags = {}): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(shape).map(([name, dims]) => {
      const symbol = dims.find((dim) => typeof dim === "string" || dim < 1);
      if (symbol !== undefined)
        throw new EdgewrightError("SHAPE_SYNTAX", `--shape ${name}: "${symbol}" is no size to run.`, {
          hint: "Write it as name=1,3,224,224, or N=4 for a symbolic dim.",
        });
      return [name, dims as number[]];
    }),
  );
}

const collectText = (text: string, before: readonly string[] = []): string[] => [...before, text];

export function configure(command: Command): void {
  command
    .description(
      "Measure latency, memory, cold start and energy of a model, or of several against the first, round by round in one process.",
    )
    .argument("<models...>", "ONNX files; the first is the baseline")
    .addOption(command.createOption("--executor <name>", "runtime").choices(executorNames).default("ort-node"))
    .option("--threads <n>", "intra-op threads", positiveInteger, 1)
    .option("--shape <name=dims>", "shape of an input, or size of a symbolic dim; repeatable", parseShape)
    .addOption(
      command
        .createOption("--time <duration>", "time for all rounds together, after warm-up")
        .argParser(parseTime)
        .default(5000, "5s"),
    )
    .option("--rounds <n>", "exactly so many rounds instead of --time", positiveInteger)
    .addOption(command.createOption("--runs <n>", "the same as --rounds").argParser(positiveInteger).hideHelp())
    .option("--seed <n>", "of random inputs and of the order of rounds", positiveInteger, 1)
    .option("--input <file.npy>", "input tensor, or name=file.npy; repeatable", collectText)
    .option("--data <path>", "run on samples of this data instead of random inputs")
    .option("--preprocess <preset>", "how to prepare --data")
    .option("--no-memory", "leave out memory and cold start, which start new processes")
    .option("--no-energy", "leave out energy")
    .option("--profile", "add the time of every op (ort-node)")
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExample:\n  edgewright bench model.onnx model-int8.onnx --threads 2")
    .action(async (paths: string[], flags: Flags & { runs?: number }) => {
      const options = {
        executor: flags.executor,
        threads: flags.threads,
        shapes: sizes(flags.shape),
        rounds: flags.rounds ?? flags.runs,
        timeMs: flags.time,
        seed: flags.seed,
        process: flags.memory,
        energy: flags.energy,
        profile: flags.profile,
        inputs: inputsOf(flags),
      };
      const report = await withProgress("bench", (run) => benchModels(paths, { ...options, ...run }));
      if (flags.json) printJson(benchSchema, report);
      else printReport(report);
    });
}

/** Samples of a data set that are run in turn: enough to cover inputs that take longer than others. */
const sampleCount = 16;

function inputsOf(flags: Flags): ((session: Session) => Promise<readonly Feeds[]>) | undefined {
  const { data, input = [], preprocess } = flags;
  if (data !== undefined && input.length > 0)
    throw new EdgewrightError("BENCH_INPUT", "--input and --data both say what to run; give one of them.");
  if (data !== undefined)
    return async (session) => {
      const feeds: Feeds[] = [];
      const samples = prepareSamples(await openDataset(data), preprocess ?? {}, session.inputs, { limit: sampleCount });
      for await (const sample of samples) feeds.push(sample.feeds);
      return feeds;
    };
  if (input.length === 0) return undefined;
  return async (session) => {
    const entries = input.map(async (text) => {
      const at = text.indexOf("=");
      const [name, path] = at > 0 ? [text.slice(0, at), text.slice(at + 1)] : ["", text];
      return [name, parseNpy(new Uint8Array(await readFile(path)), path)] as const;
    });
    return [bindFeeds(session, Object.fromEntries(await Promise.all(entries)))];
  };
}

const formatted = (measurement: Measurement | undefined): string => {
  if (!measurement) return "–";
  const { unit, value } = measurement;
  if (unit === "bytes") return formatBytes(value);
  if (unit === "ms") return formatMs(value);
  return unit === "1" ? `${(value * 100).toFixed(1)} %` : `${value.toPrecision(3)} ${unit}`;
};

function medianWithInterval({ value, interval }: Measurement): string {
  return interval ? `${formatMs(value)} [${interval.map((bound) => formatMs(bound)).join(", ")}]` : formatMs(value);
}

function rowsOf(models: readonly BenchModel[]): string[][] {
  const row = (name: string, cell: (model: BenchModel) => string) => [name, ...models.map(cell)];
  const rows = [
    row("size", (m) => formatBytes(m.bytes)),
    row("latency p50", (m) => medianWithInterval(m.latency.p50)),
    row("latency p95", (m) => formatted(m.latency.p95)),
    row("spread (IQR)", (m) => formatted(m.latency.spread)),
    row("peak memory", (m) => formatted(m.process?.peakMemory)),
    row("  arena", (m) => formatted(m.process?.arena)),
    row("  process RSS", (m) => formatted(m.process?.peakRss)),
    row("activations (est.)", (m) => formatted(m.activations)),
    row("cold start", (m) => formatted(m.process?.coldStart)),
    row("  session", (m) => formatted(m.process?.sessionCreate)),
    row("  first run", (m) => formatted(m.process?.firstRun)),
    row("energy/inference", (m) => `${formatted(m.energy?.perInference)}${m.energy?.kind === "estimate" ? " (est.)" : ""}`),
  ];
  return rows.filter((cells) => cells.slice(1).some((cell) => cell !== "–"));
}

export function printReport(report: BenchReport): void {
  const { executor, threads, models, ratios, notes } = report;
  for (const note of notes) printNote(`note: ${note}`);
  printLine(`${executor.name} ${executor.version}, ${threads} thread${threads === 1 ? "" : "s"}, ${report.device}`);
  const [first] = models;
  if (first) printLine(`inputs: ${first.inputs.map(({ name, dtype, shape }) => `${name} ${dtype}[${shape}]`).join(", ")}`);
  if (first) printLine(`${first.latency.rounds} rounds${models.length > 1 ? ", interleaved" : ""}`);
  printLine();
  printLine(table([["", ...models.map((model) => model.name)], ...rowsOf(models)]));
  if (ratios.length > 0) printLine();
  for (const ratio of ratios) printLine(sentence(ratio));
  for (const { name, profile } of models) {
    if (!profile) continue;
    printLine(`\n${name}: ${formatMs(profile.kernelTime.value)} in kernels per run`);
    const shares = profile.opTypes.map((o) => [o.opType, String(o.nodes), formatMs(o.ms), `${(o.share * 100).toFixed(1)} %`]);
    printLine(table([["op type", "nodes", "time", "share"], ...shares]));
    const slowest = profile.nodes.slice(0, 10).map((n) => [n.node, n.opType, formatMs(n.ms), `${(n.share * 100).toFixed(1)} %`]);
    printLine(`\n${table([["slowest nodes (as onnxruntime runs them)", "op type", "time", "share"], ...slowest])}`);
  }
}

function sentence({ name, baseline, ratio, speedup, verdict, noiseFloor }: BenchReport["ratios"][number]): string {
  const [low, high] = ratio.interval ?? [ratio.value, ratio.value];
  const numbers = `time ratio ${ratio.value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
  if (verdict === "not distinguishable")
    return `${name} and ${baseline} are not distinguishable: ${numbers}, noise floor ${(noiseFloor * 100).toFixed(1)} %.`;
  const factor = verdict === "faster" ? speedup : ratio.value;
  return `${name} is ${factor.toFixed(2)}x ${verdict} than ${baseline}: ${numbers}.`;
}
