import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { classNames, draw } from "../../examples/shapes/draw.ts";
import { picturesPerClass } from "../../examples/shapes/make.ts";
import { float32Tensor, type Model, toFloat32 } from "../../src/ir/index.ts";
import { loadModel } from "../../src/runtime/model-file.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";

const example = fileURLToPath(new URL("../../examples/shapes/", import.meta.url));
const side = 48;
const pixels = async (className: string, file: string) =>
  new Uint8Array(
    await sharp(join(example, "data", className, file))
      .raw()
      .toBuffer(),
  );

/** Interleaved RGB bytes to planes of numbers in -1..1, the preset "symmetric". */
function toInput(pictures: readonly Uint8Array[]): Float32Array {
  const area = side * side;
  const input = new Float32Array(pictures.length * 3 * area);
  pictures.forEach((picture, n) => {
    for (let i = 0; i < area; i++)
      for (let channel = 0; channel < 3; channel++)
        input[(n * 3 + channel) * area + i] = (picture[i * 3 + channel] as number) / 127.5 - 1;
  });
  return input;
}

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

  it("classifies the pictures, none of which it was trained on", async () => {
    expect(model.metadata.get("classes")).toBe(classNames.join(" "));
    const session = await ortNode.load(join(example, "model.onnx"), { threads: 2 });
    let right = 0;
    for (const [index, name] of classNames.entries()) {
      const pictures = await Promise.all(readdirSync(join(example, "data", name)).map((file) => pixels(name, file)));
      const { logits } = await session.run({ image: float32Tensor([pictures.length, 3, side, side], toInput(pictures)) });
      const scores = toFloat32(logits as never);
      for (let i = 0; i < pictures.length; i++) {
        const row = scores.subarray(i * classNames.length, (i + 1) * classNames.length);
        if (row.indexOf(Math.max(...row)) === index) right++;
      }
    }
    await session.release();
    expect(right / (classNames.length * picturesPerClass)).toBeGreaterThan(0.95);
  });
});
