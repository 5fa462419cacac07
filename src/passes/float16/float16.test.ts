import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../test/suites/pass.ts";
import { randomSamples, runAll } from "../../../test/suites/quantize.ts";
import { allNodes, type Model } from "../../ir/index.ts";
import { parseModel } from "../../ir/parse.ts";
import { verify } from "../../ir/verify.ts";
import { sqnrOf } from "../../recipes/sensitivity.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { runPass } from "../manager.ts";
import { float16 } from "./index.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';
const constants = `${constantText("w", [8, 4, 3, 3])}, ${constantText("b", [8], 2)}`;
const network = `${header} g (float[1,4,6,6] x) => (float[1,8,4,4] y) <${constants}> { t = Conv (x, w, b) y = Relu (t) }`;

async function half(text: string, params: Record<string, unknown> = {}) {
  const float = parseModel(text);
  const model = float.clone();
  const { notes } = await runPass(float16, model, params, ortEvaluate);
  verify(model);
  const samples = randomSamples(float, 3);
  const sqnr = async () => sqnrOf(await runAll(float, samples), await runAll(model, samples));
  const reasons = notes.filter(({ kind, message }) => kind === "skipped" || message.includes("computes in float32"));
  return { model, notes, sqnr, reasons: reasons.map(({ subject, message }) => `${subject}: ${message}`) };
}

const casts = (model: Model): number => [...allNodes(model.graph)].filter(({ opType }) => opType === "Cast").length;
const typeOf = (model: Model, name: string): string | undefined =>
  [...allNodes(model.graph)].flatMap(({ outputs }) => outputs).find((value) => value.name === name)?.type?.dtype;

