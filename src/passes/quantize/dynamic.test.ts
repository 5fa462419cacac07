import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../test/suites/pass.ts";
import { randomSamples, row, runAll } from "../../../test/suites/quantize.ts";
import { parseModel } from "../../ir/parse.ts";
import { verify } from "../../ir/verify.ts";
import { sqnrOf } from "../../recipes/sensitivity.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { runPass } from "../manager.ts";
import { quantizeDynamic } from "./dynamic.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';

async function dynamic(text: string, params: Record<string, unknown> = {}) {
  const float = parseModel(text);
  const model = float.clone();
  const { notes } = await runPass(quantizeDynamic, model, { row, ...params }, ortEvaluate);
  verify(model);
  const samples = randomSamples(float, 3);
  return { model, notes, sqnr: sqnrOf(await runAll(float, samples), await runAll(model, samples)) };
}

describe("quantize/dynamic", () => {
  test("MatMul and Gemm in both orders share one quantization of their input", async () => {
    const { model, sqnr } = await dynamic(
      `${header} g (float[4,16] x) => (float[4,8] y, float[4,8] z) <${constantText("w", [16, 8])}, ${constantText("v", [8, 16], 3)}, ${constantText("b", [8], 2)}>
       { y = MatMul (x, w) z = Gemm <transB = 1> (x, v, b) }`,
    );
    expect(
      opTypes(model)
        .split(" ")
        .filter((type) => type === "DynamicQuantizeLinear"),
    ).toHaveLength(1);
    expect(opTypes(model)).not.toContain("Gemm");
    // one layer at 8 bits; a wrong transpose or scale is far below
    expect(sqnr).toBeGreaterThan(30);
  });

  test("convolutions only when asked for", async () => {
    const text = `${header} g (float[1,4,6,6] x) => (float[1,8,6,6] y) <${constantText("w", [8, 4, 3, 3])}, ${constantText("b", [8], 2)}> { y = Conv <pads = [1, 1, 1, 1]> (x, w, b) }`;
    const without = await dynamic(text);
    expect(without.notes).toContainEqual(
      expect.objectContaining({ kind: "skipped", message: expect.stringContaining("convolutions") }),
    );
    const withConv = await dynamic(text, { convolutions: true });
    expect(opTypes(withConv.model)).toContain("ConvInteger");
    expect(withConv.sqnr).toBeGreaterThan(30);
  });

  test("what cannot be converted says why", async () => {
    const { notes } = await dynamic(`${header} g (float[4,8] x, float[8,4] w) => (float[4,4] y) { y = MatMul (x, w) }`);
    expect(notes).toEqual([expect.objectContaining({ kind: "skipped", message: "weights are not constant" })]);
  });
});
