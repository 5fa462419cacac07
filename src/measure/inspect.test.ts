import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { noRealData, realModel } from "../../test/real-data.ts";
import { encodeOnnx } from "../formats/index.ts";
import { type Dim, float32Tensor, Graph, Model, tensorOf } from "../ir/index.ts";
import { inspectModel } from "./inspect.ts";
import { inspectSchema } from "./inspect-schema.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "edgewright-inspect-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const codes = async (model: Model): Promise<string[]> => (await inspectModel(model)).warnings.map(({ code }) => code);

function dense(shape: readonly Dim[], weights: readonly number[], dtype: "float32" | "float16" = "float32"): Model {
  const graph = new Graph("dense");
  const x = graph.addInput("x", { dtype, shape });
  const w = graph.addInitializer("w", tensorOf(dtype, [2, 2], weights));
  graph.addOutput(graph.node("MatMul", [x, w], { name: "dense" }).output);
  return new Model({ graph });
}

describe("inspect", () => {
  it("describes a file and leaves the model as it was", async () => {
    const model = dense(["N", 2], [1, 2, 3, 4]);
    const path = join(folder, "dense.onnx");
    const bytes = encodeOnnx(model);
    await writeFile(path, bytes);
    const inspection = inspectSchema.parse(await inspectModel(path, { inputShapes: { x: [8, 2] } }));
    expect(inspection).toMatchObject({
      model: { path, bytes: bytes.byteLength, opset: 21 },
      inputs: [{ name: "x", dtype: "float32", shape: [8, 2] }],
      nodes: 1,
      parameters: 4,
      macs: 32,
      peakActivationBytes: 4 * 32,
      opTypes: { MatMul: 1 },
      layers: [{ name: "dense", opType: "MatMul", outputShapes: [[8, 2]], macs: 32, macsShare: 1, parametersShare: 1 }],
      warnings: [],
    });
    const before = encodeOnnx(model);
    const { model: inMemory } = await inspectModel(model);
    expect(inMemory).toMatchObject({ path: null, digest: inspection.model.digest });
    expect(encodeOnnx(model)).toEqual(before);
  });

  it("warns of weights that hold no numbers, infinities or nothing", async () => {
    expect(await codes(dense([1, 2], [1, Number.NaN, 0, 0]))).toEqual(["WEIGHTS_NOT_A_NUMBER"]);
    expect(await codes(dense([1, 2], [1, Number.POSITIVE_INFINITY, 0, 0], "float16"))).toEqual(["WEIGHTS_INFINITE"]);
    expect(await codes(dense([1, 2], [1, Number.NaN, 0, 0], "float16"))).toEqual(["WEIGHTS_NOT_A_NUMBER"]);
    expect(await codes(dense([1, 2], [0, 0, -0, 0]))).toEqual(["WEIGHTS_ALL_ZERO"]);
  });

  it("warns of free extents beside the batch only", async () => {
    expect(await codes(dense(["N", 2], [1, 2, 3, 4]))).toEqual([]);
    expect(await codes(dense(["N", "T", 2], [1, 2, 3, 4]))).toEqual(["DYNAMIC_DIMS"]);
    const fixed = await inspectModel(dense(["N", "T", 2], [1, 2, 3, 4]), { inputShapes: { x: ["N", 7, 2] } });
    expect(fixed.warnings).toEqual([]);
  });

  it("says what it does not know, and what is not used, instead of failing", async () => {
    const model = dense([1, 2], [1, 2, 3, 4]);
    model.graph.addInitializer("left over", float32Tensor([1], [1]));
    model.graph.node("Relu", [model.graph.inputs[0]]);
    model.graph.addOutput(model.graph.node("Mystery", [model.graph.outputs[0]], { domain: "com.example" }).output);
    model.opsets.set("com.example", 1);
    const { warnings, layers } = await inspectModel(model);
    expect(warnings.map(({ code }) => code)).toEqual([
      "UNKNOWN_OPS",
      "UNKNOWN_SHAPES",
      "UNKNOWN_COSTS",
      "UNUSED_INITIALIZERS",
      "UNUSED_NODES",
    ]);
    expect(layers.at(-1)).toMatchObject({ opType: "com.example.Mystery", outputShapes: [null], macs: 0 });
  });

  it("goes on behind a node that breaks its op's rules", async () => {
    expect(await codes(dense([1, 3], [1, 2, 3, 4]))).toContain("INVALID");
  });
});

describe.skipIf(noRealData)("inspect on real models", () => {
  // MobileNetV2 (table 4 of its paper: 300 M), SqueezeNet 1.1 (0.35 G by its authors), MLPerf Tiny's ResNet-8 and person detection
  it.each([
    ["mobilenetv2-1.0-224", 300e6],
    ["squeezenet1.1-224", 350e6],
    ["resnet8-cifar10-mlperf", 12.5e6],
    ["vww-mobilenetv1-0.25-96", 7.5e6],
  ] as const)("%s has the published MACs within 1 %%", async (name, published) => {
    const { macs, warnings } = await inspectModel(realModel(name));
    expect(Math.abs(macs / published - 1)).toBeLessThan(0.01);
    expect(warnings.filter(({ code }) => code.startsWith("UNKNOWN") || code === "INVALID")).toEqual([]);
  });
});
