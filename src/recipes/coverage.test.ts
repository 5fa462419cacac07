import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { noRealData, realModel, realModels } from "../../test/real-data.ts";
import { constantText } from "../../test/suites/pass.ts";
import { quantizeText, randomSamples, row, stream } from "../../test/suites/quantize.ts";
import { type Model, type PreparedSample, tensorOf, toNumbers } from "../ir/index.ts";
import { parseModel } from "../ir/parse.ts";
import { parseEvalConfig } from "../measure/evaluate-config.ts";
import { runPass } from "../passes/manager.ts";
import { summarizeCoverage } from "../passes/quantize/coverage.ts";
import { quantizeStatic, valuesToObserve } from "../passes/quantize/static.ts";
import { simplify } from "../passes/simplify/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import { loadModel, saveModel } from "../runtime/model-file.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { coverageLine, coverageOf, measureCoverage, unfusedPairs, withRuntime } from "./coverage.ts";
import { observe } from "./observe.ts";
import { quantizeFile } from "./quantize.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';
const w = constantText("w", [8, 8, 3, 3]);
const b = constantText("b", [8], 2);
const conv = (from: string, to: string): string => `${to} = Conv <pads = [1, 1, 1, 1]> (${from}, w, b)`;
const graph = (body: string, constants = ""): string =>
  `${header} g (float[1,8,8,8] x) => (float[1,8,8,8] y) <${w}, ${b}${constants ? `, ${constants}` : ""}> { ${body} }`;

const states = (nodes: readonly { node: string; state: string }[]) =>
  Object.fromEntries(nodes.map(({ node, state }) => [node, state]));

/** Simplified, calibrated on seeded inputs, quantized. */
async function quantizedPair(model: Model, samples = randomSamples(model, 2)) {
  await runPass(simplify, model, {}, ortEvaluate);
  const statistics = await observe(model, valuesToObserve(model, row), stream(samples), { executor: ortNode });
  const quantized = model.clone();
  const { notes } = await runPass(quantizeStatic, quantized, { row, statistics }, ortEvaluate);
  return { model, quantized, notes };
}

describe("coverage", () => {
  test("every node is integer, fused, a table, or float with its reason", async () => {
    const { float, model, notes } = await quantizeText(
      graph(`${conv("x", "t")} r = Relu (t) e = Erf (r) ${conv("e", "z")} y = Relu (z)`),
    );
    const { nodes, missing } = coverageOf(float, model, notes, row);
    expect(missing).toEqual([]);
    expect(states(nodes)).toEqual({ t: "integer", r: "fused", e: "float", z: "integer", y: "fused" });
    expect(nodes.find(({ node }) => node === "e")?.reason).toBe("ort-x64 has no integer kernel for Erf");
    expect(nodes.find(({ node }) => node === "y")?.reason).toContain('after "z"');
    const summary = summarizeCoverage(nodes);
    expect(summary).toEqual({ compute: 5, integer: 2, fused: 2, table: 0, float: 1, macShare: 1 });
    expect(coverageLine({ ...summary, macShare: 0.9999 })).toBe(
      "2 of 5 compute nodes in integers (99.9 % of MACs), 2 fused, 1 float",
    );
  });

  test("a table of integers and arithmetic on indices", async () => {
    const table = constantText("table", [300, 8]);
    const text = `${header} g (int64[4] i, int64[4] j) => (float[4,8] y) <${table}> { k = Add (i, j) y = Gather (table, k) }`;
    const { float, model, notes } = await quantizeText(text);
    const { nodes, missing } = coverageOf(float, model, notes, row);
    expect(missing).toEqual([]);
    expect(nodes.map(({ state, compute }) => [state, compute])).toEqual([
      ["float", false],
      ["table", true],
    ]);
  });

  test("nodes of inner graphs have an entry too", async () => {
    const inner = "then () => (float[1,8,8,8] a) { a = Exp (t) }, else_branch = other () => (float[1,8,8,8] c) { c = Neg (t) }";
    const float = parseModel(
      `${header} g (float[1,8,8,8] x, bool q) => (float[1,8,8,8] y) <${w}, ${b}> { ${conv("x", "t")} y = If <then_branch = ${inner}> (q) }`,
    );
    const statistics = await observe(float, valuesToObserve(float, row), stream(randomSamples(float, 2)), { executor: ortNode });
    const model = float.clone();
    const { notes } = await runPass(quantizeStatic, model, { row, statistics }, ortEvaluate);
    const { nodes, missing } = coverageOf(float, model, notes, row);
    expect(missing).toEqual([]);
    expect(states(nodes)).toEqual({ t: "integer", y: "float", a: "float", c: "float" });
  });

  test("a node that was skipped without a word is missing", async () => {
    const { float, model, notes } = await quantizeText(graph(`${conv("x", "t")} e = Erf (t) ${conv("e", "y")}`));
    const silent = notes.filter(({ kind }) => kind !== "skipped");
    expect(coverageOf(float, model, silent, row).missing).toEqual([
      { node: "e", opType: "Erf", problem: "it computes in float, and the pass says nothing about it" },
    ]);
    const { coverage, warnings } = await measureCoverage(float, model, silent, row);
    expect(warnings).toContainEqual(expect.stringContaining('Erf "e"'));
    expect(coverage.nodes.find(({ node }) => node === "e")?.state).toBe("float");
    // the float model itself as the result: its convolutions stayed float silently
    expect(coverageOf(float, float, [], row).missing.map(({ node }) => node)).toEqual(["t", "e", "y"]);
  });
});

