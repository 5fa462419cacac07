import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../../test/suites/pass.ts";
import { kernelsOf, randomSamples, runAll } from "../../../../test/suites/quantize.ts";
import { encodeOnnx } from "../../../formats/index.ts";
import { type Model, type Node, type Outputs, parseModel, type Tensor, tensorOf, toFloat32, verify } from "../../../ir/index.ts";
import { ortEvaluate } from "../../../runtime/evaluate.ts";
import { loadExecutor } from "../../../runtime/executors.ts";
import { ortNode } from "../../../runtime/ort-node.ts";
import { ortX64 } from "../../../targets/onnxruntime/targets.ts";
import type { Note } from "../../define.ts";
import { runPass } from "../../manager.ts";
import { dequantizeBlocks, fittingBlock, unpackRows } from "./blocks.ts";
import { InputMoments, quantizeWeightsOnly, type WeightOnlyParams, type WeightReport } from "./index.ts";
import { roundMatrix } from "./round.ts";
import { ortWeightOnly, standardWeightOnly, type WeightOnlyRow } from "./row.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';
const rowWith = (weightOnly: WeightOnlyRow) => ({ ...ortX64.quantization, weightOnly });
/** Float arithmetic in the kernel, so that results compare to the last digits. */
const exact = rowWith({ ...ortWeightOnly, accuracyLevel: 0 });
const fast = rowWith(ortWeightOnly);
const standard = rowWith(standardWeightOnly);

interface Run {
  readonly float: Model;
  readonly model: Model;
  readonly notes: readonly Note[];
  readonly weights: readonly WeightReport[];
}

async function quantize(text: string, params: Partial<WeightOnlyParams> = {}): Promise<Run> {
  const float = parseModel(text);
  const model = float.clone();
  const weights: WeightReport[] = [];
  const given = { row: exact, algorithm: "rtn", ...params, onWeight: (report: WeightReport) => weights.push(report) };
  const { notes } = await runPass(quantizeWeightsOnly, model, given, ortEvaluate);
  verify(model);
  return { float, model, notes, weights };
}

type Format = Parameters<typeof roundMatrix>[1];

/** The float model with its matrices replaced by what their blocks stand for; `byColumn`: the inner dimension is axis 0. */
function rounded(float: Model, format: Format, byColumn: boolean): Model {
  const model = float.clone();
  for (const value of model.graph.initializers) {
    const tensor = value.constant as Tensor;
    if (tensor.shape.length !== 2) continue;
    const [a, b] = tensor.shape as [number, number];
    const at = (i: number): number => (byColumn ? (i % a) * b + Math.floor(i / a) : i);
    const [rows, columns] = byColumn ? [b, a] : [a, b];
    const given = toFloat32(tensor);
    const block = fittingBlock(columns, format.block, format, format.scales === "float16");
    const values = given.map((_, i) => given[at(i)] as number);
    const back = dequantizeBlocks(roundMatrix({ rows, columns, values }, { ...format, block }, "rtn"));
    const result = new Float32Array(back.length);
    back.forEach((x, i) => {
      result[at(i)] = x;
    });
    model.graph.setConstant(value, tensorOf("float32", tensor.shape, result));
  }
  return model;
}

const samplesOf = (model: Model) => randomSamples(model, 3);

/** First outputs, without optimization: onnxruntime would make MatMulNBits of DequantizeLinear and MatMul, and multiply in integers. */
async function plainOutputs(model: Model): Promise<Float32Array[]> {
  const session = await ortNode.load(encodeOnnx(model), { optimization: "disabled" });
  const outputs: Float32Array[] = [];
  for (const { feeds } of samplesOf(model)) outputs.push(first(await session.run(feeds)));
  await session.release();
  return outputs;
}

/** Root of the mean square difference relative to `a`. */
async function difference(a: Model, b: Model): Promise<number> {
  const samples = samplesOf(a);
  const [x, y] = [await runAll(a, samples), await runAll(b, samples)];
  return distance(x.map(first), y.map(first));
}

const first = (outputs: Outputs): Float32Array => toFloat32(Object.values(outputs)[0] as Tensor);

function distance(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let [error, signal] = [0, 0];
  a.forEach((all, s) => {
    all.forEach((x, i) => {
      error += (x - (b[s]?.[i] as number)) ** 2;
      signal += x * x;
    });
  });
  return Math.sqrt(error / signal);
}

const node = (model: Model, type: string): Node => [...model.graph.nodes].find(({ opType }) => opType === type) as Node;
const product = (k: number, n: number): string =>
  `${header} g (float[2,3,${k}] x) => (float[2,3,${n}] y) <${constantText("w", [k, n])}> { y = MatMul (x, w) }`;
const tied = (rows: number, columns: number): string =>
  `${header} g (int64[1,4] i) => (float[1,4,${rows}] y) <${constantText("e", [rows, columns])}> {
    x = Gather (e, i) r = Relu (x) t = Transpose <perm = [1, 0]> (e) y = MatMul (r, t) }`;

const formats = ([16, 32, 64, 128, 256] as const).flatMap((block) =>
  ([4, 8] as const).flatMap((bits) => [false, true].map((asymmetric) => ({ bits, block, asymmetric }) as const)),
);

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

