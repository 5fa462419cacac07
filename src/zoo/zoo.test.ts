import { describe, expect, it } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { type Model, type Tensor, tensorOf, verify } from "../ir/index.ts";
import { modelCost } from "../ops/index.ts";
import { inferShapes } from "../ops/infer.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { selectParameters } from "../train/parameters.ts";
import { architectures, buildModel } from "./index.ts";

const parameterCount = (model: Model): number =>
  selectParameters(model.graph, model.opsets, {}).reduce((sum, value) => sum + (value.constant as Tensor).size, 0);

/** As papers count: batch normalization is not counted, it folds into the convolutions. */
const macCount = (model: Model): number => {
  const { nodes } = modelCost(model);
  return [...nodes].reduce((sum, [node, { macs }]) => sum + (node.opType === "BatchNormalization" ? 0 : macs), 0);
};

const batchOf = (model: Model, batch: number): Record<string, Tensor> =>
  Object.fromEntries(
    model.graph.inputs.map(({ name, type }) => {
      const shape = [batch, ...((type?.shape ?? []).slice(1) as number[])];
      const size = shape.reduce((a, d) => a * d, 1);
      const values = Array.from({ length: size }, (_, i) => (type?.dtype === "int64" ? (i % 50) + 1 : ((i * 37) % 101) / 50 - 1));
      return [name, tensorOf(type?.dtype ?? "float32", shape, values)];
    }),
  );

describe.each(architectures.map((architecture) => [architecture.name, architecture] as const))("%s", (name, architecture) => {
  it("is a valid model that runs on a batch of two", async () => {
    const classified = name !== "gpt";
    const model = buildModel(name, classified ? { classes: 7 } : { vocabulary: 60 });
    verify(model);
    expect(inferShapes(model).unknownOps).toEqual([]);
    const session = await ortNode.load(encodeOnnx(model));
    const { logits } = await session.run(batchOf(model, 2));
    await session.release();
    expect(logits?.shape[0]).toBe(2);
    expect(logits?.shape.at(-1)).toBe(classified ? 7 : 60);
  });

  it.each(architecture.published.map((published) => [JSON.stringify(published.options), published] as const))(
    "has the published size with %s",
    (_, { options, parameters, macs, tolerance }) => {
      const model = buildModel(name, options);
      expect(Math.abs(parameterCount(model) / parameters - 1)).toBeLessThanOrEqual(tolerance.parameters);
      if (macs !== undefined) {
        const found = macCount(model);
        expect(Math.abs(found / macs - 1), `${found} MACs`).toBeLessThanOrEqual(tolerance.macs ?? 0);
      }
    },
  );

  it("begins the same with the same seed only", () => {
    const bytes = (seed: number): Uint8Array => encodeOnnx(buildModel(name, {}, seed));
    expect(Buffer.compare(bytes(1), bytes(1))).toBe(0);
    expect(Buffer.compare(bytes(1), bytes(2))).not.toBe(0);
  });
});

it("names what is wrong", () => {
  expect(() => buildModel("resnet9")).toThrow(/no architecture "resnet9"/);
  expect(() => buildModel("resnet8", { classes: 1 })).toThrow(/classes/);
  expect(() => buildModel("resnet8", { depth: 3 })).toThrow(/resnet8 does not take/);
});
