/**
 * What statically quantized models lose on x86-64 without VNNI, what `safeRecipe` gives back, and what that costs with VNNI:
 *
 *   EDGEWRIGHT_DATA=/path/to/data npx tsx bench/quantize/without-vnni.ts [name ...]
 *
 * "Without VNNI" is simulated, bit by bit as onnxruntime computes (conformance/saturation); results go to without-vnni.json and .md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { encodeOnnx } from "../../src/formats/index.ts";
import type { Model, PreparedSample } from "../../src/ir/index.ts";
import { type AccuracyResult, collectReference, evaluateAccuracy } from "../../src/measure/accuracy.ts";
import { thisDevice } from "../../src/measure/device.ts";
import { compareLatency, type Feeds } from "../../src/measure/latency.ts";
import { runPass } from "../../src/passes/manager.ts";
import { noChoices } from "../../src/passes/quantize/choices.ts";
import { weightsWithoutSaturation } from "../../src/passes/quantize/saturation/safe-scales.ts";
import { weightsAround128 } from "../../src/passes/quantize/saturation/wide-weights.ts";
import { valuesToObserve } from "../../src/passes/quantize/static.ts";
import type { WeightChoice } from "../../src/passes/quantize/weights.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import type { QuantizationSearch } from "../../src/recipes/manifest.ts";
import { circumstances } from "../../src/recipes/measure-candidate.ts";
import { observe } from "../../src/recipes/observe.ts";
import { contextOf } from "../../src/recipes/ptq/context.ts";
import { quantized } from "../../src/recipes/ptq/quantized.ts";
import { uniformRanges } from "../../src/recipes/ptq/ranges.ts";
import type { Recipe } from "../../src/recipes/ptq/recipe.ts";
import { safeRecipe } from "../../src/recipes/safe-recipe.ts";
import { loadWithoutVnni } from "../../src/recipes/saturation.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import type { Session } from "../../src/runtime/executor.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { ortX64 } from "../../src/targets/onnxruntime/targets.ts";
import { draws, modelFeeds, ptqModels } from "./ptq-draws.ts";

/** Fewer samples where one takes many seconds. */
const limits: Readonly<Record<string, number>> = { "super-resolution": 4, yolox: 40 };
const latencyMs = 20_000;

interface Figures {
  readonly value: number;
  /** Outputs against FP32's, dB; null where the outputs are no plain tensors. */
  readonly sqnr: number | null;
}
interface Ratio {
  readonly value: number;
  readonly interval: readonly number[];
}
interface Result {
  readonly name: string;
  readonly metric: string;
  readonly samples: number;
  readonly float: number;
  /** Layers that could saturate. */
  readonly layers: number;
  readonly saturating: NonNullable<QuantizationSearch["saturating"]>;
  /** The search for the layers and their remedies. */
  readonly seconds: number;
  readonly vnni: Figures;
  readonly without: Figures;
  readonly fixed: { readonly vnni: Figures; readonly without: Figures };
  /** All changed layers with one remedy, with VNNI. */
  readonly scales: Figures | null;
  readonly uint8: Figures | null;
  /** Time over that of the unchanged file, both on this machine, one thread; null where nothing was changed. */
  readonly latency: Readonly<Record<"fixed" | "scales" | "uint8" | "everyUint8", Ratio>> | null;
  readonly device: string;
}

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

const figuresOf = ({ scores }: AccuracyResult): Figures => ({
  value: scores[0]?.value as number,
  sqnr: scores.find(({ metric }) => metric === "sqnr")?.value ?? null,
});

async function measured<T>(session: Session, measure: (session: Session) => Promise<T>): Promise<T> {
  try {
    return await measure(session);
  } finally {
    await session.release();
  }
}

