/**
 * Coarse grids, the ranking of layers, and the memory of calibration:
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/low-bit.ts w4 mobilenetv2 resnet20
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/low-bit.ts power-of-two mobilenetv2 proxyless
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/low-bit.ts sensitivity mobilenetv2
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/low-bit.ts memory mobilenetv2
 *
 * Results are kept in low-bit.json, one entry for each kind and model; low-bit.md is written from them.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PreparedSample } from "../../src/ir/index.ts";
import { runPass } from "../../src/passes/manager.ts";
import type { QuantizationRow } from "../../src/passes/quantize/row.ts";
import { valuesToObserve } from "../../src/passes/quantize/static.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import { observe } from "../../src/recipes/observe.ts";
import { contextOf, type PtqContext } from "../../src/recipes/ptq/context.ts";
import { quantized } from "../../src/recipes/ptq/quantized.ts";
import { searchRanges } from "../../src/recipes/ptq/ranges.ts";
import { searchQuantization } from "../../src/recipes/ptq/search.ts";
import { edgesAtEight } from "../../src/recipes/quantize-search.ts";
import { measureSensitivity } from "../../src/recipes/sensitivity.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { saveModel } from "../../src/runtime/model-file.ts";
import { draws, evaluateFile, modelFeeds } from "./ptq-draws.ts";

const [kind = "w4", ...names] = process.argv.slice(2);
const threads = 2;

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

/** The grid of ESP32-S3 and the like: int8 around zero, one scale a tensor, all scales powers of two. */
const powerOfTwoRow = (row: QuantizationRow): QuantizationRow => ({
  ...row,
  name: "power-of-two",
  activation: { dtype: "int8", symmetric: true, powerOfTwo: true },
  weight: { dtype: "int8", perChannel: false, reduceRange: false, powerOfTwo: true },
});

async function open(name: string, row?: (row: QuantizationRow) => QuantizationRow) {
  const { setup, evaluation, calibration } = await draws(name);
  const simplified = setup.model.clone();
  await runPass(simplify, simplified, {}, ortEvaluate);
  const own = row ? row(setup.target.quantization) : setup.target.quantization;
  // all three draws together: learned rounding wants more samples than ranges do
  const samples = [...new Map(calibration.flat().map((sample) => [sample.id, sample])).values()];
  const statistics = await observe(simplified, valuesToObserve(simplified, own), from(samples), {
    executor: setup.executor,
    run: setup.task.run,
  });
  const feeds = await modelFeeds(setup, samples);
  const context: PtqContext = { ...contextOf({ setup, statistics, feeds, samples, options: {} }), row: own, threads };
  return { setup, evaluation, simplified, context, calibration: samples.length };
}

async function searched(name: string, bits: number, steps: number, row?: (row: QuantizationRow) => QuantizationRow) {
  const { setup, evaluation, simplified, context, calibration } = await open(name, row);
  const started = performance.now();
  const low = bits < 8 ? { weightBits: bits, bitsOf: edgesAtEight(simplified, context.row, bits) } : {};
  const { best, trials, blocks } = await searchQuantization(simplified, context, { ...low, steps });
  const seconds = (performance.now() - started) / 1000;
  const path = join(tmpdir(), `edgewright-low-bit-${name}.onnx`);
  await saveModel(
    await quantized(best.model, { row: context.row, statistics: best.statistics }, best.choices, best.options),
    path,
  );
  const { result: _, ...figures } = await evaluateFile(setup, path, evaluation);
  const learned = blocks.reduce((sum, block) => sum + block.seconds, 0);
  return {
    calibration,
    steps,
    seconds,
    learnedRoundingSeconds: learned,
    recipe: best.name,
    excluded: best.options.exclude ?? [],
    ...figures,
    trials,
  };
}

const ranks = (values: readonly number[]): number[] => {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
  const result: number[] = [];
  order.forEach((index, rank) => {
    result[index] = rank;
  });
  return result;
};

/** Spearman's rank correlation of two lists without ties. */
function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const squares = x.reduce((sum, rank, i) => sum + (rank - (y[i] as number)) ** 2, 0);
  return 1 - (6 * squares) / (a.length * (a.length ** 2 - 1));
}

