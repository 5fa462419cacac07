import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { constantText } from "../../../test/suites/pass.ts";
import { randomSamples, row, stream } from "../../../test/suites/quantize.ts";
import type { Model, Tensor } from "../../ir/index.ts";
import { parseModel } from "../../ir/parse.ts";
import { parseEvalConfig } from "../../measure/evaluate-config.ts";
import { inferShapes } from "../../ops/infer.ts";
import { runPass } from "../../passes/manager.ts";
import { equalizablePairs, equalize } from "../../passes/quantize/equalize.ts";
import { weightScales } from "../../passes/quantize/parameters.ts";
import { planQuantization } from "../../passes/quantize/plan.ts";
import { quantizeStatic, type StaticParams, valuesToObserve } from "../../passes/quantize/static.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { saveModel } from "../../runtime/model-file.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import type { ProgressEvent, RunOptions } from "../../util/progress.ts";
import { observe } from "../observe.ts";
import { type Explanation, explain, explanationSchema } from "./index.ts";

const weights = ["a", "b", "c"].map(
  (name, i) => `${constantText(`${name}w`, [8, 8, 3, 3], 7 * i + 1)}, ${constantText(`${name}b`, [8], i)}`,
);
const layer = (name: string, from: string, to: string): string =>
  `[${name}] ${to} = Conv <pads = [1, 1, 1, 1]> (${from}, ${name}w, ${name}b)`;
/** Three convolutions with clamps between. */
const text = `<ir_version: 10, opset_import: ["" : 21]> g (float[1,8,8,8] x) => (float[1,8,8,8] y) <${weights}> {
  ${layer("a", "x", "a1")} a2 = Relu (a1) ${layer("b", "a2", "b1")} b2 = Relu (b1) ${layer("c", "b2", "y")} }`;

/** Inputs like those of `randomSamples`, from a plug-in. */
const plugin = `
let state = 7;
const uniform = () => ((state = (1103515245 * state + 12345) % 2147483648) / 2147483648);
export default {
  async *samples() {
    state = 7;
    for (let i = 0; i < 12; i++) {
      const values = Float32Array.from({ length: 512 }, () => 2 * uniform() - 1);
      const x = { dtype: "float32", shape: [1, 8, 8, 8], size: 512, bytes: () => new Uint8Array(values.buffer) };
      yield { id: String(i), origin: "made", feeds: { x }, target: undefined, geometry: {} };
    }
  },
};`;