/** The model in min-max and least-error ranges, and everything the search for remedies asks for. */
async function prepare(name: string) {
  const { setup: opened, evaluation: all, calibration } = await draws(name, 1);
  const setup = { ...opened, target: ortX64 };
  const [draw = []] = calibration;
  const model = setup.model.clone();
  await runPass(simplify, model, {}, ortEvaluate);
  const watched = valuesToObserve(model, ortX64.quantization);
  const statistics = await observe(model, watched, from(draw), { executor: ortNode, run: setup.task.run });
  const feeds = await modelFeeds(setup, draw);
  const context = contextOf({ setup, statistics, feeds, options: {} });
  const choices = { ...noChoices, ranges: uniformRanges(model, context, "mse") };
  const plain: Recipe = { name: "mse", model, statistics, choices, options: {}, measured: [] };
  return { setup, context, plain, evaluation: all.slice(0, limits[name]) };
}

async function latencies(
  models: Readonly<Record<"plain" | "fixed" | "scales" | "uint8" | "everyUint8", Model>>,
  feeds: readonly Feeds[],
) {
  const subjects: Record<string, { session: Session; feeds: readonly Feeds[] }> = {};
  for (const [name, model] of Object.entries(models))
    subjects[name] = { session: await ortNode.load(encodeOnnx(model), { threads: 1 }), feeds };
  const { ratios } = await compareLatency(subjects, { baseline: "plain", timeMs: latencyMs });
  for (const { session } of Object.values(subjects)) await session.release();
  const ratio = (wanted: string): Ratio => {
    const found = ratios.find(({ name }) => name === wanted);
    if (!found?.ratio.interval) throw new Error(`no latency of "${wanted}"`);
    return { value: found.ratio.value, interval: found.ratio.interval };
  };
  return { fixed: ratio("fixed"), scales: ratio("scales"), uint8: ratio("uint8"), everyUint8: ratio("everyUint8") };
}

async function measureModel(name: string): Promise<Result> {
  const { setup, context, plain, evaluation } = await prepare(name);
  const { model } = plain;
  const common = { ...circumstances(setup, setup.digest), task: setup.task };
  const input = (session: Session) => ({ ...common, session, samples: from(evaluation) });
  const float = await measured(await ortNode.load(encodeOnnx(model)), (session) => collectReference(input(session)));
  const emit = ({ choices }: Recipe): Promise<Model> => quantized(model, context, choices);
  const evaluate = async (session: Session): Promise<Figures> =>
    measured(session, async () => figuresOf(await evaluateAccuracy({ ...input(session), reference: float.reference })));
  const withVnni = async (copy: Model): Promise<Figures> => evaluate(await ortNode.load(encodeOnnx(copy)));
  const without = async (copy: Model): Promise<Figures> => evaluate(await loadWithoutVnni(copy, { executor: ortNode }));
  const started = performance.now();
  const { recipe, saturating } = await safeRecipe(context, plain);
  const seconds = (performance.now() - started) / 1000;
  const nodes = new Set(saturating.map(({ node }) => node));
  const all = (weights: ReadonlyMap<string, WeightChoice>) => emit({ ...plain, choices: { ...plain.choices, weights } });
  const models = {
    plain: await emit(plain),
    fixed: await emit(recipe),
    scales: await all(weightsWithoutSaturation(model, context.row, { nodes })),
    uint8: await all(weightsAround128(model, context.row, { nodes })),
    everyUint8: await all(weightsAround128(model, context.row)),
  };
  const changed = saturating.length > 0;
  const usual = await withVnni(models.plain);
  const saturated = await without(models.plain);
  return {
    name,
    metric: float.scores[0]?.metric as string,
    samples: evaluation.length,
    float: float.scores[0]?.value as number,
    layers: weightsWithoutSaturation(model, context.row).size,
    saturating,
    seconds,
    vnni: usual,
    without: saturated,
    fixed: changed
      ? { vnni: await withVnni(models.fixed), without: await without(models.fixed) }
      : { vnni: usual, without: saturated },
    scales: changed ? await withVnni(models.scales) : null,
    uint8: changed ? await withVnni(models.uint8) : null,
    latency: changed ? await latencies(models, context.judgeFeeds.slice(0, 8)) : null,
    device: thisDevice().summary,
  };
}

