import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = process.env.EDGEWRIGHT_DATA ?? resolve(fileURLToPath(new URL("../../shared/data", import.meta.url)));

/** Path of a real model or data set kept outside the repository. */
export const realData = (...parts: string[]): string => resolve(root, ...parts);

/** Suites on real data run where the data is: `describe.skipIf(noRealData)`. CI must have it, so there they fail instead of skipping. */
export const noRealData = !existsSync(root) && process.env.CI !== "true";

export const realModels = [
  "gpt-nano-sort",
  "mnist-cntk",
  "mobilenetv2-1.0-224",
  "nsnet2-20ms",
  "proxyless-w0.25-r112",
  "resnet20-cifar10",
  "resnet8-cifar10-mlperf",
  "squeezenet1.1-224",
  "sst2-transformer",
  "super-resolution-x3-224",
  "ultraface-320",
  "vww-mobilenetv1-0.25-96",
  "yolox-nano-416",
] as const;
export const realModel = (name: (typeof realModels)[number]): string => realData("models", `${name}.onnx`);
