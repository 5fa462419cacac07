import { describe, expect, test } from "vitest";
import { constantText, opTypes } from "../../../../test/suites/pass.ts";
import { randomSamples } from "../../../../test/suites/quantize.ts";
import { difference, header, product, quantize, tied } from "../../../../test/suites/weight-only.ts";
import { parseModel, type Tensor, toFloat32 } from "../../../ir/index.ts";
import { InputMoments, type WeightOnlyParams } from "./index.ts";

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
