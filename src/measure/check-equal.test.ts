import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { encodeOnnx } from "../formats/index.ts";
import { float32Tensor, tensorOf } from "../ir/index.ts";
import { parseModel } from "../ir/parse.ts";
import { saveModel } from "../runtime/model-file.ts";
import { checkEqual, compareTensors } from "./check-equal.ts";
import { simplifyFile, simplifyReportSchema } from "./simplify-file.ts";

const folder = mkdtempSync(join(tmpdir(), "edgewright-check-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const bytes = (text: string) => encodeOnnx(parseModel(text));

describe("compareTensors", () => {
  const difference = (a: readonly number[], b: readonly number[]) =>
    compareTensors(float32Tensor([a.length], a), float32Tensor([b.length], b));

  test("relates the largest difference to the largest magnitude", () => {
    expect(difference([4, -8, 0], [4, -7, 0.5])).toEqual({ absolute: 1, relative: 0.125 });
  });

  test("takes NaN and infinities as equal to themselves only", () => {
    expect(difference([Number.NaN, Number.POSITIVE_INFINITY], [Number.NaN, Number.POSITIVE_INFINITY]).absolute).toBe(0);
    expect(difference([Number.NaN], [0]).relative).toBe(Number.POSITIVE_INFINITY);
    expect(difference([Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY]).relative).toBe(Number.POSITIVE_INFINITY);
  });

  test("never calls another shape or type equal", () => {
    expect(compareTensors(float32Tensor([1, 2], [1, 2]), float32Tensor([2], [1, 2])).relative).toBe(Number.POSITIVE_INFINITY);
    expect(compareTensors(float32Tensor([1], [1]), tensorOf("int64", [1], [1])).relative).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("checkEqual", () => {
  test("sees a batch size that was frozen by mistake", async () => {
    const before = bytes("g (float[N,2,3] x) => (float[N,6] y) { y = Flatten (x) }");
    const frozen = bytes(
      "g (float[N,2,3] x) => (float[N,6] y) <int64[2] s = {-1, 6}, int64[1] z = {0}, int64[1] o = {1}> { f = Reshape (x, s) y = Slice (f, z, o, z) }",
    );
    const report = await checkEqual(before, frozen);
    expect(report.runs).toBe(2);
    expect(report.equal).toBe(false);
  });

  test("says so when the original does not run on random input", async () => {
    const picky = bytes(
      "g (float[N,M] x) => (float[N,3] y) <float[7,3] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3}> { y = MatMul (x, w) }",
    );
    await expect(checkEqual(picky, picky)).rejects.toMatchObject({ code: "CHECK_INPUTS" });
    expect((await checkEqual(picky, picky, { shapes: { x: [2, 7] } })).equal).toBe(true);
  });
});

describe("simplifyFile", () => {
  const text =
    "g (float[N,2] x) => (float[N,2] y) <float[2] a = {0.1, 0.2}, float[2] b = {0.3, 0.7}> { t = Mul (x, a) u = Mul (t, b) i = Identity (u) y = Relu (i) }";

  test("writes the simplified model and reports what it did", async () => {
    const [input, output] = [join(folder, "in.onnx"), join(folder, "out.onnx")];
    await saveModel(parseModel(text), input);
    const report = await simplifyFile(input, output);
    expect(simplifyReportSchema.parse(report)).toEqual(report);
    expect([report.before.nodes, report.after.nodes]).toEqual([4, 2]);
    expect(report.rules).toMatchObject({ "fuse-constant-chain": 1, "eliminate-identity": 1 });
    expect(report.check?.equal).toBe(true);
    expect(existsSync(output)).toBe(true);
  });

  test("writes nothing when outputs differ by more than the tolerance", async () => {
    const [input, output] = [join(folder, "in2.onnx"), join(folder, "out2.onnx")];
    await saveModel(parseModel(text), input);
    await expect(simplifyFile(input, output, { check: { tolerance: -1 } })).rejects.toMatchObject({ code: "SIMPLIFY_DIFFERS" });
    expect(existsSync(output)).toBe(false);
  });
});
