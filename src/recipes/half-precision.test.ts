import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { noRealData, realData } from "../../test/real-data.ts";
import { constantText, opTypes } from "../../test/suites/pass.ts";
import { randomSamples, runAll, stream } from "../../test/suites/quantize.ts";
import { allNodes, type Model, type PreparedSample, parseModel, tensorOf, toFloat32 } from "../ir/index.ts";
import { verify } from "../ir/verify.ts";
import { parseEvalConfig, readEvalConfig } from "../measure/evaluate-config.ts";
import { watchRanges } from "../passes/float16/index.ts";
import { loadModel } from "../runtime/model-file.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { findTarget } from "../targets/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { Comparison } from "./half-compare.ts";
import { convertToHalf, type HalfRequest, type HalfResult, rangesOf } from "./half-precision.ts";
import { refine } from "./half-refine.ts";
import { quantizeFile } from "./quantize.ts";
import { sqnrOf } from "./sensitivity.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';
/** Computes float16 throughout; onnxruntime's CPU build stands in. */
const coreml = findTarget("coreml-ep", { arch: "x64", instructionSets: [] });
const x64 = findTarget("ort-x64", { arch: "x64", instructionSets: [] });

const sourceOf = (samples: readonly PreparedSample[]) => ({ executor: ortNode, samples: () => stream(samples) });

interface Case extends HalfResult {
  readonly float: Model;
  readonly samples: number;
  readonly sqnr: number;
}

/** Converts with seeded samples, inputs multiplied by `scale`. */
async function half(text: string, request: HalfRequest = {}, { scale = 1, target = coreml } = {}): Promise<Case> {
  const float = parseModel(text);
  const samples = randomSamples(float, 4).map((sample) => ({
    ...sample,
    feeds: Object.fromEntries(
      Object.entries(sample.feeds).map(([name, tensor]) => [
        name,
        tensor.dtype === "float32"
          ? tensorOf(
              "float32",
              tensor.shape,
              toFloat32(tensor).map((x) => x * scale),
            )
          : tensor,
      ]),
    ),
  }));
  const result = await convertToHalf(float, "float16", target, request, sourceOf(samples));
  verify(result.model);
  return { ...result, float, sqnr: sqnrOf(await runAll(float, samples), await runAll(result.model, samples)) };
}

const islandNodes = ({ report }: HalfResult): string => report.islands.flatMap(({ nodes }) => nodes).join(" ");
const reasons = ({ report }: HalfResult): string => report.islands.flatMap(({ reasons }) => reasons).join("\n");
const typeOf = (model: Model, name: string) =>
  [...allNodes(model.graph)].flatMap(({ outputs }) => outputs).find((value) => value.name === name)?.type?.dtype;

