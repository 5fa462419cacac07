import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noRealData, realModel } from "../../test/real-data.ts";
import { parseEvalConfig } from "../measure/evaluate-config.ts";
import { fileDigest } from "../runtime/model-file.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { type Manifest, manifestSchema } from "./manifest.ts";
import { optimize } from "./optimize.ts";
import { quantizeFile } from "./quantize.ts";

const example = fileURLToPath(new URL("../../examples/shapes/", import.meta.url));
const evaluation = parseEvalConfig(
  { model: "model.onnx", data: "data", preprocess: "imagenet-inception", check: false, limit: 60 },
  example,
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "edgewright-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const names = (manifest: Manifest): string[] => manifest.candidates.map(({ name }) => name);

describe("optimize on the example", () => {
  test("an interrupted run leaves the best so far; --resume goes on and finishes", { timeout: 240_000 }, async () => {
    const out = join(folder, "run");
    const controller = new AbortController();
    const stopAt = "FP16";
    const first = optimize(
      { evaluation, out, calibrationSamples: 16 },
      {
        signal: controller.signal,
        onProgress: ({ step }) => step.startsWith(stopAt) && controller.abort(new Error("stopped by the test")),
      },
    );
    await expect(first).rejects.toThrow("stopped by the test");
    const interrupted = manifestSchema.parse(JSON.parse(await readFile(join(out, "manifest.json"), "utf8")));
    expect(interrupted.status).toBe("interrupted");
    expect(await readdir(out)).toEqual(expect.arrayContaining(["model.onnx", "manifest.json", "report.html"]));

    const steps: string[] = [];
    const manifest = manifestSchema.parse(
      await optimize(
        { evaluation, out, calibrationSamples: 16, resume: true },
        { onProgress: ({ step }) => void steps.push(step) },
      ),
    );
    expect(manifest.status).toBe("done");
    expect(names(manifest)).toEqual(
      expect.arrayContaining(["baseline", "simplified", "int8-dynamic", "fp16", "int8-mse", "int8"]),
    );
    // measured before the interruption, so not again
    expect(steps.some((step) => step.startsWith("INT8 dynamic"))).toBe(false);

    for (const { path, digest } of manifest.files) expect(await fileDigest(join(out, path))).toBe(digest);
    expect((await readdir(out)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    const session = await ortNode.load(join(out, "model.onnx"));
    expect(session.inputs.map(({ name }) => name)).toEqual(manifest.model.inputs.map(({ name }) => name));
    await session.release();

    const chosen = manifest.candidates.find(({ name }) => name === manifest.chosen);
    expect(chosen?.outcome).toBe("chosen");
    const int8 = manifest.candidates.find(({ name }) => name === "int8-mse");
    expect(int8?.file?.bytes).toBeLessThan(manifest.model.bytes / 3);
    expect(int8?.notes.length).toBeGreaterThan(0);
    expect(manifest.final?.baseline.length).toBeGreaterThan(0);
    // a finished run is not done again
    expect((await optimize({ evaluation, out, calibrationSamples: 16, resume: true })).createdAt).toBe(manifest.createdAt);
  });

  test("a budget that nothing keeps: the best file is written and the verdict says so", { timeout: 240_000 }, async () => {
    const out = join(folder, "tight");
    const manifest = await optimize({ evaluation: { ...evaluation, limit: 30 }, out, calibrationSamples: 8, maxSizeBytes: 1000 });
    expect(manifest.verdict.budgetMet).toBe(false);
    expect(manifest.verdict.reasons.join(" ")).toMatch(/No candidate keeps the budget/);
    expect(await readdir(out)).toContain("model.onnx");
  });

  test("a file where the folder should be is refused", async () => {
    await expect(optimize({ evaluation, out: evaluation.model })).rejects.toThrow(/is a file; --out needs a folder/);
  });
});

describe("quantize on the example", () => {
  test.each(["static", "dynamic", "fp16"] as const)("%s writes a smaller file that runs", { timeout: 60_000 }, async (method) => {
    const output = join(folder, `${method}.onnx`);
    const report = await quantizeFile({ evaluation, output, method, calibrationSamples: 8 });
    expect(report.quantizedNodes).toBeGreaterThan(0);
    expect(report.model.bytes).toBeLessThan(report.original.bytes);
    await (await ortNode.load(output)).release();
  });

  test.skipIf(noRealData)(
    "a model that would crash the runtime in float16 keeps a node in float32",
    { timeout: 60_000 },
    async () => {
      // onnxruntime 1.30 ends with a segmentation fault when it loads this model wholly in float16 with all optimizations
      const output = join(folder, "gru.onnx");
      const gru = parseEvalConfig({ model: realModel("nsnet2-20ms"), check: false }, folder);
      const report = await quantizeFile({ evaluation: gru, output, method: "fp16" });
      expect(report.model.bytes).toBeLessThan(0.6 * report.original.bytes);
      await (await ortNode.load(output)).release();
    },
  );

  test("unknown methods and ranges are named", async () => {
    const output = join(folder, "none.onnx");
    await expect(quantizeFile({ evaluation, output, method: "int3" as never })).rejects.toThrow(/no quantization method "int3"/);
    await expect(quantizeFile({ evaluation, output, ranges: "guess" as never, calibrationSamples: 2 })).rejects.toThrow(
      /quantize\/static does not take this method/,
    );
  });
});
