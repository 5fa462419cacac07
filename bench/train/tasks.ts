/** Data and settings of the accuracy benches, from the shared folder of real data. */
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrainConfigInput } from "../../src/recipes/train/config.ts";
import { realData } from "../../test/real-data.ts";

/** A folder with one part of Fashion-MNIST: the data folder holds both, and adapters read a folder whole. */
function part(name: "train" | "test5k"): string {
  const folder = join(tmpdir(), `edgewright-fashion-${name}-${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const prefix = name === "train" ? "train" : "test5k-first";
  for (const kind of ["images-idx3", "labels-idx1"]) {
    const file = `${prefix}-${kind}-ubyte.gz`;
    symlinkSync(realData(`fashion-mnist/${file}`), join(folder, file));
  }
  return folder;
}

let folders: { train: string; test: string } | undefined;
export function fashionFolders(): { train: string; test: string } {
  folders ??= { train: part("train"), test: part("test5k") };
  return folders;
}
export function removeFolders(): void {
  for (const folder of Object.values(folders ?? {})) rmSync(folder, { recursive: true, force: true });
}

/** The small CNN of 54,778 parameters, 3 epochs. */
export const fashion = (more: Partial<TrainConfigInput> = {}): TrainConfigInput => ({
  model: { architecture: "cnn" },
  data: fashionFolders().train,
  validation: fashionFolders().test,
  preprocess: "fashion-mnist",
  epochs: 3,
  batch: 64,
  optimizer: { name: "sgd", momentum: 0.9, nesterov: true, learningRate: 0.05, weightDecay: 5e-4 },
  schedule: { name: "one-cycle", peakAt: 0.2 },
  losses: [{ name: "softmax-cross-entropy", labelSmoothing: 0.05 }],
  average: 0.997,
  augment: [{ name: "horizontal-flip" }],
  ...more,
});

/** ResNet-20 from the given model, fine-tuned on 5,000 pictures. */
export const cifar = (more: Partial<TrainConfigInput> = {}): TrainConfigInput => ({
  model: realData("models/resnet20-cifar10.onnx"),
  data: realData("cifar10/train_5000.bin.gz"),
  validation: realData("cifar10/test_2000.bin.gz"),
  preprocess: "cifar-imagenet-stats",
  epochs: 2,
  batch: 50,
  optimizer: { name: "adam", learningRate: 2e-4 },
  augment: [{ name: "horizontal-flip" }, { name: "random-crop", padding: 4 }],
  ...more,
});
