/**
 * Our static quantization beside onnxruntime's own quantizer: same calibration samples, same evaluation samples (none of them used for
 * calibration), one process for all timings.
 *
 *   python3 -m venv .venv && .venv/bin/pip install -r bench/peers/requirements.txt
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/run.ts [name…] [--python .venv/bin/python]
 *
 * Writes bench/quantize/results.json and results.md.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { PreparedSample } from "../../src/ir/index.ts";
import { type AccuracyResult, collectReference, evaluateAccuracy } from "../../src/measure/accuracy.ts";
import { compareAccuracy } from "../../src/measure/accuracy-compare.ts";
import { parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import { compareLatency, type LatencySubject } from "../../src/measure/latency.ts";
import { runPass } from "../../src/passes/manager.ts";
import { valuesToObserve } from "../../src/passes/quantize/static.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import { mainMetric } from "../../src/recipes/accuracy.ts";
import { type CandidatePlan, firstNodes, recipeCandidate, staticCandidate } from "../../src/recipes/candidates.ts";
import { circumstances } from "../../src/recipes/measure-candidate.ts";
import { observe } from "../../src/recipes/observe.ts";
import { contextOf } from "../../src/recipes/ptq/context.ts";
import { outputsOf } from "../../src/recipes/ptq/divergence.ts";
import { searchQuantization } from "../../src/recipes/ptq/search.ts";
import { sqnrOf } from "../../src/recipes/sensitivity.ts";
import { openSetup } from "../../src/recipes/setup.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { fileBytes, saveModel } from "../../src/runtime/model-file.ts";
import { writeNpz } from "./npz.ts";
import { bestPeerOf, chosenOf, type Row, report } from "./report.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const args = process.argv.slice(2);
const flag = args.indexOf("--python");
const python = flag >= 0 ? (args.splice(flag, 2)[1] as string) : resolve(".venv/bin/python");
const all = ["mobilenetv2", "squeezenet", "proxyless", "resnet20", "resnet8", "vww", "yolox", "sst2"];
const names = args.length > 0 ? args : all;
/** Calibration samples: 100, or a quarter of small data sets. */
const calibrationOf = (length: number): number => Math.min(100, Math.floor(length / 4));
const evaluationLimit = 1900;

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

