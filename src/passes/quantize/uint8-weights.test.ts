import { describe, expect, test } from "vitest";
import { constantText } from "../../../test/suites/pass.ts";
import { kernelsOf, quantizeText, randomSamples, row, runAll } from "../../../test/suites/quantize.ts";
import { type Model, typedArray } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { checkLegality } from "./legality.ts";
import type { QuantizationRow } from "./row.ts";
import { canSaturateLayer, findIntegerLayers } from "./saturation/find-layers.ts";
import type { WeightChoice } from "./weights.ts";

const around128 = new Map<string, WeightChoice>(["w", "w2"].map((name) => [name, { dtype: "uint8" }]));
const head = `<ir_version: 10, opset_import: ["" : 21]> g`;
const networks: readonly [string, string, string][] = [
  [
    "convolution",
    "QLinearConv",
    `(float[1,6,5,5] x) => (float[1,8,5,5] y) <${constantText("w", [8, 6, 3, 3])}, ${constantText("b", [8])}> { a = Conv <pads = [1,1,1,1]> (x, w, b) y = Relu (a) }`,
  ],
  [
    "grouped convolution",
    "QLinearConv",
    `(float[1,6,5,5] x) => (float[1,8,3,3] y) <${constantText("w", [8, 3, 3, 3])}> { y = Conv <group = 2> (x, w) }`,
  ],
  [
    "matrix product between integers",
    "QLinearMatMul",
    `(float[3,12] x) => (float[3,8] y) <${constantText("w", [12, 8])}, ${constantText("w2", [8, 8])}> { a = MatMul (x, w) y = MatMul (a, w2) }`,
  ],
  [
    "matrix product with a float result",
    "MatMulIntegerToFloat",
    `(float[2,3,12] x) => (float[2,3,8] y) <${constantText("w", [12, 8])}> { y = MatMul (x, w) }`,
  ],
  [
    "fully connected layer",
    "QGemm",
    `(float[3,12] x) => (float[3,8] y) <${constantText("w", [8, 12])}, ${constantText("b", [8])}> { a = Gemm <transB = 1> (x, w, b) y = Sigmoid (a) }`,
  ],
  [
    "fully connected layer with a float result",
    "QGemm",
    `(float[3,12] x) => (float[3,8] y) <${constantText("w", [12, 8])}> { y = Gemm (x, w) }`,
  ],
];

const weightsOf = (model: Model) =>
  [...model.graph.initializers].flatMap(({ constant }) =>
    constant && constant.shape.length > 1 && (constant.dtype === "int8" || constant.dtype === "uint8") ? [constant] : [],
  );

describe("uint8 weights around 128", () => {
  test.each(networks)("%s: the same kernel and the same bits as with int8", async (_, kernel, text) => {
    const plain = await quantizeText(head + text);
    const wide = await quantizeText(head + text, { weights: around128 });
    const [int8, uint8] = [weightsOf(plain.model)[0], weightsOf(wide.model)[0]];
    expect([int8?.dtype, uint8?.dtype]).toEqual(["int8", "uint8"]);
    expect([...typedArray(uint8 as never)].map((q) => Number(q) - 128)).toEqual([...typedArray(int8 as never)].map(Number));
    const kernels = await kernelsOf(wide.model);
    expect(kernels).toContain(kernel);
    expect(kernels).toEqual(await kernelsOf(plain.model));
    const samples = randomSamples(plain.float, 6);
    const bits = async (model: Model) => (await runAll(model, samples)).map(({ y }) => [...(y?.bytes() ?? [])]);
    expect(await bits(wide.model)).toEqual(await bits(plain.model));
  });

  test.each(networks)("%s: found as a layer that cannot saturate, legal where the row says so", async (_, _kernel, text) => {
    const { model } = await quantizeText(head + text, { weights: around128 });
    inferShapes(model);
    const layers = findIntegerLayers(model);
    const layer = layers[0];
    expect(layer && canSaturateLayer(layer)).toBe(false);
    expect(checkLegality(model, row)).toEqual([]);
    const { wideDtype: _dropped, ...strict } = row.weight;
    const other: QuantizationRow = { ...row, weight: strict };
    expect(new Set(checkLegality(model, other).map(({ rule }) => rule))).toEqual(new Set(["weight-dtype"]));
    // a row that wants 7 bits wants them of int8 only
    expect(checkLegality(model, { ...row, weight: { ...row.weight, reduceRange: true } })).toEqual([]);
  });
});
