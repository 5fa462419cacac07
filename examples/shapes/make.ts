// Makes data/ and model.onnx anew: npx tsx examples/shapes/make.ts  (two minutes; needs `npm ci`, which builds the library)
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load, save, train } from "edgewright";
import sharp from "sharp";
import { classNames, draw, imageSize } from "./draw.ts";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Pictures in data/, which training never sees: seeds from 0. Those for training have seeds from 100 000. */
export const picturesPerClass = 60;
const trainingSeed = 100_000;
const trainingPerClass = 400;

const pictureName = (seed: number): string => `${String(seed).padStart(3, "0")}.png`;

/** Draws pictures of every class into a folder, one folder a class. */
async function writePictures(folder: string, first: number, count: number): Promise<void> {
  for (const name of classNames) {
    await mkdir(join(folder, name), { recursive: true });
    for (let seed = first; seed < first + count; seed++)
      await sharp(draw(name, seed), { raw: { width: imageSize, height: imageSize, channels: 3 } })
        .png({ compressionLevel: 9 })
        .toFile(join(folder, name, pictureName(seed)));
  }
}

/** Three convolutions with batch normalization, trained from nothing; a tenth of the training pictures decides which epoch is kept. */
async function trainModel(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "edgewright-shapes-"));
  try {
    await writePictures(join(folder, "training"), trainingSeed, trainingPerClass);
    const { best } = await train({
      model: { architecture: "cnn", classes: classNames.length, channels: 3, resolution: imageSize, width: 2 },
      data: join(folder, "training"),
      validation: 0.1,
      preprocess: "symmetric",
      epochs: 8,
      batch: 32,
      threads: 2,
      optimizer: { name: "sgd", momentum: 0.9, nesterov: true, learningRate: 0.02, weightDecay: 5e-4 },
      schedule: { name: "one-cycle" },
      augment: [{ name: "horizontal-flip" }, { name: "random-crop", padding: 4 }],
      output: join(folder, "out"),
    });
    const model = await load(join(folder, "out", "model.onnx"));
    model.producerName = "edgewright examples/shapes";
    model.metadata.set("classes", classNames.join(" "));
    const { bytes } = await save(model, join(here, "model.onnx"));
    console.log(`model.onnx: ${bytes} bytes, ${best?.value.toFixed(1)} % of held-out training pictures right`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await rm(join(here, "data"), { recursive: true, force: true });
  await writePictures(join(here, "data"), 0, picturesPerClass);
  await trainModel();
}