const cell = (figures: Figures | null): string =>
  figures ? `${figures.value.toFixed(2)}${figures.sqnr === null ? "" : ` (${figures.sqnr.toFixed(1)})`}` : "–";
const ratioCell = (ratio: Ratio | undefined): string =>
  ratio ? `${ratio.value.toFixed(3)} (${ratio.interval.map((end) => end.toFixed(3)).join(" to ")})` : "1";
const counted = (saturating: Result["saturating"], wanted: string): number =>
  saturating.filter(({ remedy }) => remedy === wanted).length;
const change = (to: Figures, from: Figures): string => (to.value - from.value).toFixed(2).replace(/^(?!-)/, "+");
const lines = (rows: readonly (readonly string[])[]): string => rows.map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const page = (results: readonly Result[]): string => `# Static quantization without VNNI

Written by \`npx tsx bench/quantize/without-vnni.ts\`. uint8 activations, ranges of least error, calibrated on samples that are not
evaluated; the model's main metric, in brackets the signal-to-noise ratio of its outputs against FP32, dB. Without VNNI, x86-64 adds two
products in 16 bits, which saturates: simulated, bit by bit as onnxruntime 1.30 computes (conformance/saturation). *Fixed* is what
\`edgewright optimize\` and \`quantize\` write for \`ort-x64\`: the fewest layers without which saturation does no harm are changed, to
scales that cannot saturate where these cost no accuracy on calibration inputs, else to the same weights as uint8. *Change* is the fixed
file without VNNI against the unchanged file with it. *Latency* is the fixed file's over the unchanged one's with VNNI, one thread,
interleaved, with its 95 % interval, on ${results[0]?.device ?? ""}.

| model | metric | n | FP32 | VNNI | no VNNI | fixed, VNNI | fixed, no VNNI | change | changed: scales + uint8 of all | latency |
|---|---|---|---|---|---|---|---|---|---|---|
${lines(
  results.map((r) =>
    [r.name, r.metric, String(r.samples), r.float.toFixed(2), cell(r.vnni), cell(r.without), cell(r.fixed.vnni)].concat([
      cell(r.fixed.without),
      change(r.fixed.without, r.vnni),
      `${counted(r.saturating, "scales")} + ${counted(r.saturating, "uint8")} of ${r.layers}`,
      ratioCell(r.latency?.fixed),
    ]),
  ),
)}

Both remedies by themselves, for all changed layers, with VNNI. uint8 weights compute the same numbers, so their metric is the unchanged
file's. Files with scales run the same kernels as the unchanged one: what their latency differs by is what such a comparison is worth.

| model | changed | unchanged | scales | scales, latency | uint8 | uint8, latency | every layer uint8, latency |
|---|---|---|---|---|---|---|---|
${lines(
  results
    .filter(({ latency }) => latency)
    .map((r) => [
      r.name,
      `${r.saturating.length} of ${r.layers}`,
      cell(r.vnni),
      cell(r.scales),
      ratioCell(r.latency?.scales),
      cell(r.uint8),
      ratioCell(r.latency?.uint8),
      ratioCell(r.latency?.everyUint8),
    ]),
)}
`;

const file = (extension: string): string => fileURLToPath(new URL(`without-vnni.${extension}`, import.meta.url));
const asked = process.argv.slice(2);
const results = new Map<string, Result>();
try {
  for (const result of JSON.parse(readFileSync(file("json"), "utf8")) as Result[])
    if (result.fixed) results.set(result.name, result);
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
for (const name of asked.length > 0 ? asked : ptqModels) {
  results.set(name, await measureModel(name));
  const sorted = ptqModels.flatMap((known) => results.get(known) ?? []);
  writeFileSync(file("json"), `${JSON.stringify(sorted, null, 2)}\n`);
  writeFileSync(file("md"), page(sorted));
  console.log(name, JSON.stringify(results.get(name)));
}