async function bench(name: string): Promise<Row[]> {
  const configPath = resolve(here, `../eval/${name}.json`);
  const evaluation = parseEvalConfig({ ...(await readEvalConfig(configPath)), check: false }, resolve(here, "../eval"));
  const setup = await openSetup({ evaluation });
  const samples: PreparedSample[] = [];
  for await (const sample of setup.samples(undefined, { limit: evaluationLimit + 100 })) samples.push(sample);
  const calibration = samples.slice(0, calibrationOf(samples.length));
  const test = samples.slice(calibration.length, calibration.length + evaluationLimit);
  const folder = mkdtempSync(join(tmpdir(), "edgewright-bench-"));
  try {
    const inputs = join(folder, "inputs.npz");
    writeNpz(inputs, calibration);
    const peer = JSON.parse(
      execFileSync(
        python,
        [resolve(here, "../peers/quantize_onnxruntime.py"), setup.modelPath, inputs, folder, "minmax", "entropy", "percentile"],
        { encoding: "utf8", maxBuffer: 1 << 26 },
      ),
    ) as {
      version: string;
      results: { method: string; path?: string; seconds?: number; peakRssBytes?: number; error?: string }[];
    };
    const ours = await quantizeOurs(setup, calibration, folder);
    const files: { label: string; path: string; seconds?: number | undefined; peakRssBytes?: number | undefined }[] = [
      { label: "FP32", path: setup.modelPath },
      ...peer.results.flatMap(({ method, path, seconds, peakRssBytes }) =>
        path ? [{ label: `onnxruntime ${method}`, path, seconds, peakRssBytes }] : [],
      ),
      ...ours,
    ];
    return await measureAll(name, setup, files, test, calibration.length);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the search finds within a minute and a half, the same with its first layer in float, and one with quick ranges. */
async function quantizeOurs(
  setup: Awaited<ReturnType<typeof openSetup>>,
  calibration: readonly PreparedSample[],
  folder: string,
) {
  const simplified = setup.model.clone();
  await runPass(simplify, simplified, {}, ortEvaluate);
  const row = setup.target.quantization;
  const statistics = await observe(simplified, valuesToObserve(simplified, row), from(calibration), {
    executor: setup.executor,
    threads: 2,
  });
  const context = contextOf({
    setup,
    statistics,
    feeds: calibration.map(({ feeds }) => feeds),
    samples: calibration,
    options: {},
  });
  const { best } = await searchQuantization(simplified, context, { deadline: performance.now() + 90_000 });
  const first = firstNodes(simplified, row);
  const plans: CandidatePlan[] = [
    staticCandidate({ row, statistics }, { method: "mse" }),
    recipeCandidate(context, best),
    ...(first ? [recipeCandidate(context, best, first)] : []),
  ];
  const float = await outputsOf(simplified, context.judgeFeeds, setup.executor);
  const files = [];
  for (const plan of plans) {
    const path = join(folder, `${plan.name}.onnx`);
    const { model } = await plan.build(simplified);
    await saveModel(model, path);
    const sqnrCalibration = sqnrOf(float, await outputsOf(model, context.judgeFeeds, setup.executor));
    files.push({ label: `edgewright ${plan.name}`, path, sqnrCalibration });
  }
  return files;
}

async function measureAll(
  name: string,
  setup: Awaited<ReturnType<typeof openSetup>>,
  files: readonly {
    label: string;
    path: string;
    seconds?: number | undefined;
    peakRssBytes?: number | undefined;
    sqnrCalibration?: number;
  }[],
  test: readonly PreparedSample[],
  calibration: number,
): Promise<Row[]> {
  const subjects: Record<string, LatencySubject> = {};
  const feeds = test.slice(0, 4).map((sample) => sample.feeds);
  for (const { label, path } of files)
    subjects[label] = { session: await setup.executor.load(path, { threads: 1 }), feeds, threads: 1, executor: setup.executor };
  const { results, ratios } = await compareLatency(subjects, { timeMs: 20_000 });
  const session = (label: string) => (subjects[label] as LatencySubject).session;
  const common = { ...circumstances(setup, name), task: setup.task };
  const before = await collectReference({ ...common, session: session("FP32"), samples: from(test) });
  const rows: Row[] = [];
  const accuracies = new Map<string, AccuracyResult>();
  for (const file of files) {
    const after =
      file.label === "FP32"
        ? before
        : await evaluateAccuracy({ ...common, session: session(file.label), samples: from(test), reference: before.reference });
    accuracies.set(file.label, after);
    const main = mainMetric(before, after, 0);
    const ratio = ratios.find((r) => r.name === file.label);
    rows.push({
      model: name,
      variant: file.label,
      bytes: await fileBytes(file.path),
      metric: main.accuracy?.metric ?? "",
      value: main.accuracy?.value ?? Number.NaN,
      change: main.change?.value ?? 0,
      changeInterval: main.change?.interval ?? null,
      agreement: after.measurements.find((m) => m.metric === "agreement")?.value ?? null,
      sqnr: after.measurements.find((m) => m.metric === "sqnr")?.value ?? null,
      p50Ms: results.find((r) => r.name === file.label)?.p50.value ?? Number.NaN,
      ratio: ratio?.ratio.value ?? 1,
      ratioInterval: ratio?.ratio.interval ?? null,
      seconds: file.seconds ?? null,
      peakRssBytes: file.peakRssBytes ?? null,
      sqnrCalibration: file.sqnrCalibration ?? null,
      samples: test.length,
      calibration,
    });
  }
  pairWithPeer(rows, accuracies);
  for (const { session: loaded } of Object.values(subjects)) await loaded.release();
  return rows;
}

/** Our chosen variant minus the peer's best, sample by sample. */
function pairWithPeer(rows: Row[], accuracies: ReadonlyMap<string, AccuracyResult>): void {
  const ours = chosenOf(rows);
  const peer = bestPeerOf(rows);
  const a = ours && accuracies.get(ours.variant);
  const b = peer && accuracies.get(peer.variant);
  if (!ours || !a || !b) return;
  const [difference] = compareAccuracy(b, a, { seed: 0 }).differences;
  if (difference)
    rows[rows.indexOf(ours)] = {
      ...ours,
      againstPeer: difference.difference,
      againstPeerInterval: difference.interval ? [...difference.interval] : null,
    };
}

const path = join(here, "results.json");
let known: Row[] = [];
try {
  known = (JSON.parse(readFileSync(path, "utf8")) as { rows: Row[] }).rows;
} catch {
  // first run
}
for (const name of names) {
  const rows = await bench(name);
  known = [...known.filter(({ model }) => model !== name), ...rows];
  const document = report(known, all);
  writeFileSync(path, `${JSON.stringify({ ...document.conditions, rows: known }, null, 1)}\n`);
  writeFileSync(join(here, "results.md"), document.markdown);
  console.log(`${name}\n${document.tables.get(name)}`);
}
