import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { constantText } from "../../test/suites/pass.ts";
import { quantizeText, randomSamples, row } from "../../test/suites/quantize.ts";
import { encodeOnnx, readOnnx } from "../formats/onnx/index.ts";
import { type Model, type PreparedSample, Tensor } from "../ir/index.ts";
import { nodeKey, planQuantization } from "../passes/quantize/plan.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { loadWithoutVnni, saturatingNodes, simulateWithoutVnni } from "./saturation.ts";

/** What onnxruntime gave under emulation of a processor without VNNI (conformance/saturation). */
const { networks } = JSON.parse(readFileSync(new URL("../../test/fixtures/saturation-avx2.json", import.meta.url), "utf8"));
const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));
const [{ model: encoded, x, y }] = networks as [{ model: string; x: string; y: string }];
const feeds = { x: new Tensor("float32", [1, 3, 5, 5], bytes(x)) };
const sample: PreparedSample = { id: "1", origin: "fixture", feeds, target: undefined, geometry: {} };

describe("a network without VNNI", () => {
  let model: Model;
  beforeAll(() => {
    model = readOnnx(bytes(encoded));
  });

  test("gives what onnxruntime gives under emulation, bit by bit", async () => {
    const { outputs, layers } = await simulateWithoutVnni(model, [sample], { executor: ortNode });
    expect(Buffer.from(outputs[0]?.head_y?.bytes() ?? []).equals(bytes(y))).toBe(true);
    expect(layers.map(({ node }) => node)).toEqual(["first", "second", "head"]);
    for (const { share, noise, maxLoss } of layers) {
      expect(share).toBeGreaterThan(0);
      expect(share).toBeLessThan(0.5);
      expect(noise).toBeGreaterThan(0);
      expect(maxLoss).toBeGreaterThan(0);
      expect(maxLoss).toBeLessThanOrEqual(1);
    }
  });

  test("the session looks like any other", async () => {
    const session = await loadWithoutVnni(model, { executor: ortNode });
    expect(session.inputs).toEqual([{ name: "x", type: { dtype: "float32", shape: [1, 3, 5, 5] } }]);
    expect(session.outputNames).toEqual(["head_y"]);
    expect(Object.keys(await session.run(feeds, ["head_y"]))).toEqual(["head_y"]);
    await session.release();
  });

  test("names the layers whose noise matters, worst first", async () => {
    const all = await saturatingNodes(model, [sample], { executor: ortNode });
    expect(all.length).toBe(3);
    expect(all.map(({ noise }) => noise)).toEqual(all.map(({ noise }) => noise).sort((a, b) => b - a));
    expect(await saturatingNodes(model, [sample], { executor: ortNode, leastNoise: 1 })).toEqual([]);
  });

  test("nodes go by the names that they have in the float model", async () => {
    const { float, model: quantized } = await quantizeText(`<ir_version: 10, opset_import: ["" : 21]>
g (float[1,4,2,2] x) => (float[1,4,2,2] y) <${constantText("w", [4, 4, 1, 1])}, ${constantText("v", [4, 4, 1, 1])}>
{ a = Conv (x, w) [named] b = Conv (a, v) y = Conv (b, w) }`);
    const keys = [...planQuantization(float, row).nodes.keys()].map(nodeKey);
    const { layers } = await simulateWithoutVnni(quantized, randomSamples(float, 1), { executor: ortNode, everyLayer: true });
    expect(layers.map(({ node }) => node)).toEqual(keys);
  });

  test("with small weights nothing saturates, and every layer computed here is what the runtime computes", async () => {
    for (const value of model.graph.initializers) {
      if (value.constant?.dtype !== "int8" || value.constant.shape.length < 2) continue;
      const halved = Int8Array.from(value.constant.bytes(), (byte) => ((byte << 24) >> 24) / 2);
      model.graph.setConstant(value, new Tensor("int8", value.constant.shape, new Uint8Array(halved.buffer)));
    }
    const native = await ortNode.load(encodeOnnx(model));
    const expected = await native.run(feeds);
    await native.release();
    const ours = await simulateWithoutVnni(model, [sample], { executor: ortNode, everyLayer: true });
    expect(ours.layers.map(({ share }) => share)).toEqual([0, 0, 0]);
    expect(ours.outputs[0]?.head_y?.bytes()).toEqual(expected.head_y?.bytes());
  });
});
