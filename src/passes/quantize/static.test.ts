import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../test/suites/pass.ts";
import { kernelsOf, quantizeText, row } from "../../../test/suites/quantize.ts";
import { parseModel } from "../../ir/parse.ts";
import { inferShapes } from "../../ops/infer.ts";
import { planQuantization } from "./plan.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';
const w = constantText("w", [8, 8, 3, 3]);
const b = constantText("b", [8], 2);
const conv = (from: string, to: string, weight = "w"): string => `${to} = Conv <pads = [1, 1, 1, 1]> (${from}, ${weight}, b)`;
const graph = (body: string, constants = "", inputs = "float[1,8,8,8] x", outputs = "float[1,8,8,8] y"): string =>
  `${header} g (${inputs}) => (${outputs}) <${w}, ${b}${constants ? `, ${constants}` : ""}> { ${body} }`;

/** One layer on random data keeps 30 dB and more at 8 bits; wrong scales, axes or zero points are below 15. */
const oneLayer = 30;

describe("quantize/static", () => {
  test("Conv with Relu becomes one integer convolution; the quantize node takes over the clamp", async () => {
    const { model, sqnr } = await quantizeText(graph(`${conv("x", "t")} y = Relu (t)`));
    expect(opTypes(model)).not.toContain("Relu");
    expect(sqnr).toBeGreaterThan(oneLayer);
    expect(await kernelsOf(model)).toContain("QLinearConv");
  });

  test("Clip(0, 6) is taken over too, a Clip that starts above zero is not", async () => {
    const limits = "float lo = {0}, float hi = {6}, float one = {0.2}";
    const absorbed = await quantizeText(graph(`${conv("x", "t")} y = Clip (t, lo, hi)`, limits));
    expect(opTypes(absorbed.model)).not.toContain("Clip");
    const kept = await quantizeText(graph(`${conv("x", "t")} y = Clip (t, one, hi)`, limits));
    expect(opTypes(kept.model)).toContain("Clip");
    expect(kept.sqnr).toBeGreaterThan(oneLayer);
  });

  test("a residual block runs in integers from end to end", async () => {
    const { model, sqnr } = await quantizeText(
      graph(`${conv("x", "a")} r = Relu (a) ${conv("r", "c")} s = Add (r, c) ${conv("s", "y")}`),
    );
    const kernels = await kernelsOf(model);
    expect(kernels).toEqual(expect.arrayContaining(["QLinearAdd", "QLinearConv"]));
    expect(kernels).not.toContain("Conv");
    expect(kernels).not.toContain("Add");
    // noise of three layers adds up
    expect(sqnr).toBeGreaterThan(oneLayer - 5);
  });

  test("a float reader of a quantized value reads the dequantized one, outputs keep their names", async () => {
    const { model, sqnr } = await quantizeText(
      graph(`${conv("x", "t")} e = Erf (t) ${conv("t", "y")}`, "", "float[1,8,8,8] x", "float[1,8,8,8] y, float[1,8,8,8] e"),
    );
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(["y", "e"]);
    expect(sqnr).toBeGreaterThan(oneLayer - 3);
  });

  test("excluded nodes stay float, with integer neighbours", async () => {
    const { model, notes } = await quantizeText(graph(`${conv("x", "a")} ${conv("a", "c")} ${conv("c", "y")}`), {
      exclude: ["c"],
    });
    expect(notes).toContainEqual(expect.objectContaining({ kind: "skipped", message: "excluded" }));
    // onnxruntime would quantize the weights of a float Conv between integer neighbours by itself: the guard must prevent that
    const kernels = await kernelsOf(model);
    expect(kernels).toEqual(expect.arrayContaining(["Conv", "QLinearConv"]));
    expect(notes).toContainEqual(expect.objectContaining({ kind: "warning", message: expect.stringContaining("guarded") }));
  });

  test("depthwise convolutions get a scale per channel", async () => {
    const { model, sqnr } = await quantizeText(
      graph("y = Conv <group = 8, pads = [1, 1, 1, 1]> (x, d, b)", constantText("d", [8, 1, 3, 3], 5)),
    );
    const scales = [...model.graph.initializers].find(({ name }) => name.startsWith("d_scale"));
    expect(scales?.constant?.shape).toEqual([8]);
    expect(sqnr).toBeGreaterThan(oneLayer);
    expect(await kernelsOf(model)).toContain("QLinearConv");
  });

  test("values that are only moved share scale and zero point", async () => {
    const { model } = await quantizeText(
      graph(
        `${conv("x", "a")} m = MaxPool <kernel_shape = [2, 2]> (a) t = Transpose <perm = [0, 1, 3, 2]> (m) ${conv("t", "y")}`,
        "",
        "float[1,8,8,8] x",
        "float[1,8,7,7] y",
      ),
    );
    const scaleOf = (name: string): number[] => {
      const quantize = [...model.graph.nodes].find((node) => node.opType === "QuantizeLinear" && node.inputs[0]?.name === name);
      const tensor = quantize?.inputs[1]?.constant;
      return tensor ? [...tensor.bytes()] : [];
    };
    expect(scaleOf("a")).not.toEqual([]);
    expect(scaleOf("m")).toEqual(scaleOf("a"));
    expect(scaleOf("t")).toEqual(scaleOf("a"));
  });

  test("Concat joins integer branches", async () => {
    const { model } = await quantizeText(
      graph(
        `${conv("x", "a")} ${conv("x", "c", "v")} k = Concat <axis = 1> (a, c) y = Conv (k, u, b)`,
        `${constantText("v", [8, 8, 3, 3], 8)}, ${constantText("u", [8, 16, 1, 1], 9)}`,
      ),
    );
    expect(await kernelsOf(model)).toContain("QLinearConcat");
  });

  test("matrix products: constant weights, transposed weights with float output, two activations", async () => {
    const gemm = await quantizeText(
      `${header} g (float[4,16] x) => (float[4,8] y) <${constantText("w", [8, 16])}, ${constantText("b", [8], 2)}> { y = Gemm <transB = 1> (x, w, b) }`,
    );
    expect(gemm.sqnr).toBeGreaterThan(oneLayer);
    expect(await kernelsOf(gemm.model)).toContain("QGemm");
    expect(opTypes(gemm.model).endsWith("Gemm")).toBe(true); // the result stays float: nothing after it
    const both = await quantizeText(`${header} g (float[2,4,8] x, float[2,8,4] z) => (float[2,4,4] y) { y = MatMul (x, z) }`);
    expect(both.sqnr).toBeGreaterThan(oneLayer);
    expect(await kernelsOf(both.model)).toEqual(expect.arrayContaining(["MatMulIntegerToFloat"]));
  });

  test("an embedding table is stored as integers and read before it is dequantized", async () => {
    const { model, sqnr } = await quantizeText(
      `${header} g (int64[1,6] i) => (float[1,6,64] y) <${constantText("t", [20, 64])}> { y = Gather (t, i) }`,
    );
    expect(opTypes(model)).toBe("Gather DequantizeLinear");
    expect(sqnr).toBeGreaterThan(oneLayer);
  });

  test("what stays float says why", () => {
    const model = parseModel(
      `${header} g (float[1,8,8,8] x, float[8,8,1,1] k) => (float[1,8,8,8] y) <${b}> { a = Conv (x, k, b) t = Tanh (a) y = Sigmoid (t) }`,
    );
    inferShapes(model);
    const reasons = planQuantization(model, row).floats.map(({ node, reason }) => `${node.opType}: ${reason}`);
    expect(reasons).toEqual([
      "Conv: weights are not constant",
      "Tanh: ort-x64 has no integer kernel for Tanh",
      expect.stringMatching(/^Sigmoid: input "t" is float/),
    ]);
  });

  test("nothing after the last integer anchor is quantized for its own sake", async () => {
    const { model } = await quantizeText(graph(`${conv("x", "a")} s = Sigmoid (a) y = Transpose <perm = [0, 1, 3, 2]> (s)`));
    expect(opTypes(model).endsWith("DequantizeLinear Sigmoid Transpose")).toBe(true);
  });

  test("bias correction needs no other graph", async () => {
    const plain = await quantizeText(graph(`${conv("x", "t")} y = Relu (t)`));
    const corrected = await quantizeText(graph(`${conv("x", "t")} y = Relu (t)`), { biasCorrection: true });
    expect(opTypes(corrected.model)).toBe(opTypes(plain.model));
    expect(corrected.sqnr).toBeGreaterThan(oneLayer);
  });

  test("calibration of another graph is refused by name", async () => {
    await expect(quantizeText(graph(conv("x", "y")), { statistics: new Map() })).rejects.toThrow(/"x" was not observed/);
  });
});