describe("ranges come from calibration samples", () => {
  test("values of 1e5 inside: what touches them is an island, the rest computes in float16", async () => {
    const result =
      await half(`${header} g (float[8,32] x) => (float[8,32] y) <${constantText("w", [32, 32])}, float k = {300000}, float r = {0.000003}> {
      a = MatMul (x, w) b = Mul (a, k) c = Abs (b) d = Mul (c, r) y = MatMul (d, w) }`);
    expect(islandNodes(result)).toBe('Mul "b" Abs "c" Mul "d"');
    expect(reasons(result)).toMatch(/value "b" reaches/);
    expect(typeOf(result.model, "a")).toBe("float16");
    expect(result.report).toMatchObject({ ranges: "calibration", halfNodes: 2, casts: 4 });
    expect(result.sqnr).toBeGreaterThan(50);
  });

  test("sums of squares inside a normalization overflow though its input and output fit", async () => {
    const text = `${header} g (float[8,64] x) => (float[8,64] y) <${constantText("w", [64, 64])}, ${constantText("s", [64], 3)}> {
      a = MatMul (x, w) b = LayerNormalization (a, s) y = MatMul (b, w) }`;
    const small = await half(text);
    expect(small.report.islands).toEqual([]);
    const large = await half(text, {}, { scale: 100 });
    expect(islandNodes(large)).toBe('LayerNormalization "b"');
    expect(reasons(large)).toMatch(/sums inside reach/);
    expect(large.sqnr).toBeGreaterThan(50);
  });

  test("products that cancel: partial sums overflow though the result is small", async () => {
    const rows = Array.from({ length: 256 * 64 }, (_, i) => (Math.floor(i / 64) % 2 ? -10 : 10)).join(", ");
    const result = await half(
      `${header} g (float[64,256] x) => (float[64,64] y) <float[256,64] w = {${rows}}, float k = {100}, ${constantText("v", [64, 64])}> {
      one = Abs (x) big = Add (one, k) sum = MatMul (big, w) y = MatMul (sum, v) }`,
    );
    expect(islandNodes(result)).toContain('MatMul "sum"');
    expect(reasons(result)).toMatch(/sums inside reach/);
    expect(typeOf(result.model, "sum")).toBe("float32");
    expect(result.sqnr).toBeGreaterThan(50);
  });

  test("softmax of large scores stays float32", async () => {
    const result = await half(
      `${header} g (float[16,64,64] x) => (float[16,64,64] y) <${constantText("w", [64, 64])}, float k = {20000}> {
      a = MatMul (x, w) z = Mul (a, k) s = Softmax (z) y = MatMul (s, w) }`,
    );
    // scores of 1e5 rounded to 11 bits would choose other entries: measuring finds that what makes them matters too
    expect(islandNodes(result)).toBe('MatMul "a" Mul "z" Softmax "s"');
    expect(result.report.comparison?.removed).toContain('MatMul "a"');
    expect(result.sqnr).toBeGreaterThan(34);
  });

  const attention = (mask: string, more = "") =>
    `${header} g (float[4,64,64] x) => (float[4,64,64] y${more && ", float[4,64,64] o"}) <${constantText("w", [64, 64])}, ${mask}> {
      a = MatMul (x, w) z = Add (a, m) s = Softmax (z) y = MatMul (s, w) ${more} }`;
  const causal = Array.from({ length: 64 * 64 }, (_, i) => (i % 64 > Math.floor(i / 64) ? -1e9 : 0)).join(", ");

  test("a mask of -1e9 becomes -10000 where that gives the same", async () => {
    const result = await half(attention(`float[64,64] m = {${causal}}`));
    expect(result.report).toMatchObject({ masks: 1, islands: [] });
    expect(result.sqnr).toBeGreaterThan(45);
    // it is an output as well: there it counts
    const seen = await half(attention(`float[64,64] m = {${causal}}`, "o = Neg (z)"));
    expect(seen.report.masks).toBe(0);
    expect(islandNodes(seen)).toContain('Add "z" Softmax "s"');
  });

  test("a mask that hides whole rows is left as it is", async () => {
    const result = await half(attention("float m = {-1000000000}"));
    expect(result.report.masks).toBe(0);
    expect(islandNodes(result)).toBe('Add "z" Softmax "s"');
    expect(result.sqnr).toBeGreaterThan(45);
  });

  test("an epsilon of 1e-12 survives: no division by zero", async () => {
    const result = await half(
      `${header} g (float[64,64] x) => (float[64,64] y) <${constantText("w", [64, 64])}, float zero = {0}, float e = {0.000000000001}, float f = {0.000001}> {
      a = MatMul (x, w) n = Mul (a, zero) p = Add (n, e) q = Sqrt (p) d = Div (a, q) m = Mul (d, f) y = MatMul (m, w) }`,
    );
    expect(islandNodes(result)).toContain('Add "p" Sqrt "q" Div "d"');
    expect(result.sqnr).toBeGreaterThan(50);
  });

  const nested = `${header} g (float[64,64] x, bool c, int64 n) => (float[64,64] y, float[64,64] l) <${constantText("w", [64, 64])}, bool go = {1}, float k = {1000000}, float r = {0.000001}> {
      h = MatMul (x, w)
      z = If <then_branch = t () => (float[64,64] q) { q = MatMul (h, w) }, else_branch = e () => (float[64,64] p) { o = Mul (h, k) p = Mul (o, r) }> (c)
      f = Loop <body = b (int64 i, bool d, float[64,64] s) => (bool v, float[64,64] u) { v = Identity (d) t2 = Mul (s, k) t3 = Mul (t2, r) u = MatMul (t3, w) }> (n, go, h)
      y = MatMul (z, w) l = MatMul (f, w) }`;

  test("inside branches and loops too", async () => {
    const float = parseModel(nested);
    const [sample] = randomSamples(float, 1) as [PreparedSample];
    const feedsOf = (taken: number) => ({ ...sample.feeds, c: tensorOf("bool", [], [taken]), n: tensorOf("int64", [], [2n]) });
    const samples = [0, 1].map((taken) => ({ ...sample, feeds: feedsOf(taken) }));
    verify(watchRanges(float).model);
    const { magnitudes } = await rangesOf(float, sourceOf(samples));
    expect(magnitudes.get("o")).toBeGreaterThan(1e5);
    expect(magnitudes.get("t2")).toBeGreaterThan(1e5);
    expect(magnitudes.get("q")).toBeLessThan(1000);
    const result = await convertToHalf(float, "float16", coreml, {}, sourceOf(samples));
    verify(result.model);
    const types = ["o", "t2", "h", "q", "u"].map((name) => typeOf(result.model, name));
    expect(types).toEqual(["float32", "float32", "float16", "float16", "float16"]);
    expect(sqnrOf(await runAll(float, samples), await runAll(result.model, samples))).toBeGreaterThan(50);
  });

  test("infinities of masks and empty tensors are no ranges", async () => {
    const text = `${header} g (float[2,4] x, int64[K] i) => (float[2,4] y, float[K,4] e) <float[2,4] m = {0, -inf, 0, 0, 0, 0, -inf, 0}> { a = Add (x, m) y = Softmax (a) e = Gather (x, i) }`;
    const float = parseModel(text);
    const [sample] = randomSamples(float, 1) as [PreparedSample];
    const samples = [{ ...sample, feeds: { ...sample.feeds, i: tensorOf("int64", [0], []) } }];
    const { magnitudes } = await rangesOf(float, sourceOf(samples));
    expect(magnitudes.get("a")).toBeLessThanOrEqual(1);
    expect(magnitudes.get("e")).toBe(0);
  });
});

