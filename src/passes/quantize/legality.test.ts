import { describe, expect, test } from "vitest";
import { broken, type Change, legal, rowOf, tflite } from "../../../test/suites/legality-cases.ts";
import { constantText } from "../../../test/suites/pass.ts";
import { quantizeText, randomSamples, runAll } from "../../../test/suites/quantize.ts";
import { parseModel } from "../../ir/parse.ts";
import { printModel } from "../../ir/print.ts";
import { verify } from "../../ir/verify.ts";
import { checkLegality, legalityRules } from "./legality.ts";
import type { QuantizationRow } from "./row.ts";

function changed(changes: readonly Change[], text = legal): string {
  return changes.reduce((before, [from, to]) => {
    expect(before).toContain(from);
    return before.replace(from, to);
  }, text);
}

describe("checkLegality", () => {
  test("a legal model has no violations, and onnxruntime runs it", async () => {
    const model = parseModel(legal);
    verify(model);
    const before = printModel(model);
    for (const name of ["tflite", "tflm", "edgetpu"]) expect(checkLegality(model, rowOf(name))).toEqual([]);
    expect(printModel(model)).toBe(before);
    expect(await runAll(model, randomSamples(model, 1))).toHaveLength(1);
  });

  test("every rule is broken by a test", () => {
    expect(new Set(broken.map(({ rule }) => rule))).toEqual(new Set(legalityRules));
  });

  test.each(broken)("$rule: $name", ({ rule, row, changes, node, value, says }) => {
    const model = parseModel(changed(changes));
    verify(model);
    const found = checkLegality(model, row);
    expect([...new Set(found.map((violation) => violation.rule))]).toEqual([rule]);
    expect(found[0]).toMatchObject({ node, value });
    expect(found[0]?.message).toMatch(says);
    for (const { message } of found) expect(message).toMatch(/^[^\n]+: [^\n]+\.$/);
  });

  test("models of older operator sets are read as well", () => {
    const model = parseModel(
      changed([
        ['["" : 21]', '["" : 13]'],
        ["int8 z = {3}", "uint8 z = {131}"],
      ]),
    );
    expect(checkLegality(model, tflite).map(({ rule }) => rule)).toEqual(["activation-dtype"]);
  });

  test("a float node between integer ones is no matter where the target has float kernels", () => {
    const model = parseModel(changed([["e = Sigmoid (do)", "e0 = Erf (do) e = Sigmoid (e0)"]]));
    expect(checkLegality(model, tflite)).toEqual([]);
  });

  test("int8 weights alone are legal where a target says so", () => {
    const row: QuantizationRow = { ...rowOf("ort-web-webgpu"), floatScheme: "int8-weights" };
    const text = (dtype: string): string => `<ir_version: 10, opset_import: ["" : 21]>
      g (float[1,2] x) => (float[1,2] y) <${dtype}[2,2] w = {1, 2, 3, 4}, float s = {0.1}>
      { d = DequantizeLinear (w, s) y = MatMul (x, d) }`;
    expect(checkLegality(parseModel(text("int8")), row)).toEqual([]);
    expect(checkLegality(parseModel(text("uint8")), row).map(({ rule }) => rule)).toContain("weight-dtype");
  });
});

const header = '<ir_version: 10, opset_import: ["" : 21]>';
const residual = `${header} g (float[1,8,8,8] x) => (float[1,4] y)
  <${constantText("w", [8, 8, 3, 3])}, ${constantText("b", [8], 2)}, ${constantText("v", [256, 4], 3)}, ${constantText("u", [4], 4)}>
  { a = Conv <pads = [1, 1, 1, 1]> (x, w, b) r = Relu (a) c = Conv <pads = [1, 1, 1, 1]> (r, w, b) s = Add (r, c)
    k = Concat <axis = 1> (s, r) m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (k) f = Flatten (m) y = Gemm (f, v, u) }`;

describe("what static quantization writes is legal", () => {
  test.each(["ort-x64", "ort-x64-novnni", "ort-arm64", "ort-web-wasm", "xnnpack"])("%s", async (name) => {
    const { model } = await quantizeText(residual, { row: rowOf(name) });
    expect(checkLegality(model, rowOf(name))).toEqual([]);
  });
});
