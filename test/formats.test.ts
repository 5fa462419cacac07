import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { encodeOnnx, readOnnx } from "../src/formats/index.ts";
import { equalModels, parseModel, printModel, verify } from "../src/ir/index.ts";
import { checkEqual } from "../src/measure/check-equal.ts";
import { runPass } from "../src/passes/manager.ts";
import { upgradeOpset } from "../src/passes/upgrade-opset/index.ts";
import { ortEvaluate } from "../src/runtime/evaluate.ts";
import { fileBytes, loadModel, saveModel } from "../src/runtime/model-file.ts";
import { noRealData, realModel, realModels } from "./real-data.ts";

const folder = await mkdtemp(join(tmpdir(), "edgewright-formats-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Printing every weight as a decimal takes seconds above this. */
const printable = 1e6;

describe.skipIf(noRealData).each(realModels)("%s", (name) => {
  test("round trip: equal, as large, with identical outputs", async () => {
    const path = realModel(name);
    const model = await loadModel(path);
    verify(model);
    const copy = join(folder, `${name}.onnx`);
    const saved = await saveModel(model, copy);
    const bytes = await fileBytes(path);
    // fields that are set to their default ("" or 0) are not written, weights in typed fields become raw
    expect(Math.abs(saved.bytes - bytes)).toBeLessThan(512);
    const back = await loadModel(copy);
    expect(equalModels(model, back, { exact: true })).toBe(true);
    // the same graph runs the same kernels, so not one bit may differ
    expect((await checkEqual(path, copy, { tolerance: 0 })).maxAbsolute).toBe(0);
    if (bytes < printable) expect(equalModels(model, parseModel(printModel(model)), { exact: true })).toBe(true);
  });

  test("external data: the same model, weights beside it", async () => {
    const model = await loadModel(realModel(name));
    const path = join(folder, `${name}-external.onnx`);
    const saved = await saveModel(model, path, { externalData: true });
    expect(saved.files.length).toBe(2);
    expect(equalModels(model, await loadModel(path), { exact: true })).toBe(true);
    expect((await checkEqual(realModel(name), path, { tolerance: 0 })).maxAbsolute).toBe(0);
  });

  test("upgrade to the working operator set keeps the outputs", async () => {
    const model = await loadModel(realModel(name));
    await runPass(upgradeOpset, model, {}, ortEvaluate);
    verify(model);
    expect(model.opset).toBe(21);
    const back = readOnnx(encodeOnnx(model));
    expect(equalModels(model, back, { exact: true })).toBe(true);
    // other kernels may serve newer versions of an operator: float32 rounding through some hundred layers stays below this
    const report = await checkEqual(realModel(name), encodeOnnx(model), { tolerance: 1e-4 });
    expect(report.maxRelative).toBeLessThanOrEqual(1e-4);
  });
});