describe("without data, or without kernels", () => {
  const text = `${header} g (float[8,32] x) => (float[8,32] y) <${constantText("w", [32, 32])}> { a = MatMul (x, w) y = Relu (a) }`;

  test("ranges are unknown, which is said; the comparison takes random inputs", async () => {
    const result = await convertToHalf(parseModel(text), "float16", coreml, {}, undefined);
    expect(result.report).toMatchObject({ ranges: "unknown", halfNodes: 2, comparison: { inputs: "random", runs: 3 } });
    expect(result.warnings.join()).toMatch(/Ranges of activations are unknown/);
  });

  test("onnxruntime's CPU build computes products in float32 alone: weights are stored in 16 bits", async () => {
    const result = await half(text, {}, { target: x64 });
    expect(opTypes(result.model)).toBe("Cast MatMul Relu");
    expect(result.warnings.join()).toMatch(/No node computes in float16 on ort-x64/);
    const same = await half(text, { weightsOnly: true });
    expect(opTypes(same.model)).toBe("Cast MatMul Relu");
    expect(same.warnings).toEqual([]);
  });

  test("inputs and outputs in float16 are compared as well", async () => {
    const { report, model } = await convertToHalf(parseModel(text), "float16", coreml, { halfIo: true }, undefined);
    expect(opTypes(model)).toBe("MatMul Relu");
    expect(report.comparison?.sqnr).toBeGreaterThan(50);
  });
});

