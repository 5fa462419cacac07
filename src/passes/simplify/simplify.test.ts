import { describe, expect, test } from "vitest";
import { noRealData, realModel, realModels } from "../../../test/real-data.ts";
import { type AnyPass, applyPass, opTypes } from "../../../test/suites/pass.ts";
import { randomModel } from "../../../test/suites/random-graph.ts";
import { encodeOnnx } from "../../formats/index.ts";
import { parseModel } from "../../ir/parse.ts";
import { checkEqual } from "../../measure/check-equal.ts";
import { loadModel } from "../../runtime/model-file.ts";
import { simplify } from "./index.ts";

const pass = simplify as unknown as AnyPass;

/**
 * A dozen random layers without normalization between them can lose a digit or two by cancellation; float32 has seven. A wrong
 * rewrite shows at 1e-2 and above.
 */
const randomTolerance = 1e-4;

describe("on random graphs", () => {
  test.each(Array.from({ length: 40 }, (_, i) => i + 1))("seed %i: legal, equal and not larger", async (seed) => {
    const original = randomModel(seed, 14);
    const model = original.clone();
    await applyPass(pass, model);
    expect(model.graph.nodeCount).toBeLessThanOrEqual(original.graph.nodeCount);
    const { maxRelative } = await checkEqual(encodeOnnx(original), encodeOnnx(model), { tolerance: randomTolerance });
    expect(maxRelative, opTypes(original)).toBeLessThanOrEqual(randomTolerance);
    // a fixpoint: another run finds nothing
    const nodes = model.graph.nodeCount;
    const revision = model.graph.revision;
    await applyPass(pass, model);
    expect(model.graph.nodeCount).toBe(nodes);
    expect(model.graph.revision).toBe(revision);
  });
});

/** Nodes that onnxslim 0.1.98 leaves (bench/simplify measures both): we may not leave more. */
const onnxslimNodes = {
  "gpt-nano-sort": 165,
  "mnist-cntk": 8,
  "mobilenetv2-1.0-224": 100,
  "nsnet2-20ms": 17,
  "proxyless-w0.25-r112": 118,
  "resnet20-cifar10": 54,
  "resnet8-cifar10-mlperf": 23,
  "squeezenet1.1-224": 65,
  "sst2-transformer": 123,
  "super-resolution-x3-224": 8,
  "ultraface-320": 125,
  "vww-mobilenetv1-0.25-96": 58,
  "yolox-nano-416": 365,
} as const;

describe.skipIf(noRealData)("on real models", () => {
  test.each(realModels)("%s: equal outputs, no more nodes than onnxslim leaves", async (name) => {
    const model = await loadModel(realModel(name));
    await applyPass(pass, model);
    expect(model.graph.nodeCount).toBeLessThanOrEqual(onnxslimNodes[name]);
    const report = await checkEqual(realModel(name), encodeOnnx(model));
    // 100 layers of float32 in another order: measured below 1e-6 on all of them
    expect(report.maxRelative).toBeLessThanOrEqual(1e-5);
    expect(report.runs).toBe(2);
  });
});

describe("parameters", () => {
  const text = "g (float[2] x) => (float[2] y) { t = Identity (x) y = Relu (t) }";

  test("skip leaves a rule out", async () => {
    const model = parseModel(text);
    await applyPass(pass, model, { skip: ["eliminate-identity"] });
    expect(opTypes(model)).toBe("Identity Relu");
  });

  test("skip names the rules when it does not know one", async () => {
    await expect(applyPass(pass, parseModel(text), { skip: ["eliminate-everything"] })).rejects.toMatchObject({
      code: "SIMPLIFY_RULE",
      hint: expect.stringContaining("eliminate-identity"),
    });
  });

  test("a shape for an input that is not there", async () => {
    await expect(applyPass(pass, parseModel(text), { inputShapes: { z: [2] } })).rejects.toMatchObject({
      code: "INPUT_UNKNOWN",
    });
  });
});