describe("pairs that the runtime leaves", () => {
  test("a convolution whose Clip no integer range replaces runs in float: named, with what is converted", async () => {
    const limits = "float lo = {0.2}, float hi = {6}";
    const { float, model, notes } = await quantizeText(graph(`${conv("x", "t")} u = Clip (t, lo, hi) ${conv("u", "y")}`, limits));
    const pairs = await unfusedPairs(model, row);
    const [pair] = pairs.filter(({ kind }) => kind === "unfused");
    expect(pair).toMatchObject({ node: "t", opType: "Conv", nodes: ["t", "u"], dequantized: ["x"], quantized: ["u"] });
    expect(pair?.constants).toHaveLength(2);
    expect(pair?.elements).toBe(2 * 512 + 8 * 8 * 9 + 8);
    const { nodes } = coverageOf(float, model, notes, row);
    expect(states(nodes)).toMatchObject({ t: "integer", u: "fused" });
    expect(states(withRuntime(nodes, pairs))).toEqual({ t: "float", u: "float", y: "integer" });
    const { coverage, warnings } = await measureCoverage(float, model, notes, row);
    expect(coverage.summary.integer).toBe(1);
    expect(warnings).toEqual([expect.stringMatching(/computes Conv "t" in float although .* converted at every run/)]);
  });

  test("float nodes between integer ones are told from those at an end", async () => {
    const { model } = await quantizeText(graph(`${conv("x", "t")} e = Erf (t) f = Tanh (e) ${conv("f", "z")} y = Erf (z)`));
    const pairs = await unfusedPairs(model, row);
    expect(pairs.map(({ kind, node, dequantized, quantized }) => [kind, node, dequantized, quantized])).toEqual([
      ["between", "e", ["t"], []],
      ["between", "f", [], ["f"]],
      ["edge", "y", ["z"], []],
    ]);
  });

  test("a model that fuses completely has none, and nothing is left on the disk", async () => {
    const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith("edgewright-coverage-")).length;
    const before = left();
    const { model } = await quantizeText(graph(`${conv("x", "t")} r = Relu (t) ${conv("r", "y")}`));
    expect(await unfusedPairs(model, row)).toEqual([]);
    expect(left()).toBe(before);
  });
});

/** Four inputs of fixed numbers; a tensor is recognized by its parts. */
const samplesPlugin = `export default {
  async *samples() {
    for (let i = 0; i < 4; i++) {
      const values = Float32Array.from({ length: 512 }, (_, k) => Math.sin(k * (i + 1)));
      const x = { dtype: "float32", shape: [1, 8, 8, 8], size: 512, bytes: () => new Uint8Array(values.buffer) };
      yield { id: String(i), origin: "made", feeds: { x }, target: undefined, geometry: {} };
    }
  },
};`;

