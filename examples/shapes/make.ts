// Makes data/ and model.onnx anew: npx tsx examples/shapes/make.ts  (about a minute; needs `npm ci`, which builds the library)
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { saveModel } from "edgewright/runtime";
import sharp from "sharp";
import { classNames, draw, imageSize } from "./draw.ts";
import { differenceFilters, type Maps } from "./filters.ts";
import { type Block, classifier, featuresModel, mapsModel, momentsModel, runOn, toInput } from "./network.ts";
import { seeded } from "./random.ts";
import { fitReadout } from "./ridge.ts";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Pictures in data/, which no step of the fitting sees: seeds from 0. Those for fitting have seeds from 100 000. */
export const picturesPerClass = 60;
const fittingSeed = 100_000;
const fittingPerClass = 600;
/** Patches and statistics come from a part of them. */
const samplePictures = 1500;

interface BlockPlan {
  readonly filters: number;
  readonly side: number;
  readonly shift: number;
}
const plan: readonly BlockPlan[] = [
  { filters: 32, side: 5, shift: -0.2 },
  { filters: 96, side: 5, shift: -0.5 },
  { filters: 192, side: 3, shift: -1 },
];

const pictureName = (seed: number): string => `${String(seed).padStart(3, "0")}.png`;

async function writeData(): Promise<void> {
  await rm(join(here, "data"), { recursive: true, force: true });
  for (const name of classNames) {
    await mkdir(join(here, "data", name), { recursive: true });
    for (let seed = 0; seed < picturesPerClass; seed++)
      await sharp(draw(name, seed), { raw: { width: imageSize, height: imageSize, channels: 3 } })
        .png({ compressionLevel: 9 })
        .toFile(join(here, "data", name, pictureName(seed)));
  }
}

/** Pictures for fitting, class after class in turn, so that any beginning is balanced. */
export function fittingPictures(count: number): { pictures: Uint8Array[]; labels: number[] } {
  const labels = Array.from({ length: count }, (_, i) => i % classNames.length);
  const pictures = labels.map((label, i) => draw(classNames[label] as string, fittingSeed + Math.floor(i / classNames.length)));
  return { pictures, labels };
}

async function mapsAfter(blocks: readonly Block[], pictures: readonly Uint8Array[]): Promise<Maps> {
  const previous = blocks.at(-1);
  if (!previous) return { channels: 3, side: imageSize, pictures: pictures.map((picture) => toInput([picture])) };
  const channels = previous.shape[0];
  const side = imageSize / 2 ** blocks.length;
  const size = channels * side * side;
  const maps: Float32Array[] = [];
  await runOn(mapsModel(blocks), pictures, (output) => {
    for (let start = 0; start < output.length; start += size) maps.push(output.slice(start, start + size));
  });
  return { channels, side, pictures: maps };
}

/** The filters of the next block, from what the blocks before it show of the pictures. */
export async function chooseFilters(
  blocks: readonly Block[],
  { filters, side }: BlockPlan,
  pictures: readonly Uint8Array[],
): Promise<Pick<Block, "shape" | "filters">> {
  const maps = await mapsAfter(blocks, pictures);
  const random = seeded(7 + blocks.length);
  const weights = differenceFilters(maps, filters, side, random, blocks.length === 0);
  return { shape: [filters, maps.channels, side, side], filters: weights };
}

async function fitBlock(blocks: readonly Block[], step: BlockPlan, pictures: readonly Uint8Array[]): Promise<Block> {
  const chosen = await chooseFilters(blocks, step, pictures);
  const moments = new Float64Array(2 * step.filters);
  let batches = 0;
  await runOn(momentsModel(blocks, chosen), pictures, (output) => {
    output.forEach((value, i) => {
      moments[i] = (moments[i] as number) + value;
    });
    batches++;
  });
  const mean = Float32Array.from(moments.subarray(0, step.filters), (sum) => sum / batches);
  const variance = mean.map((m, i) => (moments[step.filters + i] as number) / batches - m * m);
  return { ...chosen, mean, variance, shift: step.shift };
}

async function fitModel(): Promise<void> {
  const { pictures, labels } = fittingPictures(fittingPerClass * classNames.length);
  const blocks: Block[] = [];
  for (const step of plan) blocks.push(await fitBlock(blocks, step, pictures.slice(0, samplePictures)));
  const width = 2 * (plan.at(-1) as BlockPlan).filters;
  const features = new Float32Array(pictures.length * width);
  await runOn(featuresModel(blocks), pictures, (output, first) => features.set(output, first * width));
  const readout = fitReadout(features, labels, classNames.length, 1e-3, 12);
  const { bytes } = await saveModel(classifier(blocks, readout, classNames), join(here, "model.onnx"));
  console.log(`model.onnx: ${bytes} bytes, fitted to ${pictures.length} drawn pictures`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeData();
  await fitModel();
}
