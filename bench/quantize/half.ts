/**
 * Conversion to 16-bit floats of all models: size, metric, distance from float and latency, on samples that did not calibrate.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/half.ts [mobilenetv2 yolox …]
 *
 * Writes bench/quantize/half.json and half.md.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { PreparedSample } from "../../src/ir/index.ts";
import { collectReference, evaluateAccuracy } from "../../src/measure/accuracy.ts";
import { compareAccuracy } from "../../src/measure/accuracy-compare.ts";
import { thisDevice } from "../../src/measure/device.ts";
import { parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import { compareLatency } from "../../src/measure/latency.ts";
import { runPass } from "../../src/passes/manager.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import { convertToHalf, type HalfReport, type HalfRequest } from "../../src/recipes/half-precision.ts";
import { circumstances } from "../../src/recipes/measure-candidate.ts";
import { targetNamed } from "../../src/recipes/quantize-method.ts";
import { openSetup } from "../../src/recipes/setup.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { fileBytes, saveModel } from "../../src/runtime/model-file.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";

interface Variant {
  readonly name: string;
  readonly dtype: "float16" | "bfloat16";
  readonly target: string;
  readonly request: HalfRequest;
}

/** "float16 throughout" is the file for GPUs and NPUs; onnxruntime's CPU build runs it behind casts of its own. */
const variants: readonly Variant[] = [
  { name: "fp16", dtype: "float16", target: "here", request: {} },
  { name: "fp16, weights only", dtype: "float16", target: "here", request: { weightsOnly: true } },
  { name: "fp16 throughout", dtype: "float16", target: "coreml-ep", request: {} },
  { name: "bf16", dtype: "bfloat16", target: "here", request: {} },
];

