import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../../test/suites/pass.ts";
import { kernelsOf, runAll } from "../../../../test/suites/quantize.ts";
import {
  difference,
  distance,
  type Format,
  fast,
  first,
  formats,
  header,
  node,
  plainOutputs,
  product,
  quantize,
  rounded,
  samplesOf,
  standard,
  tied,
} from "../../../../test/suites/weight-only.ts";
import { encodeOnnx } from "../../../formats/index.ts";
import { type Tensor, toFloat32 } from "../../../ir/index.ts";
import { loadExecutor } from "../../../runtime/executors.ts";
import { ortNode } from "../../../runtime/ort-node.ts";
import { unpackRows } from "./blocks.ts";
import { roundMatrix } from "./round.ts";

describe("onnxruntime's blocks", () => {
  test.each(formats)(
    "MatMulNBits is the product with the dequantized matrix: $bits bits, blocks of $block, zero points $asymmetric",
    async (format) => {
      for (const k of [256, 80]) {
        const { float, model, weights } = await quantize(product(k, 24), format);
        const kept = rounded(float, { ...format, scales: "float16" }, true);
        expect(opTypes(model)).toContain("MatMulNBits");
        expect(await difference(kept, model)).toBeLessThan(1e-5);
        expect(weights[0]).toMatchObject({ bits: format.bits, kind: "product", algorithm: "rtn", shape: [k, 24] });
        expect(await difference(float, model)).toBeLessThan(format.bits === 4 ? 0.15 : 0.01);
      }
    },
  );

  test("the kernel's 8-bit arithmetic costs less than rounding to 4 bits does", async () => {
    const { float, model } = await quantize(product(256, 64), { row: fast });
    expect(node(model, "MatMulNBits").int("accuracy_level", 0)).toBe(4);
    expect(
      await difference(rounded(float, { bits: 4, block: 32, asymmetric: false, scales: "float16" }, true), model),
    ).toBeLessThan(0.02);
    expect(await kernelsOf(model)).toContain("MatMulNBits");
  });

  test("gives the same without optimization, in WebAssembly, and with float32 scales", async () => {
    const web = await loadExecutor("ort-web");
    for (const scales of ["float16", "float32"] as const) {
      const { model } = await quantize(product(50, 20), { row: fast, scales, asymmetric: true });
      const samples = samplesOf(model);
      const wanted = (await runAll(model, samples)).map(first);
      for (const [executor, optimization] of [
        [ortNode, "disabled"],
        [web, "all"],
      ] as const) {
        const session = await executor.load(encodeOnnx(model), { optimization });
        const got: Float32Array[] = [];
        for (const { feeds } of samples) got.push(first(await session.run(feeds)));
        await session.release();
        expect(distance(wanted, got)).toBeLessThan(0.02);
      }
    }
  });

  test("stored codes use −8, and unpack to what rounding gave", async () => {
    const { float, model } = await quantize(product(64, 16), { scales: "float32" });
    const stored = node(model, "MatMulNBits").inputs[1]?.constant as Tensor;
    expect(stored.shape).toEqual([16, 2, 16]);
    const codes = unpackRows(stored.bytes(), { rows: 16, columns: 64, width: 64, bits: 4 });
    expect(Math.min(...codes)).toBe(0);
    expect(Math.max(...codes)).toBe(15);
    const w = toFloat32([...float.graph.initializers][0]?.constant as Tensor);
    const turned = Float32Array.from({ length: 1024 }, (_, i) => w[(i % 64) * 16 + Math.floor(i / 64)] as number);
    const format: Format = { bits: 4, block: 32, asymmetric: false, scales: "float32" };
    expect(codes).toEqual(roundMatrix({ rows: 16, columns: 64, values: turned }, format, "rtn").codes);
  });

  test("Gemm: transposed weights, a bias vector inside the kernel, any other bias after it", async () => {
    const gemm = (shape: string) =>
      `${header} g (float[4,32] x) => (float[4,24] y) <${constantText("w", [24, 32])}, ${constantText("c", JSON.parse(shape), 2)}> { y = Gemm <transB = 1> (x, w, c) }`;
    for (const [shape, types] of [
      ["[24]", "Reshape Cast MatMulNBits"],
      ["[4,1]", "Reshape Cast MatMulNBits Add"],
    ] as const) {
      const { float, model } = await quantize(gemm(shape));
      expect(opTypes(model).split(" ").sort().join(" ")).toBe(types.split(" ").sort().join(" "));
      const kept = rounded(float, { bits: 4, block: 32, asymmetric: false, scales: "float16" }, false);
      // [4,1] is a matrix too for `rounded`, but a column of one entry rounds to itself up to float16
      expect(await difference(kept, model)).toBeLessThan(shape === "[24]" ? 1e-5 : 1e-3);
    }
  });

  test.each(formats.filter(({ block }) => block < 128))(
    "a table's rows are read from $bits-bit blocks of $block, zero points $asymmetric",
    async (format) => {
      const text = `${header} g (int64[2,3] i) => (float[2,3,72] y) <${constantText("e", [5, 72])}> { y = Gather (e, i) }`;
      const { float, model, weights } = await quantize(text, { ...format, tableBits: format.bits, scales: "float32" });
      expect(opTypes(model)).toBe("GatherBlockQuantized");
      expect(weights[0]?.kind).toBe("table");
      const kept = rounded(float, { ...format, scales: "float32" }, false);
      expect(await difference(kept, model)).toBeLessThan(1e-6);
    },
  );

  test("a tied head and its embedding share their bytes", async () => {
    for (const asymmetric of [false, true]) {
      const { float, model, weights } = await quantize(tied(40, 64), { asymmetric });
      expect(opTypes(model)).not.toMatch(/Transpose|Gather\b/);
      expect(weights).toHaveLength(1);
      const stored = [...model.graph.initializers].filter(({ constant }) => constant?.dtype === "uint8" && constant.size > 500);
      expect(stored).toHaveLength(1);
      const kept = rounded(float, { bits: 4, block: 32, asymmetric, scales: "float16" }, false);
      expect(await difference(kept, model)).toBeLessThan(1e-5);
    }
    // rows that do not fill blocks are padded for the product alone
    const { float, model } = await quantize(tied(40, 72), { block: 64 });
    expect(await difference(float, model)).toBeLessThan(0.2);
  });
});

