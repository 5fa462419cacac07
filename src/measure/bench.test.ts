import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeOnnx } from "../formats/index.ts";
import { float32Tensor, Graph, int64Tensor, Model } from "../ir/index.ts";
import type { Session } from "../runtime/executor.ts";
import { saveModel } from "../runtime/model-file.ts";
import { benchModels, benchSchema, bindFeeds } from "./bench.ts";

/** x [N, 8] times a weight [8, 4], over and over. */
function chain(layers: number): Model {
  const graph = new Graph("chain");
  const x = graph.addInput("x", { dtype: "float32", shape: ["N", 8] });
  const weight = graph.addInitializer(
    "w",
    float32Tensor(
      [8, 8],
      Float32Array.from({ length: 64 }, (_, i) => (i % 7) / 7),
    ),
  );
  let value = x;
  for (let i = 0; i < layers; i++) value = graph.node("MatMul", [value, weight]).output;
  value.type = { dtype: "float32", shape: ["N", 8] };
  graph.addOutput(value);
  return new Model({ graph });
}

// a process of its own takes half a second: only one test starts them
const fast = { rounds: 5, warmupMs: 0, process: false };

describe("benchModels", () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "edgewright-"));
    await writeFile(at("short.onnx"), encodeOnnx(chain(1)));
    await writeFile(at("long.onnx"), encodeOnnx(chain(20)));
    await saveModel(chain(1), at("external.onnx"), { externalData: true });
  });

  it("holds both subjects' samples and the ratio with its interval", async () => {
    const report = await benchModels([at("short.onnx"), at("long.onnx")], { ...fast, profile: true });
    expect(benchSchema.parse(report)).toEqual(report);
    expect(report.models.map((model) => model.name)).toEqual(["short.onnx", "long.onnx"]);
    for (const model of report.models) {
      expect(model.latency.p50.samples).toHaveLength(5);
      expect(model.latency.p50.subject).toMatch(/^[0-9a-f]{64}$/);
      expect(model.profile?.opTypes.map((row) => row.opType)).toEqual(["MatMul"]);
    }
    expect(report.models[1]?.profile?.opTypes[0]?.nodes).toBe(20);
    expect(report.ratios).toHaveLength(1);
    expect(report.ratios[0]).toMatchObject({ name: "long.onnx", baseline: "short.onnx" });
    expect(report.ratios[0]?.ratio.interval).toHaveLength(2);
  });

  it("feeds declared types, says which dims it assumed, and takes them from the caller", async () => {
    const assumed = await benchModels([at("short.onnx")], fast);
    expect(assumed.models[0]?.inputs).toEqual([{ name: "x", dtype: "float32", shape: [1, 8] }]);
    expect(assumed.notes.join()).toMatch(/N of x became 1; --shape x=/);
    const chosen = await benchModels([at("short.onnx")], { ...fast, shapes: { N: [3] } });
    expect(chosen.models[0]?.inputs[0]?.shape).toEqual([3, 8]);
    expect(chosen.notes).toEqual([]);
    // one MAC per weight and row, 32-bit floats: see the energy table
    expect(chosen.models[0]?.energy?.perInference.metric).toContain("energy");
    // input and output of 3 x 8 floats are alive together
    expect(chosen.models[0]?.activations?.value).toBe(2 * 3 * 8 * 4);
  });

  it("measures memory and cold start of each model in processes of its own", async () => {
    const { models } = await benchModels([at("short.onnx")], { ...fast, process: true });
    expect(models[0]?.process?.peakRss.value).toBeGreaterThan(20e6);
    expect(models[0]?.process?.coldStart.samples).toHaveLength(3);
  });

  it("runs on ort-web, external data included", async () => {
    const report = await benchModels([at("external.onnx"), at("short.onnx")], { ...fast, executor: "ort-web" });
    expect(report.executor.name).toBe("ort-web");
    expect(report.models[0]?.bytes).toBeGreaterThan(8 * 8 * 4);
    await expect(benchModels([at("short.onnx")], { executor: "ort-web", profile: true })).rejects.toThrow(
      /needs the executor ort-node/,
    );
  });

  it("keeps a model apart from itself", async () => {
    const report = await benchModels([at("short.onnx"), at("short.onnx")], fast);
    expect(report.models.map((model) => model.name)).toEqual(["short.onnx", "short.onnx #2"]);
  });

  it("says what is wrong with a file", async () => {
    await expect(benchModels([at("none.onnx")], fast)).rejects.toThrow(/none.onnx" does not exist/);
    await writeFile(at("text.onnx"), "not a model");
    await expect(benchModels([at("text.onnx")], fast)).rejects.toMatchObject({ code: "ORT_LOAD" });
  });
});

describe("bindFeeds", () => {
  const session = (names: readonly string[]): Session => ({
    inputs: names.map((name) => ({ name, type: { dtype: "float32", shape: ["N", 2] } })),
    outputNames: [],
    run: async () => ({}),
    release: async () => {},
  });
  const tensor = float32Tensor([1, 2], [1, 2]);

  it("takes tensors by name, or the only one for the only input", () => {
    expect(bindFeeds(session(["a"]), { "": tensor })).toEqual({ a: tensor });
    expect(bindFeeds(session(["a", "b"]), { a: tensor, b: tensor })).toEqual({ a: tensor, b: tensor });
  });

  it("refuses what does not fit", () => {
    expect(() => bindFeeds(session(["a", "b"]), { a: tensor })).toThrow(/input "b" \(float32\[N,2\]\)/);
    expect(() => bindFeeds(session(["a"]), { a: int64Tensor([1, 2]) })).toThrow(/given is int64\[2\]/);
    expect(() => bindFeeds(session(["a"]), { a: float32Tensor([1, 3], [1, 2, 3]) })).toThrow(/given is float32\[1,3\]/);
  });
});