describe("float16/convert", () => {
  test("weights are halved, inputs and outputs stay float32 under their names", async () => {
    const { model, sqnr } = await half(network);
    expect(model.graph.inputs[0]?.type?.dtype).toBe("float32");
    expect(model.graph.outputs[0]).toMatchObject({ name: "y", type: { dtype: "float32" } });
    expect([...model.graph.initializers].every(({ constant }) => constant?.dtype === "float16")).toBe(true);
    expect(opTypes(model)).toBe("Cast Conv Relu Cast");
    // 11 bits of mantissa give about 66 dB; a few operations lose some of it
    expect(await sqnr()).toBeGreaterThan(55);
  });

  test("inputs and outputs in float16 need no cast", async () => {
    const { model } = await half(network, { keepIo: false });
    expect(model.graph.inputs[0]?.type?.dtype).toBe("float16");
    expect(model.graph.outputs[0]).toMatchObject({ name: "y", type: { dtype: "float16" } });
    expect(opTypes(model)).toBe("Conv Relu");
  });

  test("weights alone: arithmetic in float32, a cast behind each large weight, small ones as they were", async () => {
    const { model, sqnr } = await half(network, { weightsOnly: true });
    expect(opTypes(model)).toBe("Cast Conv Relu");
    expect([...model.graph.initializers].map(({ constant }) => constant?.dtype).sort()).toEqual(["float16", "float32"]);
    expect(await sqnr()).toBeGreaterThan(60);
  });

  test("bfloat16: a target that computes nothing in it gets weights alone", async () => {
    const { model, sqnr, notes } = await half(network, { dtype: "bfloat16" });
    expect(opTypes(model)).toBe("Cast Conv Relu");
    expect(notes.find(({ kind }) => kind === "did")?.message).toMatch(/weights in bfloat16/);
    // 8 bits of mantissa
    const db = await sqnr();
    expect(db).toBeGreaterThan(42);
    expect(db).toBeLessThan(60);
  });

  test("an excluded node keeps its weights", async () => {
    const { model, sqnr } = await half(network, { exclude: ["t", "y"] });
    expect(opTypes(model)).toBe("Conv Relu");
    expect(await sqnr()).toBe(200);
  });

  test("a value beyond the limit keeps its nodes in float32; their weights are stored in 16 bits", async () => {
    const { model, reasons, sqnr } = await half(network, { magnitudes: new Map([["t", 1e5]]) });
    expect(reasons).toHaveLength(2);
    expect(reasons[0]).toMatch(/value "t" reaches 1.000e\+5, beyond the limit of 32752/);
    expect(opTypes(model)).toBe("Cast Conv Relu");
    expect(await sqnr()).toBeGreaterThan(60);
  });

  test("a value too small for float16, and a sum too large, keep their nodes in float32", async () => {
    const small = await half(network, { magnitudes: new Map([["t", 1e-6]]) });
    expect(small.reasons[0]).toMatch(/never exceeds .*below the normal numbers/);
    const large = await half(network, { sums: new Map([["t", 1e5]]) });
    expect(large.reasons[0]).toMatch(/sums inside reach 1.000e\+5/);
  });

  test.each([
    ["a weight beyond float16", "float[1] k = {100000}", /beyond float16's 65504/],
    ["a weight that vanishes", "float[1] k = {0.000000000001}", /vanishes in float16/],
    ["a weight that loses bits", "float[1] k = {0.0000001}", /loses 19 % in float16/],
    ["a weight that is NaN", "float[1] k = {nan}", /holds NaN/],
  ])("%s keeps its node in float32", async (_, constant, reason) => {
    const { model, reasons } = await half(
      `${header} g (float[4] x) => (float[4,4] y) <${constant}, ${constantText("w", [4, 4])}> { t = Mul (x, k) y = Add (t, w) }`,
    );
    expect(reasons.join("\n")).toMatch(reason);
    expect(opTypes(model)).toBe("Mul Add");
  });

  test("bounds of Clip saturate: infinity by another name", async () => {
    const { model, reasons, sqnr } = await half(
      `${header} g (float[2,8] x) => (float[2,8] y) <float low = {0}, float high = {3.4e38}, ${constantText("w", [8, 8])}> { t = MatMul (x, w) y = Clip (t, low, high) }`,
    );
    expect(reasons).toEqual([]);
    expect(opTypes(model)).toBe("Cast MatMul Clip Cast");
    expect(await sqnr()).toBeGreaterThan(50);
  });

  test("an epsilon that float16 takes for zero keeps its normalization in float32", async () => {
    const text = (epsilon: string) =>
      `${header} g (float[2,8] x) => (float[2,8] y) <${constantText("s", [8])}> { y = LayerNormalization <epsilon = ${epsilon}> (x, s) }`;
    expect((await half(text("1e-12"))).reasons[0]).toMatch(/attribute epsilon is 1.00e-12/);
    expect((await half(text("1e-5"))).reasons).toEqual([]);
  });

  test("ports that ONNX fixes to float32 stay so in an op that computes in float16", async () => {
    const { model, sqnr } = await half(
      `${header} g (float[1,4,3,3] x) => (float[1,4,6,6] y) <float[4] s = {1, 1, 2, 2}> { r = Relu (x) t = Resize <mode = "linear"> (r, , s) y = Relu (t) }`,
    );
    expect(opTypes(model)).toBe("Cast Relu Resize Relu Cast");
    expect([...model.graph.initializers][0]?.constant?.dtype).toBe("float32");
    expect(await sqnr()).toBeGreaterThan(55);
  });

  test("statistics of a normalization stay float32", async () => {
    const { model, sqnr } = await half(
      `${header} g (float[2,8] x) => (float[2,8] y, float[2,1] m) <${constantText("s", [8])}> { y, m = LayerNormalization (x, s) }`,
    );
    expect(typeOf(model, "m")).toBe("float32");
    expect(await sqnr()).toBeGreaterThan(55);
  });
});

describe("islands", () => {
  const chain = (middle: string) =>
    `${header} g (float[64,64] x) => (float[64,64] y) <${constantText("w", [64, 64])}> { a = MatMul (x, w) b = Exp (a) ${middle} d = Exp (c) y = MatMul (d, w) }`;
  const magnitudes = new Map([
    ["b", 1e5],
    ["d", 1e5],
  ]);

  test("grow over cheap nodes between them: no cast there and back", async () => {
    const { model, reasons } = await half(chain("c0 = Sigmoid (b) c = Neg (c0)"), { magnitudes });
    expect(opTypes(model)).toBe("Cast Cast MatMul Cast Exp Sigmoid Neg Exp MatMul");
    expect(reasons.map((reason) => /casts around it/.test(reason))).toEqual([false, false, true, false, false]);
  });

  test("do not grow over work that is worth two casts", async () => {
    const { model } = await half(chain("c0 = Sqrt (b) c1 = MatMul (c0, w) c2 = MatMul (c1, w) c = MatMul (c2, w)"), {
      magnitudes,
    });
    expect(typeOf(model, "c1")).toBe("float16");
    expect(casts(model)).toBe(5);
  });

  test("a value that many read is cast once", async () => {
    const { model } = await half(
      `${header} g (float[64,64] x) => (float[64,64] y) <${constantText("w", [64, 64])}> { a = MatMul (x, w) b = Exp (a) c = Log (a) d = Add (b, c) e = MatMul (d, w) y = MatMul (e, a) }`,
      {
        floatNodes: new Map([
          ["b", "asked for"],
          ["c", "asked for"],
        ]),
      },
    );
    const readers = [...allNodes(model.graph)].filter(({ opType, inputs }) => opType === "Cast" && inputs[0]?.name === "a");
    expect(readers).toHaveLength(1);
  });

  test("what names a type changes with it: no Cast behind a Cast", async () => {
    const text = `${header} g (int64[2,8] i) => (float[2,8] y) <${constantText("w", [8, 8])}> { f = Cast <to = 1> (i) y = MatMul (f, w) }`;
    const known = await half(text, { magnitudes: new Map([["f", 100]]) });
    expect(opTypes(known.model)).toBe("Cast MatMul Cast");
    expect(typeOf(known.model, "f")).toBe("float16");
    // positions beyond 2048 are no longer exact
    const large = await half(text, { magnitudes: new Map([["f", 3000]]) });
    expect(large.reasons[0]).toMatch(/whole numbers up to 3000/);
    expect((await half(text)).reasons[0]).toMatch(/range is unknown/);
  });
});

describe("bodies", () => {
  const branches = `${header} g (float[2,8] x, bool c) => (float[2,8] y) <${constantText("w", [8, 8])}, ${constantText("v", [8, 8], 3)}> {
    h = MatMul (x, w)
    z = If (c) <then_branch = t () => (float[2,8] p) { p = MatMul (h, v) }, else_branch = e () => (float[2,8] q) { q = Exp (h) }>
    y = MatMul (z, w) }`;

  test("of If compute in float16, and their results leave it without casts", async () => {
    const { model, sqnr } = await half(branches);
    expect(casts(model)).toBe(2);
    expect([typeOf(model, "p"), typeOf(model, "q"), typeOf(model, "z")]).toEqual(["float16", "float16", "float16"]);
    expect(await sqnr()).toBeGreaterThan(50);
  });

  test("of If have one type of result: an island in one branch casts inside it", async () => {
    const { model, sqnr } = await half(branches, { floatNodes: new Map([["q", "asked for"]]) });
    expect(typeOf(model, "q")).toBe("float32");
    expect(typeOf(model, "z")).toBe(typeOf(model, "p"));
    expect(await sqnr()).toBeGreaterThan(50);
  });

  test("of Loop carry their state in float16", async () => {
    const { model, sqnr } =
      await half(`${header} g (float[2,8] x) => (float[2,8] y, float[N,2,8] s) <int64 n = {3}, bool go = {1}, ${constantText("w", [8, 8])}> {
      h = MatMul (x, w)
      y, s = Loop <body = b (int64 i, bool c, float[2,8] a) => (bool d, float[2,8] o, float[2,8] e) { d = Identity (c) o = MatMul (a, w) e = Tanh (o) }> (n, go, h) }`);
    expect([typeOf(model, "o"), typeOf(model, "e")]).toEqual(["float16", "float16"]);
    expect(casts(model)).toBe(3);
    expect(await sqnr()).toBeGreaterThan(45);
  });

  test("of Scan read slices in float16", async () => {
    const { model, sqnr } = await half(`${header} g (float[3,8] x) => (float[3,8] y) <${constantText("w", [8, 8])}> {
      h = MatMul (x, w)
      y = Scan <num_scan_inputs = 1, body = b (float[8] a) => (float[8] o) { o = Tanh (a) }> (h) }`);
    expect([typeOf(model, "h"), typeOf(model, "o")]).toEqual(["float16", "float16"]);
    expect(casts(model)).toBe(2);
    expect(await sqnr()).toBeGreaterThan(50);
  });
});
