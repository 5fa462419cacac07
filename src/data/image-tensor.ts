import type { Tensor, TensorType } from "../ir/index.ts";
import { fail } from "../util/errors.ts";
import type { Pixels } from "./define.ts";
import { type Interpolation, resizePixels } from "./image.ts";
import { inColor, lookupTables, pixelTensor, typedTable } from "./pixel-values.ts";
import type { ImagePreprocess } from "./preprocess.ts";

/** Where a pixel of the original went: x_input = x * scaleX + offsetX, the same for y. */
export interface ImageGeometry extends Readonly<Record<string, number>> {
  readonly width: number;
  readonly height: number;
  readonly inputWidth: number;
  readonly inputHeight: number;
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

interface Placed {
  readonly pixels: Pixels;
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}
/** [height, width] */
type Size = readonly [number, number];

export interface ImageInput {
  readonly name: string;
  readonly type: TensorType;
}

/** How an image model's input is laid out: "nchw" or "nhwc", and its fixed height and width where it has them. */
export interface ImageInputForm {
  readonly layout: "nchw" | "nhwc";
  readonly channels: number | undefined;
  readonly size: Size | undefined;
}

/** Reads layout, channels and size from an input's shape; undefined when it cannot take an image. */
export function imageInputForm(type: TensorType, layout: ImagePreprocess["layout"] = "auto"): ImageInputForm | undefined {
  const shape = type.shape;
  if (shape?.length !== 4) return undefined;
  const known = shape.map((dim) => (typeof dim === "number" ? dim : undefined));
  const channelLike = (dim: number | undefined): boolean => dim === 1 || dim === 3;
  const chosen = layout !== "auto" ? layout : !channelLike(known[1]) && channelLike(known[3]) ? "nhwc" : "nchw";
  const [channels, height, width] = chosen === "nchw" ? [known[1], known[2], known[3]] : [known[3], known[1], known[2]];
  return { layout: chosen, channels, size: height !== undefined && width !== undefined ? [height, width] : undefined };
}

const round = (value: number): number => Math.max(1, Math.round(value));

async function scaleTo(image: Placed, [height, width]: Size, interpolation: Interpolation): Promise<Placed> {
  const x = width / image.pixels.width;
  const y = height / image.pixels.height;
  return {
    pixels: await resizePixels(image.pixels, width, height, interpolation),
    scaleX: image.scaleX * x,
    scaleY: image.scaleY * y,
    offsetX: image.offsetX * x,
    offsetY: image.offsetY * y,
  };
}

/** Copies a window of the image that starts at (top, left) of it; what lies outside is filled with `pad`. */
function window(image: Placed, [height, width]: Size, top: number, left: number, pad: number): Placed {
  const { pixels } = image;
  if (top === 0 && left === 0 && height === pixels.height && width === pixels.width) return image;
  const { channels } = pixels;
  const data = new Uint8Array(height * width * channels).fill(pad);
  const fromX = Math.max(0, left);
  const toX = Math.min(pixels.width, left + width);
  for (let y = Math.max(0, top); y < Math.min(pixels.height, top + height); y++) {
    const row = pixels.data.subarray((y * pixels.width + fromX) * channels, (y * pixels.width + toX) * channels);
    data.set(row, ((y - top) * width + fromX - left) * channels);
  }
  return {
    ...image,
    pixels: { data, width, height, channels },
    offsetX: image.offsetX - left,
    offsetY: image.offsetY - top,
  };
}

const centred = (image: Placed, size: Size, pad: number): Placed =>
  window(image, size, Math.trunc((image.pixels.height - size[0]) / 2), Math.trunc((image.pixels.width - size[1]) / 2), pad);

function fitScale(pixels: Pixels, [height, width]: Size, fit: "cover" | "contain"): Size {
  const ratios = [height / pixels.height, width / pixels.width] as const;
  const ratio = fit === "cover" ? Math.max(...ratios) : Math.min(...ratios);
  return [round(pixels.height * ratio), round(pixels.width * ratio)];
}

/** The short side becomes `side`; the long side is cut down to a whole number, as torchvision does. */
function shortSideSize({ width, height }: Pixels, side: number): Size {
  const long = Math.max(1, Math.floor((side * Math.max(width, height)) / Math.min(width, height)));
  return width <= height ? [long, side] : [side, long];
}

const channelCount = (spec: ImagePreprocess): 1 | 3 => (spec.color === "rgb" || spec.color === "bgr" ? 3 : 1);

export interface ImageConverter {
  readonly size: Size | undefined;
  /** Pixels → the model's input, batch axis included. */
  convert(pixels: Pixels, origin: string): Promise<{ readonly tensor: Tensor; readonly geometry: ImageGeometry }>;
  /** The same colours and scale without any resizing: what a super-resolution label needs. */
  plain(pixels: Pixels): Tensor;
}

function checkStatistics(spec: ImagePreprocess, channels: number): void {
  for (const key of ["mean", "std"] as const) {
    const value = spec[key];
    if (typeof value !== "number" && value.length !== 1 && value.length !== channels)
      fail("PREPROCESS_INVALID", `image.${key} has ${value.length} values, but ${spec.color} has ${channels} channels.`);
    if (key === "std" && [value].flat().includes(0)) fail("PREPROCESS_INVALID", "image.std must not be 0.");
  }
}

/** Prepares the way from pixels to one model input. Throws when the input cannot take such images at all. */
export function imageConverter(spec: ImagePreprocess, input: ImageInput): ImageConverter {
  const form = imageInputForm(input.type, spec.layout);
  if (!form)
    fail("PREPROCESS_SHAPE", `The model's input "${input.name}" has shape [${input.type.shape ?? "?"}]; an image needs 4 axes.`, {
      hint: "Bind the image to another input with `inputs`, or store the data as tensors (npy, csv).",
    });
  const channels = channelCount(spec);
  if (form.channels !== undefined && form.channels !== channels)
    fail(
      "PREPROCESS_SHAPE",
      `The model's input "${input.name}" has shape [${input.type.shape}], ${form.channels} channels in ${form.layout} layout, but color "${spec.color}" gives ${channels}.`,
      { hint: form.channels === 1 ? 'Set image.color to "gray".' : "Check image.color and image.layout." },
    );
  checkStatistics(spec, channels);
  const resolved = resolveSizes(spec, form, input);
  const tables = lookupTables(spec, channels).map((table) => typedTable(table, input.type.dtype, input.name));
  const plain = (pixels: Pixels): Tensor =>
    pixelTensor(inColor(pixels, channels), spec.color === "bgr", form.layout, input.type.dtype, tables);
  return {
    size: form.size,
    plain,
    async convert(pixels, origin) {
      const start: Placed = { pixels: inColor(pixels, channels), scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 };
      const placed = await place(start, spec, resolved, origin);
      checkSize(placed.pixels, form, input, origin);
      const { scaleX, scaleY, offsetX, offsetY } = placed;
      const { width: inputWidth, height: inputHeight } = placed.pixels;
      const geometry = { width: pixels.width, height: pixels.height, inputWidth, inputHeight, scaleX, scaleY, offsetX, offsetY };
      return { tensor: plain(placed.pixels), geometry };
    },
  };
}

interface ResolvedSizes {
  readonly resize: Size | undefined;
  readonly shortSide: number | undefined;
  readonly crop: Size | undefined;
  readonly letterbox: Size | undefined;
}

function resolveSizes(spec: ImagePreprocess, form: ImageInputForm, input: ImageInput): ResolvedSizes {
  const own = (): Size =>
    form.size ??
    fail("PREPROCESS_SHAPE", `The model's input "${input.name}" has shape [${input.type.shape}]: it fixes no height and width.`, {
      hint: "Give the size as numbers, e.g. image.resize.size: [224, 224] (and image.crop, image.letterbox.size where used).",
    });
  const sized = (value: number | readonly [number, number] | "input" | undefined): Size | undefined =>
    value === undefined ? undefined : value === "input" ? own() : typeof value === "number" ? [value, value] : value;
  const short = spec.resize?.shortSide;
  return {
    resize: sized(spec.resize?.size),
    shortSide: typeof short === "object" ? round(Math.min(...own()) * short.timesInput) : short,
    crop: sized(spec.crop),
    letterbox: sized(spec.letterbox?.size),
  };
}

async function place(start: Placed, spec: ImagePreprocess, sizes: ResolvedSizes, origin: string): Promise<Placed> {
  let image = start;
  if (spec.downscale) image = await downscaled(image, spec.downscale, origin);
  const { resize } = spec;
  if (resize && sizes.shortSide !== undefined)
    image = await scaleTo(image, shortSideSize(image.pixels, sizes.shortSide), resize.interpolation);
  else if (resize && sizes.resize && resize.fit === "stretch") image = await scaleTo(image, sizes.resize, resize.interpolation);
  else if (resize && sizes.resize && resize.fit !== "stretch") {
    image = await scaleTo(image, fitScale(image.pixels, sizes.resize, resize.fit), resize.interpolation);
    image = centred(image, sizes.resize, resize.pad);
  }
  if (sizes.crop) image = cropped(image, sizes.crop, origin);
  if (spec.letterbox && sizes.letterbox) {
    image = await scaleTo(image, fitScale(image.pixels, sizes.letterbox, "contain"), spec.letterbox.interpolation);
    const { pad, position } = spec.letterbox;
    image = position === "center" ? centred(image, sizes.letterbox, pad) : window(image, sizes.letterbox, 0, 0, pad);
  }
  return image;
}

function cropped(image: Placed, size: Size, origin: string): Placed {
  const { width, height } = image.pixels;
  if (width < size[1] || height < size[0])
    fail(
      "PREPROCESS_SIZE",
      `"${origin}" is ${width}x${height} (width x height), too small for a crop of ${size[1]}x${size[0]}.`,
      {
        subject: origin,
        hint: "Set image.resize (shortSide, or size) before the crop.",
      },
    );
  return centred(image, size, 0);
}

async function downscaled(image: Placed, downscale: NonNullable<ImagePreprocess["downscale"]>, origin: string): Promise<Placed> {
  const { width, height } = image.pixels;
  const { factor } = downscale;
  if (width % factor !== 0 || height % factor !== 0)
    fail("PREPROCESS_SIZE", `"${origin}" is ${width}x${height}, which ${factor} does not divide.`, {
      subject: origin,
      hint: "Crop the images to a multiple of image.downscale.factor.",
    });
  return scaleTo(image, [height / factor, width / factor], downscale.interpolation);
}

function checkSize(pixels: Pixels, form: ImageInputForm, input: ImageInput, origin: string): void {
  if (!form.size || (form.size[0] === pixels.height && form.size[1] === pixels.width)) return;
  fail(
    "PREPROCESS_SIZE",
    `"${origin}" is ${pixels.width}x${pixels.height} (width x height) after preprocessing, but the model's input "${input.name}" needs ${form.size[1]}x${form.size[0]}.`,
    {
      subject: origin,
      hint: 'Set image.resize.size to "input" to stretch, or use image.letterbox, or shortSide with crop: "input".',
    },
  );
}