async function quantized(float: Model, params: Partial<StaticParams> = {}): Promise<Model> {
  const statistics = await observe(float, valuesToObserve(float, row), stream(randomSamples(float, 12)), { executor: ortNode });
  const model = float.clone();
  await runPass(quantizeStatic, model, { row, statistics, ...params }, ortEvaluate);
  return model;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "edgewright-test-"));
  await writeFile(join(folder, "samples.mjs"), plugin);
  await saveModel(parseModel(text), join(folder, "float.onnx"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function explained(
  model: Model,
  more: Partial<Parameters<typeof explain>[0]> = {},
  options: RunOptions = {},
): Promise<Explanation> {
  const path = join(folder, "int8.onnx");
  await saveModel(model, path);
  const evaluation = parseEvalConfig(
    { model: join(folder, "float.onnx"), plugins: [join(folder, "samples.mjs")], task: "fidelity" },
    folder,
  );
  const explanation = await explain({ evaluation, quantized: path, target: "ort-x64", ...more }, options);
  return explanationSchema.parse(explanation);
}

const byNode = ({ layers }: Explanation, node: string) => {
  const found = layers.find((one) => one.node === node);
  if (!found) throw new Error(`no layer ${node}`);
  return found;
};

describe("explain", () => {
  test("a sound model: every layer compared, noise accumulates, nothing stands out", async () => {
    const explanation = await explained(await quantized(parseModel(text)));
    expect(explanation.layers.map(({ node }) => node)).toEqual(["a", "b", "c"]);
    expect(explanation.unmatched).toEqual([]);
    expect(explanation).toMatchObject({ reference: "simplified", samples: 12, runs: 12 });
    // Relu was taken over by the quantize node: what is compared lies behind it
    expect(explanation.layers.map(({ value }) => value)).toEqual(["a2", "b2", "y"]);
    for (const { localSqnr, sqnr } of explanation.layers) {
      expect(localSqnr).toBeGreaterThan(30);
      expect(sqnr).toBeLessThanOrEqual(localSqnr + 0.5);
    }
    expect(byNode(explanation, "c").sqnr).toBeLessThan(byNode(explanation, "a").sqnr);
    expect(explanation.sqnr).toBeGreaterThan(25);
    for (const { gain } of explanation.advice) expect(gain ?? 0).toBeLessThan(6);
    expect(explanation.weights.every(({ levels, availableLevels }) => levels === 255 && availableLevels === 255)).toBe(true);
  });

  test("weights with a scale eight times too large come first, with the levels that they use", async () => {
    const float = parseModel(text);
    const value = [...float.graph.initializers].find(({ name }) => name === "bw");
    const scales = weightScales(value?.constant as Tensor, 0, false).map((scale) => 8 * scale);
    const explanation = await explained(await quantized(float, { weights: new Map([["bw", { scales }]]) }));
    const [first] = explanation.advice;
    expect(first).toMatchObject({ kind: "weights", subject: "b" });
    expect(first?.text).toMatch(/use 33 of 255 levels/);
    expect(first?.gain).toBeGreaterThan(6);
    const b = byNode(explanation, "b");
    expect(b.weightSqnr as number).toBeLessThan(byNode(explanation, "a").weightSqnr as number);
    // the layer after it is sound by itself, and only hears the noise
    const c = byNode(explanation, "c");
    expect(c.localSqnr).toBeGreaterThan(30);
    expect(c.sqnr).toBeLessThan(c.localSqnr - 6);
  });

  test("a range that clips comes first and asks to be widened, one that is too wide to be calibrated anew", async () => {
    const float = parseModel(text);
    const plain = await explained(await quantized(float));
    const [low, high] = plain.activations.find(({ value }) => value === "b2")?.observed ?? [Number.NaN, Number.NaN];
    expect(low).toBe(0);
    const narrow = await explained(await quantized(float, { ranges: new Map([["b2", { min: 0, max: high / 4 }]]) }));
    expect(narrow.advice[0]).toMatchObject({ kind: "widen", subject: "b2" });
    expect(narrow.advice[0]?.text).toContain("--ranges minmax");
    expect(narrow.activations.find(({ value }) => value === "b2")?.clipped).toBeGreaterThan(0.01);
    const wide = await explained(await quantized(float, { ranges: new Map([["b2", { min: 0, max: 12 * high }]]) }));
    expect(wide.advice[0]).toMatchObject({ kind: "narrow", subject: "b2" });
    expect(wide.advice[0]?.text).toMatch(/is 1[12](\.\d)? times wider/);
  });

  test("a gain is what the outputs gain: without the part, its noise is gone", async () => {
    const float = parseModel(text);
    const model = await quantized(float, { ranges: new Map([["a2", { min: 0, max: 0.5 }]]) });
    const explanation = await explained(model);
    const sound = await explained(await quantized(float));
    // with a2 in float the two are the same model
    const without = (one: Explanation): number => one.sqnr + (one.activations.find(({ value }) => value === "a2")?.gain?.db ?? 0);
    expect(explanation.sqnr).toBeLessThan(sound.sqnr - 6);
    expect(Math.abs(without(explanation) - without(sound))).toBeLessThan(0.2);
  });

  test("equalized channels are compared in their scales", async () => {
    const float = parseModel(text);
    inferShapes(float);
    const equalized = float.clone();
    const pairs = equalizablePairs(equalized, planQuantization(equalized, row));
    const maxima = new Map(pairs.map(({ value }) => [value.name, Float64Array.from({ length: 8 }, (_, c) => 2 ** (c - 4))]));
    expect(equalize(pairs, { maxima, by: "activations", strength: 0.5, relax: false })).toBeGreaterThan(8);
    const explanation = await explained(await quantized(equalized));
    expect(explanation).toMatchObject({ reference: "rescaled", unmatched: [] });
    expect(explanation.layers).toHaveLength(3);
    for (const { localSqnr } of explanation.layers) expect(localSqnr).toBeGreaterThan(20);
  });

  test("files that keep no names are matched by structure", async () => {
    const model = await quantized(parseModel(text));
    let count = 0;
    for (const node of model.graph.nodes) {
      node.name = "";
      for (const output of node.outputs) if (!output.isGraphOutput) model.graph.rename(output, `v${count++}`);
    }
    const explanation = await explained(model, { whatIfSeconds: 0 });
    expect(explanation.layers.map(({ node }) => node)).toEqual(["a", "b", "c"]);
  });

  test("trained weights are not compared, and the reason is given", async () => {
    const text2 = text
      .replace(constantText("bw", [8, 8, 3, 3], 8), constantText("bw", [8, 8, 3, 3], 99))
      .replace(constantText("cw", [8, 8, 3, 3], 15), constantText("cw", [8, 8, 3, 3], 98));
    expect(text2).not.toBe(text);
    const explanation = await explained(await quantized(parseModel(text2)), { whatIfSeconds: 0 });
    expect(explanation.unmatched.map(({ node }) => node)).toEqual(["b", "c"]);
    expect(explanation.unmatched[0]?.reason).toContain("not the float model's rounded");
    expect(explanation.advice.map(({ kind }) => kind)).toContain("unmatched");
  });

  test("a model without quantize nodes is refused, and Ctrl-C stops at the next sample", async () => {
    await expect(explained(parseModel(text))).rejects.toMatchObject({ code: "EXPLAIN_NOTHING" });
    const abort = new AbortController();
    const seen: string[] = [];
    const onProgress = ({ step, done }: ProgressEvent): void => {
      seen.push(`${step} ${done}`);
      if (step === "compare" && done === 2) abort.abort();
    };
    const run = explained(await quantized(parseModel(text)), {}, { signal: abort.signal, onProgress });
    await expect(run).rejects.toMatchObject({ name: "AbortError" });
    expect(seen.at(-1)).toBe("compare 2");
  });

  test("the page shows it all, asks no server, and escapes names", async () => {
    const report = join(folder, "page.html");
    const model = await quantized(parseModel(text.replaceAll("[a] ", '["<script>a"] ')));
    await saveModel(parseModel(text.replaceAll("[a] ", '["<script>a"] ')), join(folder, "float.onnx"));
    const explanation = await explained(model, { report });
    const page = await readFile(report, "utf8");
    await saveModel(parseModel(text), join(folder, "float.onnx"));
    expect(explanation.layers[0]?.node).toBe("<script>a");
    expect(page).not.toContain("<script");
    expect(page).toContain("&lt;script&gt;a");
    expect(page.match(/(src|href)="(?!data:)/g)).toBeNull();
    for (const heading of ["What to do next", "Layer by layer", "Ranges of activations", "Weights", "How it was measured"])
      expect(page).toContain(heading);
    // one line chart, bars, four activations, three weights
    expect(page.match(/<svg /g)?.length).toBeGreaterThanOrEqual(9);
  });
});
