import { z } from "zod";
import { type Outputs, type PreparedSample, type Tensor, toFloat32 } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { defineMetric, meanState, targetOf } from "./define.ts";
import { outputOf } from "./outputs.ts";

const options = z.strictObject({
  output: z.string().optional(),
  /** Largest value minus smallest that a pixel can have: 1, or 255. */
  range: z.number().positive().default(1),
  /** Predictions are first limited to 0…range, as an image file would. */
  clamp: z.boolean().default(true),
  /** Predictions are first rounded to this many levels, e.g. 256; 0: not at all. */
  levels: z.number().int().min(0).default(0),
  /** Pixels left out at every edge (super-resolution papers leave out the factor). */
  border: z.number().int().min(0).default(0),
});
type Options = z.infer<typeof options>;

/** Identical images have no error; they are reported as this many dB, so that means stay finite. */
export const identicalDb = 200;

interface Plane {
  readonly width: number;
  readonly height: number;
  readonly truth: Float32Array;
  readonly image: Float32Array;
}

function displayed(value: number, { range, clamp, levels }: Options): number {
  const limited = clamp ? Math.min(Math.max(value, 0), range) : value;
  return levels > 1 ? (Math.round((limited / range) * (levels - 1)) / (levels - 1)) * range : limited;
}

/** Prediction and truth plane by plane (the two last axes are height and width), edges cut. */
function planesOf(outputs: Outputs, sample: PreparedSample, chosen: Options): Plane[] {
  const prediction = outputOf(outputs, chosen.output);
  const truth = targetOf(sample, "tensor").tensor;
  const [height, width] = imageExtent(prediction, truth, sample);
  const from = toFloat32(prediction);
  const right = toFloat32(truth);
  const { border } = chosen;
  const inner = { width: width - 2 * border, height: height - 2 * border };
  if (inner.width < 1 || inner.height < 1)
    throw new EdgewrightError("IMAGE_BORDER", `A border of ${border} pixels leaves nothing of a ${width}x${height} image.`);
  return Array.from({ length: from.length / (width * height) }, (_, plane) => {
    const cut = (source: Float32Array): Float32Array => {
      const result = new Float32Array(inner.width * inner.height);
      for (let y = 0; y < inner.height; y++) {
        const start = plane * width * height + (y + border) * width + border;
        result.set(source.subarray(start, start + inner.width), y * inner.width);
      }
      return result;
    };
    return { ...inner, truth: cut(right), image: cut(from).map((value) => displayed(value, chosen)) };
  });
}

function imageExtent(prediction: Tensor, truth: Tensor, sample: PreparedSample): [height: number, width: number] {
  const [height, width] = prediction.shape.slice(-2);
  const same = prediction.size === truth.size && truth.shape.at(-1) === width && truth.shape.at(-2) === height;
  if (same && height && width) return [height, width];
  throw new EdgewrightError(
    "IMAGE_SHAPE",
    `The output for "${sample.origin}" has shape [${prediction.shape}], but the true image has [${truth.shape}].`,
    { subject: sample.origin },
  );
}

/** Peak signal-to-noise ratio, 10·log10(range² / mean squared error), averaged over the images. */
export const psnr = defineMetric<Options>({
  name: "psnr",
  summary: "peak signal-to-noise ratio against the true image",
  unit: "dB",
  better: "higher",
  needs: ["tensor"],
  options,
  start: (chosen) =>
    meanState((outputs, sample) => {
      let sum = 0;
      let count = 0;
      for (const { truth, image } of planesOf(outputs, sample, chosen)) {
        for (let i = 0; i < truth.length; i++) sum += ((image[i] as number) - (truth[i] as number)) ** 2;
        count += truth.length;
      }
      return sum === 0 ? identicalDb : 10 * Math.log10((chosen.range * chosen.range * count) / sum);
    }),
});

const windowSize = 11;
/** Gaussian window of SSIM: 11 taps, σ = 1.5, sum 1. */
const window1d = ((): Float64Array => {
  const taps = Float64Array.from({ length: windowSize }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 * 1.5)));
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
})();

/** Both passes of the separable window, where it fits wholly inside. */
function blur(source: (index: number) => number, width: number, height: number): Float64Array {
  const outWidth = width - windowSize + 1;
  const outHeight = height - windowSize + 1;
  const rows = new Float64Array(outWidth * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < windowSize; k++) sum += (window1d[k] as number) * source(y * width + x + k);
      rows[y * outWidth + x] = sum;
    }
  const result = new Float64Array(outWidth * outHeight);
  for (let y = 0; y < outHeight; y++)
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < windowSize; k++) sum += (window1d[k] as number) * (rows[(y + k) * outWidth + x] as number);
      result[y * outWidth + x] = sum;
    }
  return result;
}

function ssimOfPlane({ width, height, truth, image }: Plane, range: number): number {
  if (width < windowSize || height < windowSize)
    throw new EdgewrightError("IMAGE_SMALL", `SSIM needs images of at least ${windowSize} pixels, not ${width}x${height}.`);
  const a = (i: number): number => image[i] as number;
  const b = (i: number): number => truth[i] as number;
  const meanA = blur(a, width, height);
  const meanB = blur(b, width, height);
  const squareA = blur((i) => a(i) * a(i), width, height);
  const squareB = blur((i) => b(i) * b(i), width, height);
  const product = blur((i) => a(i) * b(i), width, height);
  const c1 = (0.01 * range) ** 2;
  const c2 = (0.03 * range) ** 2;
  let sum = 0;
  for (let i = 0; i < meanA.length; i++) {
    const ma = meanA[i] as number;
    const mb = meanB[i] as number;
    const variance = (squareA[i] as number) - ma * ma + (squareB[i] as number) - mb * mb;
    const covariance = (product[i] as number) - ma * mb;
    sum += ((2 * ma * mb + c1) * (2 * covariance + c2)) / ((ma * ma + mb * mb + c1) * (variance + c2));
  }
  return sum / meanA.length;
}

/** Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004): 11x11 Gaussian window, K1 = 0.01, K2 = 0.03, mean over planes. */
export const ssim = defineMetric<Options>({
  name: "ssim",
  summary: "structural similarity to the true image, 1 when identical",
  unit: "",
  better: "higher",
  needs: ["tensor"],
  options,
  start: (chosen) =>
    meanState((outputs, sample) => {
      const planes = planesOf(outputs, sample, chosen);
      return planes.reduce((sum, plane) => sum + ssimOfPlane(plane, chosen.range), 0) / planes.length;
    }),
});