interface Row {
  readonly model: string;
  readonly variant: string;
  readonly metric: string;
  readonly float: number;
  readonly change: number;
  readonly interval: readonly number[] | null;
  readonly sqnr: number | null;
  readonly sizeRatio: number;
  /** median(converted) / median(float), interleaved. */
  readonly latencyRatio: number;
  readonly latencyInterval: readonly number[] | null;
  readonly samples: number;
  readonly seconds: number;
  readonly report: HalfReport;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const evaluations = resolve(here, "../eval");
const all = readdirSync(evaluations).flatMap((name) => (name.endsWith(".json") ? [name.slice(0, -5)] : []));
const names = process.argv.length > 2 ? process.argv.slice(2) : all;
/** Samples that the metric is taken on. */
const evaluationLimit = 400;

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

async function bench(name: string, folder: string): Promise<Row[]> {
  const config = await readEvalConfig(join(evaluations, `${name}.json`));
  const setup = await openSetup({ evaluation: parseEvalConfig({ ...config, check: false }, evaluations) });
  const samples: PreparedSample[] = [];
  for await (const sample of setup.samples(undefined, { limit: evaluationLimit + 32 })) samples.push(sample);
  const calibration = samples.slice(0, Math.max(1, Math.min(32, Math.floor(samples.length / 4))));
  const test = samples.length > 1 ? samples.slice(calibration.length) : samples;
  const simplified = setup.model.clone();
  await runPass(simplify, simplified, {}, ortEvaluate);
  const common = { ...circumstances(setup, name), task: setup.task };
  const floatPath = join(folder, "float.onnx");
  await saveModel(simplified, floatPath);
  const float = await ortNode.load(floatPath, { threads: 1 });
  const before = await collectReference({ ...common, session: float, samples: from(test) });
  const rows: Omit<Row, "latencyRatio" | "latencyInterval">[] = [];
  const sessions = [{ name: "float", session: float }];
  for (const variant of variants) {
    const started = performance.now();
    const source = { executor: ortNode, threads: 1, run: setup.task.run, samples: () => from(calibration) };
    const { model, report } = await convertToHalf(
      simplified,
      variant.dtype,
      targetNamed(variant.target),
      variant.request,
      source,
    );
    const path = join(folder, `${rows.length}.onnx`);
    await saveModel(model, path);
    const session = await ortNode.load(path, { threads: 1 });
    const after = await evaluateAccuracy({ ...common, session, samples: from(test), reference: before.reference });
    const [difference] = compareAccuracy(before, after, { seed: 0 }).differences;
    if (!difference) throw new Error(`${name} has no metric`);
    sessions.push({ name: variant.name, session });
    rows.push({
      model: name,
      variant: variant.name,
      metric: difference.metric,
      float: difference.baseline,
      change: difference.difference,
      interval: difference.interval ? [...difference.interval] : null,
      sqnr: after.measurements.find(({ metric }) => metric === "sqnr")?.value ?? report.comparison?.sqnr ?? null,
      sizeRatio: (await fileBytes(setup.modelPath)) / (await fileBytes(path)),
      samples: test.length,
      seconds: (performance.now() - started) / 1000,
      report,
    });
  }
  const ratios = await latencies(setup.task.run, sessions, calibration[0] as PreparedSample);
  for (const { session } of sessions) await session.release();
  return rows.map((row) => ({
    ...row,
    ...(ratios.get(row.variant) as { latencyRatio: number; latencyInterval: number[] | null }),
  }));
}

type Run = Awaited<ReturnType<typeof openSetup>>["task"]["run"];

/** All models in turn, on the inputs of the first call that a sample makes. */
async function latencies(
  run: Run,
  sessions: readonly { readonly name: string; readonly session: Awaited<ReturnType<typeof ortNode.load>> }[],
  sample: PreparedSample,
): Promise<Map<string, { latencyRatio: number; latencyInterval: readonly number[] | null }>> {
  const calls = [sample.feeds];
  const [first] = sessions as [(typeof sessions)[number]];
  const recording = {
    ...first.session,
    run: (given: PreparedSample["feeds"]) => {
      calls.push(given);
      return first.session.run(given);
    },
  };
  if (run) await run({ session: recording, sample, signal: undefined });
  const feeds = calls.at(run ? 1 : 0) as PreparedSample["feeds"];
  const subjects = Object.fromEntries(
    sessions.map(({ name, session }) => [name, { session, feeds, threads: 1, executor: ortNode }]),
  );
  const { ratios } = await compareLatency(subjects, { timeMs: 8000 });
  return new Map(ratios.map(({ name, ratio }) => [name, { latencyRatio: ratio.value, latencyInterval: ratio.interval ?? null }]));
}

const signed = (value: number): string => `${value < 0 ? "" : "+"}${value.toFixed(2)}`;
const between = (interval: readonly number[] | null, digits: number): string =>
  interval ? ` [${interval.map((bound) => bound.toFixed(digits)).join(", ")}]` : "";

function markdown(rows: readonly Row[]): string {
  const device = thisDevice();
  const lines = rows.map((row) => {
    const { report } = row;
    const removed = report.comparison?.removed.join(", ") || "";
    return [
      row.model,
      row.variant,
      `${row.sizeRatio.toFixed(2)}x`,
      `${row.metric} ${row.float.toFixed(2)}`,
      signed(row.change) + between(row.interval, 2),
      row.sqnr?.toFixed(1) ?? "",
      row.latencyRatio.toFixed(2) + between(row.latencyInterval, 2),
      `${report.halfNodes} / ${report.floatNodes}`,
      String(report.casts),
      removed,
    ];
  });
  const head = [
    "model",
    "variant",
    "size",
    "float",
    "change",
    "SQNR dB",
    "latency",
    "16-bit / float32 nodes",
    "casts",
    "taken back",
  ];
  const table = [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  return `# Conversion to 16-bit floats

\`npx tsx bench/quantize/half.ts\`, ${new Date().toISOString().slice(0, 10)}. ${device.cpu}, ${device.cores} cores, one thread; onnxruntime-node ${ortNode.version}.
Up to 32 samples (a quarter of small sets) give the ranges, others the metric. "latency" is the median against the float model, all
variants of a model in turn, 95 % interval; below 1 is faster. This CPU has no 16-bit kernels for products: "fp16" and "bf16" therefore store
weights in 16 bits and compute in float32; "fp16 throughout" is the file for GPUs and NPUs, which onnxruntime runs here behind casts of its own. Other
work ran on the machine: where an interval is wide, the ratio says little.

${table}
`;
}

const folder = mkdtempSync(join(tmpdir(), "edgewright-half-"));
const rows: Row[] = [];
try {
  for (const name of names) {
    const found = await bench(name, folder);
    rows.push(...found);
    for (const row of found)
      console.log(
        `${row.model} ${row.variant}: ${row.sizeRatio.toFixed(2)}x, ${row.metric} ${signed(row.change)}, ${row.sqnr?.toFixed(1)} dB, latency ${row.latencyRatio.toFixed(2)}`,
      );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (names.length === all.length) {
  writeFileSync(
    join(here, "half.json"),
    `${JSON.stringify({ device: thisDevice(), onnxruntime: ortNode.version, rows }, null, 1)}\n`,
  );
  writeFileSync(join(here, "half.md"), markdown(rows));
}
