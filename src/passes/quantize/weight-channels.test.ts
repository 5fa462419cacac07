import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../test/suites/pass.ts";
import { randomSamples, runAll } from "../../../test/suites/quantize.ts";
import { type Model, parseModel } from "../../ir/index.ts";
import { verify } from "../../ir/verify.ts";
import { sqnrOf } from "../../recipes/sensitivity.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { runPass } from "../manager.ts";
import { quantizeWeightChannels } from "./weight-channels.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';

async function stored(text: string, params: Record<string, unknown> = {}) {
  const float = parseModel(text);
  const model = float.clone();
  const { notes } = await runPass(quantizeWeightChannels, model, params, ortEvaluate);
  verify(model);
  const samples = randomSamples(float, 3);
  return { model, notes, sqnr: sqnrOf(await runAll(float, samples), await runAll(model, samples)) };
}

const int8 = (model: Model) =>
  [...model.graph.initializers].filter(({ constant }) => constant?.dtype === "int8" && constant.shape.length > 1).length;

describe("quantize/weight-channels", () => {
  test("convolutions, products and tables; biases stay float", async () => {
    const { model, sqnr, notes } =
      await stored(`${header} g (float[1,8,6,6] x, int64[3] i) => (float[1,16,4,4] y, float[3,24] z, float[1,32] l) <
      ${constantText("w", [16, 8, 3, 3])}, ${constantText("b", [16], 2)}, ${constantText("t", [40, 32], 3)}, ${constantText("m", [32, 24], 4)}, ${constantText("k", [32, 16], 5)}, int64[2] s = {1, -1}> {
      y = Conv (x, w, b) e = Gather (t, i) z = MatMul (e, m) p = GlobalAveragePool (y) f = Reshape (p, s) l = Gemm <transB = 1> (f, k) }`);
    expect(opTypes(model)).toBe(
      "DequantizeLinear Conv Gather DequantizeLinear DequantizeLinear MatMul GlobalAveragePool Reshape DequantizeLinear Gemm",
    );
    expect(int8(model)).toBe(4);
    expect(notes.filter(({ kind }) => kind === "did")).toHaveLength(4);
    // 8 bits over the range of a channel: about 45 dB for uniform weights
    expect(sqnr).toBeGreaterThan(38);
  });

  test("a constant that is read in two ways is left alone", async () => {
    const { model, notes } = await stored(
      `${header} g (float[2,32] x) => (float[2,24] y, float[32,24] z) <${constantText("m", [32, 24])}> { y = MatMul (x, m) z = Neg (m) }`,
    );
    expect(opTypes(model)).toBe("MatMul Neg");
    expect(notes.some(({ message }) => /read in another way too/.test(message))).toBe(true);
  });

  test("two readers share one DequantizeLinear, and excluded nodes stay", async () => {
    const text = `${header} g (float[2,24] x) => (float[2,24] y) <${constantText("m", [24, 24])}> { t = MatMul (x, m) y = MatMul (t, m) }`;
    expect(opTypes((await stored(text)).model)).toBe("DequantizeLinear MatMul MatMul");
    expect(opTypes((await stored(text, { exclude: ["t", "y"] })).model)).toBe("MatMul MatMul");
  });

  test("a table that is read twice is stored once", async () => {
    const { model, sqnr } = await stored(
      `${header} g (int64[3] i, int64[2] j) => (float[3,32] y, float[2,32] z) <${constantText("t", [40, 32])}> { y = Gather (t, i) z = Gather (t, j) }`,
    );
    expect(int8(model)).toBe(1);
    expect(opTypes(model)).toBe("Gather DequantizeLinear Gather DequantizeLinear");
    expect(sqnr).toBeGreaterThan(38);
  });

  test("weights that a body reads from the graph around it", async () => {
    const { model, sqnr } =
      await stored(`${header} g (float[2,24] x, bool c) => (float[2,24] y) <${constantText("m", [24, 24])}> {
      y = If <then_branch = t () => (float[2,24] p) { p = MatMul (x, m) }, else_branch = e () => (float[2,24] q) { q = Identity (x) }> (c) }`);
    expect(opTypes(model)).toBe("DequantizeLinear If");
    expect(sqnr).toBeGreaterThan(38);
  });
});
