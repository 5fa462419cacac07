/**
 * Weight-only quantization of the two small transformers: algorithms by block sizes, metric on samples that did not calibrate.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/weight-only.ts [gpt-nano-sort sst2]
 *
 * Writes bench/quantize/weight-only.json and weight-only.md.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Model, PreparedSample, Value } from "../../src/ir/index.ts";
import { collectReference, evaluateAccuracy } from "../../src/measure/accuracy.ts";
import { compareAccuracy } from "../../src/measure/accuracy-compare.ts";
import { thisDevice } from "../../src/measure/device.ts";
import { parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import { runPass } from "../../src/passes/manager.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import { circumstances } from "../../src/recipes/measure-candidate.ts";
import { quantizeWeights, type WeightOnlyRequest } from "../../src/recipes/quantize-weights.ts";
import { openSetup } from "../../src/recipes/setup.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { fileBytes, loadModel, saveModel } from "../../src/runtime/model-file.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";

interface Row {
  readonly model: string;
  readonly request: WeightOnlyRequest;
  readonly data: boolean;
  readonly metric: string;
  readonly float: number;
  readonly value: number;
  readonly change: number;
  readonly interval: readonly number[] | null;
  readonly agreement: number | null;
  readonly sqnr: number | null;
  readonly productRatio: number;
  readonly bytes: number;
  readonly floatBytes: number;
  /** Mean over products of the squared output error relative to the squared output, on calibration rows. */
  readonly meanError: number;
  readonly algorithms: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly samples: number;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const all = ["gpt-nano-sort", "sst2"];
const names = process.argv.length > 2 ? process.argv.slice(2) : all;
const calibrationSamples = 100;

const algorithms = ["rtn", "hqq", "gptq", "awq", "auto"] as const;
const blocks = [16, 32, 64, 128] as const;
const variants: { readonly request: WeightOnlyRequest; readonly data: boolean }[] = [
  ...blocks.flatMap((block) => algorithms.map((algorithm) => ({ request: { block, algorithm }, data: true }))),
  ...blocks.map((block) => ({ request: { block, asymmetric: true }, data: true })),
  { request: { block: 32, scales: "float32" }, data: true },
  { request: { block: 32, headBits: 8 }, data: true },
  { request: { block: 32, tableBits: 4 }, data: true },
  { request: { block: 32, tableBits: 4, algorithm: "rtn" }, data: true },
  { request: { block: 32, averageBits: 6 }, data: true },
  { request: { block: 32, bits: 8 }, data: true },
  { request: { block: 32 }, data: false },
];

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

/** Bytes of the constants that products with stored matrices read, as they are in the file. */
function productBytes(model: Model): number {
  const constants = new Set<Value>();
  const collect = (value: Value | undefined): void => {
    if (!value) return;
    if (value.constant) constants.add(value);
    else for (const input of value.producer?.inputs ?? []) collect(input);
  };
  for (const { opType, inputs } of model.graph.nodes) if (opType === "MatMulNBits") inputs.slice(1, 4).forEach(collect);
  return [...constants].reduce((sum, { constant }) => sum + (constant?.byteLength ?? 0), 0);
}

async function bench(name: string, folder: string): Promise<Row[]> {
  const at = resolve(here, "../eval");
  const evaluation = parseEvalConfig({ ...(await readEvalConfig(join(at, `${name}.json`))), check: false }, at);
  const setup = await openSetup({ evaluation });
  const samples: PreparedSample[] = [];
  for await (const sample of setup.samples(undefined)) samples.push(sample);
  const [calibration, test] = [samples.slice(0, calibrationSamples), samples.slice(calibrationSamples)];
  const simplified = setup.model.clone();
  await runPass(simplify, simplified, {}, ortEvaluate);
  const common = { ...circumstances(setup, name), task: setup.task };
  const float = await setup.executor.load(setup.modelPath, { threads: 1 });
  const before = await collectReference({ ...common, session: float, samples: from(test) });
  await float.release();
  const rows: Row[] = [];
  for (const { request, data } of variants) {
    const model = simplified.clone();
    const started = performance.now();
    const source = { executor: setup.executor, threads: 1, run: setup.task.run, samples: () => from(calibration) };
    const { weights } = await quantizeWeights(model, setup.target.quantization, request, data ? source : undefined);
    const seconds = (performance.now() - started) / 1000;
    const path = join(folder, "quantized.onnx");
    await saveModel(model, path);
    const session = await setup.executor.load(path, { threads: 1 });
    const after = await evaluateAccuracy({ ...common, session, samples: from(test), reference: before.reference });
    await session.release();
    const [difference] = compareAccuracy(before, after, { seed: 0 }).differences;
    if (!difference) throw new Error(`${name} has no metric`);
    const measured = (metric: string): number | null => after.measurements.find((m) => m.metric === metric)?.value ?? null;
    const products = weights.filter(({ kind }) => kind === "product");
    rows.push({
      model: name,
      request,
      data,
      metric: difference.metric,
      float: difference.baseline,
      value: difference.candidate,
      change: difference.difference,
      interval: difference.interval ? [...difference.interval] : null,
      agreement: measured("agreement"),
      sqnr: measured("sqnr"),
      productRatio: products.reduce((sum, one) => sum + one.bytesBefore, 0) / productBytes(await loadModel(path)),
      bytes: await fileBytes(path),
      floatBytes: await fileBytes(setup.modelPath),
      meanError: products.reduce((sum, { error }) => sum + error, 0) / products.length,
      algorithms: Object.fromEntries(
        [...new Set(products.map(({ algorithm }) => algorithm))]
          .sort()
          .map((algorithm) => [algorithm, products.filter((one) => one.algorithm === algorithm).length]),
      ),
      seconds,
      samples: test.length,
    });
    console.log(line(rows.at(-1) as Row));
  }
  return rows;
}