describe("quantize/weight-only", () => {
  const two = `${header} g (float[6,32] x) => (float[6,32] y) <${constantText("a", [32, 32])}, ${constantText("b", [32, 32], 2)}> {
    h = MatMul (x, a) r = Relu (h) y = MatMul (r, b) }`;

  test("every node is done or has a reason", async () => {
    const text =
      `${header} g (float[2,32] x, float[4] v, float[32,2] z) => (float y, float p, float q, float o, float l) <${constantText("w", [32, 32])}, ${constantText("n", [4, 64])}, ${constantText("d", [1, 32, 4])}> {
      m = MatMul (x, w) y = Relu (m) p = MatMul (x, z) o = MatMul (v, n) q = MatMul (x, d) l = MatMul (n, z2) }`.replace(
        "float[32,2] z)",
        "float[32,2] z, float[64,2] z2)",
      );
    const { model, float, notes } = await quantize(text);
    expect(notes).toHaveLength([...float.graph.nodes].length);
    const reasons = notes.filter(({ kind }) => kind === "skipped").map(({ message }) => message);
    expect(reasons).toEqual([
      "has no weights that can be stored in blocks",
      "both operands are computed at run time",
      "its input is a vector",
      "the constant has rank 3, not 2",
      "its constant is the left operand",
    ]);
    expect(
      opTypes(model)
        .split(" ")
        .filter((type) => type === "MatMulNBits"),
    ).toHaveLength(1);
    const excluded = await quantize(product(32, 8), { exclude: ["y"] });
    expect(excluded.notes).toEqual([expect.objectContaining({ kind: "skipped", message: "excluded" })]);
  });

  test("a matrix that a float node goes on reading is not stored twice", async () => {
    const text = tied(40, 64).replace("y = MatMul", "z = Neg (t) y = MatMul").replace("y) <", "y, float[64,40] z) <");
    const { model, notes } = await quantize(text);
    expect(opTypes(model)).toBe("Gather Relu Transpose Neg MatMul");
    expect(notes.filter(({ message }) => message.includes("stored twice"))).toHaveLength(2);
    expect(notes).toHaveLength(5);
    // read by two products with inputs of their own, it is one matrix
    const twice = `${header} g (float[4,32] x, float[3,32] v) => (float[4,24] y, float[3,24] z) <${constantText("w", [32, 24])}> {
      y = MatMul (x, w) z = MatMul (v, w) }`;
    const asked: string[] = [];
    const moments = async (inputs: ReadonlyMap<string, number>) => {
      asked.push(...inputs.keys());
      return new Map([...inputs].map(([name, columns]) => [name, new InputMoments(columns)]));
    };
    const shared = await quantize(twice, { moments });
    expect(shared.weights).toHaveLength(1);
    expect(asked).toEqual(["x", "v"]);
    expect([...shared.model.graph.initializers].filter(({ constant }) => constant?.dtype === "uint8")).toHaveLength(1);
    expect(await difference(shared.float, shared.model)).toBeLessThan(0.15);
  });

  test("8 bits where 4 err too much, for the head, or as far as the budget goes", async () => {
    const bits = async (params: Partial<WeightOnlyParams>) => (await quantize(two, params)).weights.map((one) => one.bits);
    expect(await bits({})).toEqual([4, 4]);
    expect(await bits({ headBits: 8 })).toEqual([4, 8]);
    expect(await bits({ threshold: 1e-4 })).toEqual([8, 8]);
    expect((await bits({ averageBits: 6.6 })).sort()).toEqual([4, 8]);
    expect(await bits({ averageBits: 9 })).toEqual([8, 8]);
    expect(await bits({ averageBits: 5 })).toEqual([4, 4]);
  });

  test("with moments GPTQ and AWQ take part; inputs are scaled by what makes them, or by a Mul", async () => {
    const strong = Float64Array.from({ length: 32 }, (_, i) => (i % 8 === 0 ? 40 : 1));
    const moments = async (inputs: ReadonlyMap<string, number>) =>
      new Map(
        [...inputs].map(([name, columns]) => {
          const one = new InputMoments(columns);
          const values = randomSamples(parseModel(`${header} g (float[200,32] x) => (float y) { y = Relu (x) }`), 1)[0]?.feeds
            .x as Tensor;
          one.add(toFloat32(values).map((x, i) => x * (strong[i % columns] as number)));
          return [name, one] as const;
        }),
      );
    const normalized = `${header} g (float[4,32] x) => (float[4,32] y) <${constantText("w", [32, 32])}, float[32] s = {${[...strong].join(", ")}}, ${constantText("b", [32], 4)}> {
      h = LayerNormalization (x, s, b) y = MatMul (h, w) }`;
    const folded = await quantize(normalized, { algorithm: "awq", moments });
    expect(folded.weights[0]?.algorithm).toBe("awq+rtn");
    expect(opTypes(folded.model)).not.toContain("Mul ");
    const plain = await quantize(normalized);
    expect(await difference(folded.float, folded.model)).toBeLessThan(0.85 * (await difference(plain.float, plain.model)));
    const input = `${header} g (float[4,32] x) => (float[4,32] y) <${constantText("w", [32, 32])}> { y = MatMul (x, w) }`;
    const multiplied = await quantize(input, { algorithm: "awq", moments });
    expect(opTypes(multiplied.model).split(" ")).toContain("Mul");
    expect(await difference(multiplied.float, multiplied.model)).toBeLessThan(0.2);
    const limited = await quantize(input, { algorithm: "auto", moments, momentsLimit: 1000 });
    expect(limited.notes[0]?.message).toContain("the moments of 32 input channels take more than 1000 bytes");
  });

  test("inputs come in batches that fit the memory given", async () => {
    const asked: string[][] = [];
    const moments = async (inputs: ReadonlyMap<string, number>) => {
      asked.push([...inputs.keys()]);
      return new Map([...inputs].map(([name, columns]) => [name, new InputMoments(columns)]));
    };
    await quantize(two, { moments });
    await quantize(two, { moments, momentsLimit: InputMoments.bytes(32) });
    expect(asked).toEqual([["x", "r"], ["x"], ["r"]]);
  });
});
