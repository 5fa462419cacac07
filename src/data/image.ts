import { EdgewrightError } from "../util/errors.ts";
import type { Pixels, RawImage } from "./define.ts";
import { plainBytes } from "./files.ts";

/** Decoded pixels take 3 bytes each; larger pictures are refused instead of filling the memory. */
const maxPixels = 1e8;

export const interpolations = ["nearest", "bilinear", "bicubic", "lanczos3"] as const;
export type Interpolation = (typeof interpolations)[number];
const kernels = { nearest: "nearest", bilinear: "linear", bicubic: "cubic", lanczos3: "lanczos3" } as const;

/** libvips loads on the first image only: text and tables need none. */
let loading: Promise<typeof import("sharp").default> | undefined;
const load = (): Promise<typeof import("sharp").default> => {
  loading ??= import("sharp").then(({ default: sharp }) => {
    // several images are decoded at once already; one thread each, and no cache that grows with the data
    sharp.concurrency(1);
    sharp.cache(false);
    return sharp;
  });
  return loading;
};

/** Pixels of an encoded image, upright (EXIF orientation applied), as 8-bit sRGB without alpha. `origin` names the file in errors. */
export async function decodeImage(image: RawImage, origin: string): Promise<Pixels> {
  if (image.kind === "pixels") return image.pixels;
  const sharp = await load();
  try {
    const { data, info } = await sharp(image.bytes, { limitInputPixels: maxPixels, failOn: "truncated" })
      .autoOrient()
      .flatten({ background: "#000000" })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    return threeChannels({ data, width: info.width, height: info.height }, info.channels);
  } catch (cause) {
    throw new EdgewrightError("DATA_IMAGE", `The image "${origin}" cannot be decoded: ${firstLine(cause)}.`, {
      subject: origin,
      hint: 'Replace or remove the file, or open the data with onCorrupt: "skip" to leave such files out and count them.',
      cause,
    });
  }
}

const firstLine = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]?.replace(/\.$/, "") ?? "";

function threeChannels(decoded: { data: Uint8Array; width: number; height: number }, channels: number): Pixels {
  const image = { ...decoded, data: plainBytes(decoded.data) };
  if (channels === 3) return { ...image, channels: 3 };
  if (channels === 1) return { ...image, channels: 1 };
  // grey with alpha, after flattening, may keep two channels in old files
  const count = image.width * image.height;
  const data = new Uint8Array(count);
  for (let i = 0; i < count; i++) data[i] = image.data[i * channels] as number;
  return { ...image, data, channels: 1 };
}

/** Resizes to exactly `width` x `height`, with antialiasing when it shrinks. The same size gives the same pixels back. */
export async function resizePixels(pixels: Pixels, width: number, height: number, interpolation: Interpolation): Promise<Pixels> {
  if (pixels.width === width && pixels.height === height) return pixels;
  const sharp = await load();
  const raw = { width: pixels.width, height: pixels.height, channels: pixels.channels };
  const kernel = kernels[interpolation];
  // grey goes in and out as one channel: "b-w" keeps libvips from turning it into RGB
  const { data, info } = await sharp(pixels.data, { raw, limitInputPixels: maxPixels })
    .resize(width, height, { fit: "fill", kernel })
    .toColourspace(pixels.channels === 1 ? "b-w" : "srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  return threeChannels({ data, width: info.width, height: info.height }, info.channels);
}

/** Writes pixels as PNG bytes (fixtures, reports). */
export async function encodePng(pixels: Pixels): Promise<Uint8Array> {
  const sharp = await load();
  const raw = { width: pixels.width, height: pixels.height, channels: pixels.channels };
  return plainBytes(await sharp(pixels.data, { raw }).png().toBuffer());
}