describe("standard blocks", () => {
  test.each(formats.filter(({ block }) => block <= 64))(
    "DequantizeLinear: $bits bits, blocks of $block, zero points $asymmetric",
    async (format) => {
      const { float, model } = await quantize(product(128, 24), { ...format, row: standard });
      expect(opTypes(model)).toBe("DequantizeLinear MatMul");
      const stored = node(model, "DequantizeLinear");
      expect(stored.inputs[0]?.constant?.dtype).toBe(`${format.asymmetric ? "u" : ""}int${format.bits}`);
      expect(stored.int("block_size", 0)).toBe(format.block);
      expect(stored.inputs[1]?.constant?.shape).toEqual([128 / format.block, 24]);
      const kept = rounded(float, { ...format, scales: "float32" }, true);
      expect(distance(await plainOutputs(kept), await plainOutputs(model))).toBeLessThan(1e-5);
      expect(await difference(kept, model)).toBeLessThan(0.02);
    },
  );

  test("Gemm keeps its node; tables are gathered as 8-bit rows and dequantized after", async () => {
    const gemm = `${header} g (float[4,48] x) => (float[4,24] y) <${constantText("w", [24, 48])}> { y = Gemm <transB = 1> (x, w) }`;
    const { float, model } = await quantize(gemm, { row: standard, scales: "float16" });
    expect(opTypes(model)).toBe("Cast DequantizeLinear Gemm");
    expect(await difference(float, model)).toBeLessThan(0.15);
    const table = `${header} g (int64[2,3] i) => (float[2,3,40] y) <${constantText("e", [7, 40])}> { y = Gather (e, i) }`;
    for (const asymmetric of [false, true]) {
      const run = await quantize(table, { row: standard, asymmetric, tableBits: 4 });
      expect(run.weights[0]?.bits).toBe(8);
      expect(opTypes(run.model)).toBe(asymmetric ? "Gather Gather Gather DequantizeLinear" : "Gather Gather DequantizeLinear");
      expect(await difference(run.float, run.model)).toBeLessThan(0.01);
    }
    const head = await quantize(tied(40, 64), { row: standard });
    expect(await difference(head.float, head.model)).toBeLessThan(0.01);
  });

  test("convolutions on demand: per channel, or in blocks of 4 bits along deep inputs", async () => {
    const text = `${header} g (float[1,32,5,5] x) => (float[1,8,3,3] y) <${constantText("w", [8, 32, 3, 3])}> { y = Conv (x, w) }`;
    const skipped = await quantize(text);
    expect(skipped.notes[0]).toMatchObject({ kind: "skipped", message: expect.stringContaining("option convolutions") });
    for (const [bits, block, shape] of [
      [8, 32, [8]],
      [4, 32, [8, 1, 3, 3]],
      [4, 16, [8, 2, 3, 3]],
      [4, 64, [8]],
    ] as const)
      for (const asymmetric of [false, true]) {
        const { float, model } = await quantize(text, { bits, block, asymmetric, convolutions: true });
        expect(node(model, "DequantizeLinear").inputs[2]?.constant?.shape ?? shape).toEqual(shape);
        expect(await difference(float, model)).toBeLessThan(bits === 8 ? 0.01 : 0.2);
      }
  });
});