describe("measuring takes back what breaks the result", () => {
  const text = `${header} g (float[8,32] x) => (float[8,32] y) <${constantText("w", [32, 32])}> {
    a = MatMul (x, w) b = Sigmoid (a) c = MatMul (b, w) d = Tanh (c) e = MatMul (d, w) y = Relu (e) }`;
  const good: Comparison = { relativeError: 0.001, sqnr: 60, notFinite: undefined, changed: 0 };
  const breaking =
    (names: readonly string[], how: () => Comparison) =>
    async (model: Model): Promise<Comparison> =>
      names.some((name) => typeOf(model, name) === "float16") ? how() : good;

  test("NaN, errors and crashes are traced to their nodes", async () => {
    const nan = () => ({ ...good, notFinite: "y" });
    const crash = () => {
      throw new EdgewrightError("JOB_DIED", "The process ended.");
    };
    for (const [how, message] of [
      [nan, /output "y" becomes NaN/],
      [crash, /the runtime crashes/],
      [() => ({ ...good, relativeError: 0.5 }), /relative error becomes 0.500, above 0.02/],
    ] as const) {
      const result = await refine(parseModel(text), {}, { bound: 0.02, compare: breaking(["d"], how) });
      expect(result.removed).toEqual(['Tanh "d"']);
      expect([...result.plan.floats.values()].join()).toMatch(message);
      expect(typeOf(result.model, "c")).toBe("float16");
      expect(result.tests).toBeLessThanOrEqual(6);
    }
    const two = await refine(parseModel(text), {}, { bound: 0.02, compare: breaking(["b", "e"], nan) });
    expect(two.removed).toEqual(['Sigmoid "b"', 'MatMul "e"']);
  });

  test("after enough rounds conversion ends before the first node that fails", async () => {
    const compare = breaking(["c", "d", "e"], () => ({ ...good, notFinite: "y" }));
    const result = await refine(parseModel(text), {}, { bound: 0.02, compare, maxRounds: 1 });
    expect(result.removed).toEqual(['MatMul "c"', 'from MatMul "e" on']);
    expect(typeOf(result.model, "a")).toBe("float16");
  });

  test("what cannot be helped is refused with one sentence that names the node", async () => {
    const compare = async (model: Model): Promise<Comparison> =>
      [...model.graph.initializers].some(({ constant }) => constant?.dtype === "float16") ? { ...good, notFinite: "y" } : good;
    await expect(refine(parseModel(text), {}, { bound: 0.02, compare, maxRounds: 0 })).rejects.toThrow(
      /^MatMul "a" cannot be converted: output "y" becomes NaN or infinite, so nothing was written\.$/,
    );
  });
});

const bench = resolve(fileURLToPath(new URL("../../bench/eval", import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), "edgewright-half-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const models =
  "gpt-nano-sort mnist mobilenetv2 nsnet2 proxyless resnet20 resnet8 squeezenet sst2 super-resolution ultraface vww yolox";

describe.skipIf(noRealData)("every model, for a target that computes in float16", () => {
  test.each(models.split(" "))("%s", { timeout: 60_000 }, async (name) => {
    process.env.EDGEWRIGHT_DATA ??= realData();
    expect(existsSync(realData("models"))).toBe(true);
    const config = await readEvalConfig(join(bench, `${name}.json`));
    if (name === "nsnet2") Object.assign(config.data as object, { options: { first: 2 } });
    const evaluation = parseEvalConfig({ ...config, check: false }, bench);
    const output = join(folder, `${name}.onnx`);
    const report = await quantizeFile({ evaluation, output, target: "coreml-ep", calibrationSamples: 2 });
    expect(report.method).toBe("fp16");
    expect(report.original.bytes / report.model.bytes).toBeGreaterThan(1.8);
    expect(report.half?.halfNodes).toBeGreaterThan(0);
    expect(report.half?.comparison?.relativeError).toBeLessThanOrEqual(0.02);
    const model = await loadModel(output);
    verify(model);
    const chained = [...allNodes(model.graph)].filter(
      (node) => node.opType === "Cast" && node.inputs[0]?.producer?.opType === "Cast",
    );
    expect(chained).toEqual([]);
  });
});
