import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { classNames, draw } from "../../examples/shapes/draw.ts";
import { chooseFilters, fittingPictures, picturesPerClass } from "../../examples/shapes/make.ts";
import { toInput } from "../../examples/shapes/network.ts";
import { fitReadout, solveCholesky } from "../../examples/shapes/ridge.ts";
import { float32Tensor, type Model, toFloat32 } from "../../src/ir/index.ts";
import { loadModel } from "../../src/runtime/model-file.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";

const example = fileURLToPath(new URL("../../examples/shapes/", import.meta.url));
const pixels = async (className: string, file: string) =>
  new Uint8Array(
    await sharp(join(example, "data", className, file))
      .raw()
      .toBuffer(),
  );

describe("examples/shapes", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel(join(example, "model.onnx"));
  });

  it("holds the pictures that its script draws", async () => {
    expect(readdirSync(join(example, "data")).sort()).toEqual([...classNames].sort());
    for (const name of classNames) {
      const files = readdirSync(join(example, "data", name)).sort();
      expect(files).toHaveLength(picturesPerClass);
      // every twentieth is enough to see a change of the drawing code
      for (let seed = 0; seed < picturesPerClass; seed += 20)
        expect(await pixels(name, files[seed] as string), `${name} ${seed}`).toEqual(draw(name, seed));
    }
  });

  it("holds the first filters that its script chooses", async () => {
    const { pictures } = fittingPictures(1500);
    const { filters, shape } = await chooseFilters([], { filters: 32, side: 5, shift: -0.2 }, pictures);
    const weight = [...model.graph.initializers].find((value) => value.name === "block1.conv.weight")?.constant;
    expect(weight?.shape).toEqual(shape);
    expect(toFloat32(weight as never)).toEqual(filters);
  });

  it("classifies the pictures, none of which it was fitted to", async () => {
    const session = await ortNode.load(join(example, "model.onnx"), { threads: 2 });
    let right = 0;
    for (const [index, name] of classNames.entries()) {
      const pictures = await Promise.all(readdirSync(join(example, "data", name)).map((file) => pixels(name, file)));
      const { logits } = await session.run({ image: float32Tensor([pictures.length, 3, 48, 48], toInput(pictures)) });
      const scores = toFloat32(logits as never);
      for (let i = 0; i < pictures.length; i++) {
        const row = scores.subarray(i * classNames.length, (i + 1) * classNames.length);
        if (row.indexOf(Math.max(...row)) === index) right++;
      }
    }
    await session.release();
    const accuracy = right / (classNames.length * picturesPerClass);
    // the README shows this number; chance would be 0.1
    expect(accuracy).toBeGreaterThan(0.95);
  });
});

describe("ridge readout", () => {
  it("solves a small system exactly", () => {
    // [[4,2],[2,3]]·[1,2] = [8,8]
    const solution = solveCholesky(Float64Array.of(4, 2, 2, 3), Float64Array.of(8, 8), 2, 1);
    expect(solution[0]).toBeCloseTo(1, 12);
    expect(solution[1]).toBeCloseTo(2, 12);
  });

  it("separates two classes along the feature that tells them apart", () => {
    const features = Float32Array.of(0, 5, 0, 6, 1, 5, 1, 6);
    const { weights, bias } = fitReadout(features, [0, 0, 1, 1], 2, 1e-6, 1);
    const score = (c: number, x: number, y: number) =>
      (weights[c * 2] as number) * x + (weights[c * 2 + 1] as number) * y + (bias[c] as number);
    for (const y of [5, 6]) {
      expect(score(0, 0, y) - score(1, 0, y)).toBeCloseTo(1, 3);
      expect(score(1, 1, y) - score(0, 1, y)).toBeCloseTo(1, 3);
    }
  });
});