async function sensitivity(name: string) {
  const { setup, evaluation, simplified, context } = await open(name);
  const { choices } = await searchRanges(simplified, context);
  const recipe = {
    name: "measured ranges",
    model: simplified,
    statistics: context.statistics,
    choices,
    options: {},
    measured: [],
  };
  const all = await modelFeeds(setup, evaluation);
  const rank = async (feeds: PtqContext["feeds"], split: number) => {
    const started = performance.now();
    const found = await measureSensitivity(recipe, { ...context, feeds }, { timeMs: 1e9, samples: feeds.length, split });
    return { found, seconds: (performance.now() - started) / 1000 };
  };
  const some = await rank(all.slice(0, 64), 8);
  const full = await rank(all, 0);
  const of = (node: string): number => full.found.find((entry) => entry.node === node)?.divergence ?? 0;
  const correlation = spearman(
    some.found.map(({ divergence }) => divergence),
    some.found.map(({ node }) => of(node)),
  );
  return {
    layers: some.found.length,
    samples: 64,
    seconds: some.seconds,
    fullSamples: all.length,
    fullSeconds: full.seconds,
    spearman: correlation,
  };
}

const resident = (field: string): number =>
  Math.round(Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024);

/** One sweep over the images again and again: the process's peak after as many samples. */
async function memory(name: string) {
  const { setup } = await draws(name, 1);
  const simplified = setup.model.clone();
  await runPass(simplify, simplified, {}, ortEvaluate);
  const peaks: Record<number, number> = {};
  let count = 0;
  const endless = async function* (): AsyncGenerator<PreparedSample> {
    while (count < 1000)
      for await (const sample of setup.samples(undefined)) {
        if (count >= 1000) return;
        yield sample;
        count++;
        if ([50, 100, 250, 500, 1000].includes(count)) peaks[count] = resident("VmHWM");
      }
  };
  const started = performance.now();
  await observe(simplified, valuesToObserve(simplified, setup.target.quantization), endless(), { executor: setup.executor });
  return { peakMiB: peaks, seconds: (performance.now() - started) / 1000 };
}

const kinds: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
  w4: (name) => searched(name, 4, 400),
  "power-of-two": (name) => searched(name, 8, 300, powerOfTwoRow),
  sensitivity,
  memory,
};

interface Searched {
  readonly change: number;
  readonly changeInterval: readonly [number, number];
  readonly agreement: number;
  readonly sqnr: number;
  readonly calibration: number;
  readonly seconds: number;
  readonly learnedRoundingSeconds: number;
  readonly excluded: readonly string[];
  readonly recipe: string;
}

function reportOf(known: Readonly<Record<string, Readonly<Record<string, unknown>>>>): string {
  const rows = (kind: string): string =>
    Object.entries(known[kind] ?? {})
      .map(([model, result]) => {
        const r = result as Searched;
        const change = `${r.change.toFixed(2)} [${r.changeInterval.map((end) => end.toFixed(2)).join(", ")}]`;
        return `| ${kind} | ${model} | ${change} | ${r.agreement.toFixed(1)} | ${r.sqnr.toFixed(1)} | ${r.calibration} | ${r.excluded.length} | ${r.seconds.toFixed(0)} | ${r.learnedRoundingSeconds.toFixed(0)} | ${r.recipe} |`;
      })
      .join("\n");
  const plain = (kind: string): string => `\`\`\`json\n${JSON.stringify(known[kind] ?? {}, null, 1)}\n\`\`\``;
  return `# Coarse grids, the ranking of layers, and the memory of calibration

Written by \`npx tsx bench/quantize/low-bit.ts\`. Label-free; change of the metric in points with the 95 % interval, on samples that did not calibrate. "w4": 4-bit
weights per channel, 8-bit activations, first and last layer 8 bits. "power-of-two": int8 around zero, one scale a tensor, scales are powers of two.
Seconds were taken on two cores that other work shared; the run of power-of-two on mobilenetv2 was held up by about eight minutes. w4 layers that keep 8 bits are part of the way.

| grid | model | change | agreement % | SQNR dB | calibration samples | layers in float | seconds | of them learned rounding | way |
| --- | --- | --: | --: | --: | --: | --: | --: | --: | --- |
${rows("w4")}
${rows("power-of-two")}

## Ranking of layers

64 images against all; Spearman's correlation of the two rankings.

${plain("sensitivity")}

## Memory of calibration

Peak resident memory of the process after so many images, all estimators.

${plain("memory")}
`;
}

const path = new URL("low-bit.json", import.meta.url);
if (names.length === 0) writeFileSync(new URL("low-bit.md", import.meta.url), reportOf(JSON.parse(readFileSync(path, "utf8"))));
for (const name of names) {
  const measure = kinds[kind];
  if (!measure) throw new Error(`Kinds are ${Object.keys(kinds).join(", ")}.`);
  const result = await measure(name);
  const known = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
  known[kind] = { ...known[kind], [name]: result };
  writeFileSync(path, `${JSON.stringify(known, null, 1)}\n`);
  writeFileSync(new URL("low-bit.md", import.meta.url), reportOf(known));
  process.stdout.write(`${kind} ${name}: ${JSON.stringify(result).slice(0, 600)}\n`);
}
