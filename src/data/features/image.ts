import type { Box, Target } from "../../ir/index.ts";
import type { Pixels, RawSample } from "../define.ts";
import { decodeImage } from "../image.ts";
import { type ImageConverter, imageConverter } from "../image-tensor.ts";
import { type ImagePreprocess, imagePreprocessSchema } from "../preprocess.ts";
import type { FeatureKind, ModelInput } from "./define.ts";

const defaults: ImagePreprocess = imagePreprocessSchema.parse({});

const inPixels = (boxes: readonly Box[], width: number, height: number): readonly Box[] =>
  boxes.map((box) => ({
    classIndex: box.classIndex,
    x: box.x * width,
    y: box.y * height,
    width: box.width * width,
    height: box.height * height,
  }));

/** Boxes in pixels; the target picture of a pair; or, when the input is made by downscaling, the picture before it. */
async function targetOf(
  sample: RawSample,
  pixels: Pixels,
  converter: ImageConverter,
  downscaled: boolean,
): Promise<Target | undefined> {
  const { label } = sample;
  if (label?.kind === "boxes")
    return { kind: "boxes", boxes: label.relative ? inPixels(label.boxes, pixels.width, pixels.height) : label.boxes };
  if (label?.kind === "image") return { kind: "tensor", tensor: converter.plain(await decodeImage(label.image, sample.origin)) };
  return downscaled && label === undefined ? { kind: "tensor", tensor: converter.plain(pixels) } : undefined;
}

/** Pictures: decode, then resize, crop or letterbox, colours, scale, layout. */
export const imageFeature: FeatureKind = {
  names: (feature) => [feature.name],
  prepare(feature, bound, preprocess) {
    const input = bound.get(feature.name) as ModelInput;
    const spec = preprocess.image ?? defaults;
    const converter = imageConverter(spec, input);
    return async (sample) => {
      const pixels = await decodeImage(sample.image as NonNullable<RawSample["image"]>, sample.origin);
      const { tensor, geometry } = await converter.convert(pixels, sample.origin);
      const target = await targetOf(sample, pixels, converter, spec.downscale !== undefined);
      return { feeds: { [input.name]: tensor }, geometry, target };
    };
  },
};
