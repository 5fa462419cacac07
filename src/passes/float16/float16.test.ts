import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../test/suites/pass.ts";
import { randomSamples, runAll } from "../../../test/suites/quantize.ts";
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
  return { model, notes, sqnr: sqnrOf(await runAll(float, samples), await runAll(model, samples)) };
}

describe("float16/convert", () => {
  test("weights are halved, inputs and outputs stay float32 under their names", async () => {
    const { model, sqnr } = await half(network);
    expect(model.graph.inputs[0]?.type?.dtype).toBe("float32");
    expect(model.graph.outputs[0]).toMatchObject({ name: "y", type: { dtype: "float32" } });
    expect([...model.graph.initializers].every(({ constant }) => constant?.dtype === "float16")).toBe(true);
    // 11 bits of mantissa give about 66 dB; a few operations lose some of it
    expect(sqnr).toBeGreaterThan(55);
  });

  test("a value beyond the limit keeps its nodes in float32, behind casts", async () => {
    const { model, notes, sqnr } = await half(network, { magnitudes: new Map([["t", 1e5]]) });
    expect(notes.filter(({ kind }) => kind === "skipped")).toHaveLength(2);
    expect(opTypes(model)).toBe("Conv Relu");
    expect(sqnr).toBe(200);
  });

  test.each([
    ["a weight beyond float16", "float[1] k = {100000}", /beyond float16/],
    ["a weight that vanishes", "float[1] k = {0.00000000001}", /vanishes/],
    ["a weight that is NaN", "float[1] k = {nan}", /NaN/],
  ])("%s keeps its node in float32", async (_, constant, reason) => {
    const { notes } = await half(`${header} g (float[4] x) => (float[4] y) <${constant}> { t = Mul (x, k) y = Relu (t) }`).catch(
      () => ({ notes: [] }),
    );
    expect(notes.find(({ kind }) => kind === "skipped")?.message).toMatch(reason);
    expect(notes.find(({ kind }) => kind === "did")).toBeDefined();
  });

  test("an op with float ports fixed to float32 stays out", async () => {
    const { model, sqnr } = await half(
      `${header} g (float[1,4,3,3] x) => (float[1,4,6,6] y) <float[4] s = {1, 1, 2, 2}> { r = Relu (x) t = Resize <mode = "linear"> (r, , s) y = Relu (t) }`,
    );
    expect(opTypes(model)).toContain("Resize");
    expect(sqnr).toBeGreaterThan(55);
  });
});