function titleOf({ request, data }: Row): string {
  const { algorithm = "auto", bits = 4, block, asymmetric, scales, headBits, tableBits, averageBits } = request;
  const more = [
    asymmetric ? "zero points" : "",
    scales ? `${scales} scales` : "",
    tableBits ? `tables in ${tableBits} bits` : "",
    headBits ? `head in ${headBits} bits` : "",
    averageBits ? `up to ${averageBits} bits on average` : "",
    data ? "" : "no data",
  ].filter(Boolean);
  return [`${bits} bits, blocks of ${block}, ${algorithm}`, ...more].join(", ");
}

const cells = (all: readonly string[]): string => `| ${all.join(" | ")} |`;
const line = (row: Row): string =>
  cells([
    titleOf(row),
    row.value.toFixed(2),
    `${row.change >= 0 ? "+" : ""}${row.change.toFixed(2)}${row.interval ? ` [${row.interval.map((x) => x.toFixed(2)).join(", ")}]` : ""}`,
    row.agreement?.toFixed(2) ?? "",
    row.sqnr?.toFixed(1) ?? "",
    row.productRatio.toFixed(2),
    (row.floatBytes / row.bytes).toFixed(2),
    `${(100 * row.meanError).toPrecision(2)} %`,
    Object.entries(row.algorithms)
      .map(([name, count]) => `${count} ${name}`)
      .join(", "),
    row.seconds.toFixed(1),
  ]);

function markdown(rows: readonly Row[]): string {
  const conditions = `${thisDevice().summary}; node ${process.versions.node}, onnxruntime-node ${ortNode.version}`;
  const parts = [
    "# Weight-only quantization: algorithms by block sizes",
    `\`npx tsx bench/quantize/weight-only.ts\`, ${new Date().toISOString().slice(0, 10)}. ${conditions}.
MatMulNBits with accuracy_level 4 and GatherBlockQuantized (embeddings in 8 bits unless said); scales in float16 unless said. ${calibrationSamples} samples
calibrate, all others give the metric. "products" is how many times smaller the matrices of products are in the file, scales and zero points
included; "file" is the whole file. "error" is the mean over products of ‖X(W−Ŵ)‖² / ‖XW‖² on calibration rows that were held apart (without data: of the weights).
A matrix whose rows do not fill blocks gets smaller ones (48 columns: 16). The last column but one counts the algorithms that were chosen.
The bar: metric within 0.5 of float at 6x smaller matrices.`,
  ];
  for (const name of all) {
    const own = rows.filter(({ model }) => model === name);
    const [first] = own;
    if (!first) continue;
    const met = own.filter(({ change, productRatio }) => Math.abs(change) <= 0.5 && productRatio >= 6);
    parts.push(
      `## ${name}`,
      `Float: ${first.metric} ${first.float.toFixed(2)} on ${first.samples} samples, ${(first.floatBytes / 1e6).toFixed(2)} MB. ${met.length} of ${own.length} variants meet the bar.`,
      [
        cells(["variant", first.metric, "change", "agreement %", "SQNR dB", "products", "file", "error", "chosen", "s"]),
        cells(["---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "---", "--:"]),
        ...own.map(line),
      ].join("\n"),
    );
  }
  return `${parts.join("\n\n")}\n`;
}

const path = join(here, "weight-only.json");
let known: Row[] = [];
try {
  known = (JSON.parse(readFileSync(path, "utf8")) as { rows: Row[] }).rows;
} catch {
  // first run
}
const folder = mkdtempSync(join(tmpdir(), "edgewright-bench-"));
try {
  for (const name of names) {
    const rows = await bench(name, folder);
    known = [...known.filter(({ model }) => model !== name), ...rows];
    writeFileSync(
      path,
      `${JSON.stringify({ device: thisDevice().summary, at: new Date().toISOString(), rows: known }, null, 1)}\n`,
    );
    writeFileSync(join(here, "weight-only.md"), markdown(known));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