describe("old operator sets", () => {
  const text = (opset: number): string =>
    `<ir_version: 4, opset_import: ["" : ${opset}]> g (float[1,8,8,8] x) => (float[1,8,8,8] y) <${w}, ${b}> { t = Conv <pads = [1, 1, 1, 1]> (x, w, b) y = Clip <min = 0.0, max = 6.0> (t) }`;

  test("a model of operator set 9 is upgraded and gets a scale per channel", async () => {
    const { model, quantized, notes } = await quantizedPair(parseModel(text(9)));
    expect(quantized.opset).toBeGreaterThanOrEqual(13);
    const scale = [...quantized.graph.initializers].find(({ name }) => name.startsWith("w_scale"));
    expect(scale?.constant?.shape).toEqual([8]);
    expect(states(coverageOf(model, quantized, notes, row).nodes)).toEqual({ t: "integer", y: "fused" });
  });

  test("the file that quantize writes of one is per channel, and one that cannot be upgraded is refused by name", async () => {
    const folder = await mkdtemp(join(tmpdir(), "edgewright-test-"));
    try {
      const [old, output] = [join(folder, "old.onnx"), join(folder, "int8.onnx")];
      await saveModel(parseModel(text(9)), old);
      const plugin = join(folder, "samples.mjs");
      await writeFile(plugin, samplesPlugin);
      const evaluation = parseEvalConfig({ model: old, plugins: [plugin], task: "fidelity" }, folder);
      const report = await quantizeFile({ evaluation, output, ranges: "minmax", target: "ort-x64" });
      expect(report.coverage?.summary).toMatchObject({ compute: 2, integer: 1, fused: 1, float: 0 });
      expect(report.coverage?.unfused).toEqual([]);
      const written = await loadModel(output);
      expect(written.opset).toBeGreaterThanOrEqual(13);
      const scale = [...written.graph.initializers].find(({ name }) => name.startsWith("w_scale"));
      expect(scale?.constant?.shape).toEqual([8]);
      // nearest neighbours, one axis larger and one smaller: rounded differently since operator set 11
      const stuck = text(10)
        .replace("y = Clip <min = 0.0, max = 6.0> (t)", "y = Resize (t, s)")
        .replace("<float[8,8,3,3]", "<float[4] s = {1, 1, 2, 0.5}, float[8,8,3,3]");
      await saveModel(parseModel(stuck.replace("float[1,8,8,8] y", "float[1,8,16,4] y")), old);
      await expect(quantizeFile({ evaluation, output, ranges: "minmax", target: "ort-x64" })).rejects.toMatchObject({
        code: "UPGRADE_STOPPED",
        message: expect.stringContaining("Resize"),
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** Indices below the smallest vocabulary. */
const tokens = (samples: PreparedSample[], vocabulary: number): PreparedSample[] =>
  samples.map((sample) => ({
    ...sample,
    feeds: Object.fromEntries(
      Object.entries(sample.feeds).map(([name, tensor]) => [
        name,
        tensor.dtype === "int64"
          ? tensorOf(
              "int64",
              tensor.shape,
              toNumbers(tensor).map((x) => x % vocabulary),
            )
          : tensor,
      ]),
    ),
  }));

describe.skipIf(noRealData)("real models", () => {
  test.each(realModels)("%s: no node is skipped silently", async (name) => {
    const float = await loadModel(realModel(name));
    const { model, quantized, notes } = await quantizedPair(float, tokens(randomSamples(float, 1), 3));
    const { nodes, missing } = coverageOf(model, quantized, notes, row);
    expect(missing).toEqual([]);
    expect(nodes.length).toBe(model.graph.nodeCount);
    // what the pass plans for integers, onnxruntime computes in integers
    const pairs = await unfusedPairs(quantized, row);
    expect(pairs.filter(({ kind }) => kind === "unfused")).toEqual([]);
  });
});
