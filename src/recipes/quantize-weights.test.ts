import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { noRealData, realData } from "../../test/real-data.ts";
import { constantText } from "../../test/suites/pass.ts";
import { randomSamples, stream } from "../../test/suites/quantize.ts";
import { parseModel, toFloat32 } from "../ir/index.ts";
import { evaluate } from "../measure/evaluate.ts";
import { parseEvalConfig, readEvalConfig } from "../measure/evaluate-config.ts";
import { InputMoments } from "../passes/quantize/weight-only/index.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { ortX64 } from "../targets/onnxruntime/targets.ts";
import { quantizeFile } from "./quantize.ts";
import { measureMoments, productRatio, quantizeWeights } from "./quantize-weights.ts";

const header = '<ir_version: 10, opset_import: ["" : 21]>';
const text = `${header} g (float[2,5,32] x) => (float[2,5,8] y) <${constantText("a", [32, 48])}, ${constantText("b", [48, 8], 2)}> {
  h = MatMul (x, a) r = Relu (h) y = MatMul (r, b) }`;

const source = (count: number) => {
  const samples = randomSamples(parseModel(text), count);
  return { executor: ortNode, samples: () => stream(samples), all: samples };
};

describe("measureMoments", () => {
  test("sums X^T X and |X| over all rows of all samples, of inputs and of inner values", async () => {
    const given = source(7);
    const model = parseModel(text);
    const moments = await measureMoments(
      model,
      given,
    )(
      new Map([
        ["x", 32],
        ["r", 48],
      ]),
    );
    const direct = new InputMoments(32);
    for (const { feeds } of given.all) direct.add(toFloat32(feeds.x as Parameters<typeof toFloat32>[0]));
    const x = moments.get("x") as InputMoments;
    expect([x.rows, x.held?.rows]).toEqual([60, 10]); // the fourth of seven samples is held apart
    expect(x.totalRows).toBe(70);
    x.total.gram.forEach((value, i) => {
      expect(value).toBeCloseTo(direct.gram[i] as number, 4);
    });
    x.total.magnitudes.forEach((value, i) => {
      expect(value).toBeCloseTo(direct.magnitudes[i] as number, 4);
    });
    expect(moments.get("r")?.totalRows).toBe(70);
    expect([...model.graph.nodes]).toHaveLength(3); // the model itself is left alone
  });

  test("no samples, or a value that is not there, are said", async () => {
    const empty = { executor: ortNode, samples: () => stream([]) };
    await expect(measureMoments(parseModel(text), empty)(new Map([["x", 32]]))).rejects.toMatchObject({
      code: "CALIBRATION_EMPTY",
    });
    await expect(measureMoments(parseModel(text), source(1))(new Map([["q", 32]]))).rejects.toMatchObject({
      code: "OBSERVE_UNKNOWN",
    });
  });

  test("with enough rows GPTQ takes part; with few it does not, and says so", async () => {
    const run = async (count: number) => quantizeWeights(parseModel(text), ortX64.quantization, {}, source(count));
    const many = await run(30);
    expect(many.samples).toBe(30);
    expect(many.weights.map(({ algorithm }) => algorithm).join()).toContain("gptq");
    const few = await run(2);
    expect(few.weights.every(({ algorithm }) => ["rtn", "hqq"].includes(algorithm))).toBe(true);
    expect(few.notes.find(({ kind }) => kind === "did")?.message).toContain("20 calibration rows for 32 input channels");
    expect(many.weights[1]?.error).toBeLessThan(few.weights[1]?.error as number);
  });
});

const bench = resolve(fileURLToPath(new URL("../../bench/eval", import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), "edgewright-weights-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(noRealData)("trained transformers at 4 bits", () => {
  // the bar: the task's metric within half a point of float, matrices at least six times smaller
  test.each([
    ["gpt-nano-sort", "sequence-accuracy"],
    ["sst2", "top-1"],
  ])("%s", { timeout: 300_000 }, async (name, metric) => {
    process.env.EDGEWRIGHT_DATA ??= realData();
    expect(existsSync(realData("models"))).toBe(true);
    const config = parseEvalConfig({ ...(await readEvalConfig(join(bench, `${name}.json`))), check: false }, bench);
    const output = join(folder, `${name}.onnx`);
    const report = await quantizeFile({ evaluation: config, output, method: "weight-only", weights: { bits: 4, block: 32 } });
    expect(report.productRatio).toBeGreaterThanOrEqual(6);
    expect(productRatio(report.weights ?? [])).toBe(report.productRatio);
    expect(report.calibrationSamples).toBe(100);
    const after = await evaluate({ ...config, model: output, baseline: config.model }, ortNode);
    const change = after.baseline?.differences.find((one) => one.metric === metric);
    expect(Math.abs(change?.difference as number)).toBeLessThanOrEqual(0.5);
  });
});
