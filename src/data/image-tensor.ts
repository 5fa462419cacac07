import { type DataType, fromTypedArray, numberToFloat16, type Tensor, type TensorType } from "../ir/index.ts";
import { fail } from "../util/errors.ts";
import type { Pixels } from "./define.ts";
import { type Interpolation, resizePixels } from "./image.ts";
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
  window(image, size, Math.floor((image.pixels.height - size[0]) / 2), Math.floor((image.pixels.width - size[1]) / 2), pad);

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

function toGray(pixels: Pixels): Pixels {
  if (pixels.channels === 1) return pixels;
  const count = pixels.width * pixels.height;
  const data = new Uint8Array(count);
  for (let i = 0, at = 0; i < count; i++, at += 3)
    data[i] = Math.round(
      0.299 * (pixels.data[at] as number) + 0.587 * (pixels.data[at + 1] as number) + 0.114 * (pixels.data[at + 2] as number),
    );
  return { ...pixels, data, channels: 1 };
}

const channelCount = (spec: ImagePreprocess): 1 | 3 => (spec.color === "rgb" || spec.color === "bgr" ? 3 : 1);

/** The 256 values that a pixel's byte can become, for each channel. */
function lookupTables(spec: ImagePreprocess, channels: number): readonly Float64Array[] {
  const at = (value: number | readonly number[], channel: number): number =>
    typeof value === "number" ? value : ((value.length === 1 ? value[0] : value[channel]) as number);
  return Array.from({ length: channels }, (_, channel) =>
    Float64Array.from({ length: 256 }, (_, byte) => (byte * spec.scale - at(spec.mean, channel)) / at(spec.std, channel)),
  );
}

const integerRange: Partial<Record<DataType, readonly [number, number]>> = { uint8: [0, 255], int8: [-128, 127] };

/** A lookup table in the input's own element type. */
function typedTable(
  table: Float64Array,
  dtype: DataType,
  input: string,
): Float32Array | Uint8Array | Int8Array | Uint16Array | Int32Array {
  const range = integerRange[dtype];
  const clamped = range ? table.map((value) => Math.min(range[1], Math.max(range[0], Math.round(value)))) : table;
  if (dtype === "float32") return Float32Array.from(clamped);
  if (dtype === "float16") return Uint16Array.from(clamped, numberToFloat16);
  if (dtype === "uint8") return Uint8Array.from(clamped);
  if (dtype === "int8") return Int8Array.from(clamped);
  if (dtype === "int32") return Int32Array.from(clamped, Math.round);
  return fail("PREPROCESS_DTYPE", `The model's input "${input}" takes ${dtype}, which images cannot be turned into.`, {
    hint: "Images become float32, float16, uint8, int8 or int32.",
  });
}

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
    toTensor(inColor(pixels, channels), spec.color === "bgr", form.layout, input.type.dtype, tables);
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

function inColor(pixels: Pixels, channels: 1 | 3): Pixels {
  if (channels === 1) return toGray(pixels);
  if (pixels.channels === 3) return pixels;
  const data = new Uint8Array(pixels.data.length * 3);
  for (let i = 0; i < pixels.data.length; i++) data.fill(pixels.data[i] as number, i * 3, i * 3 + 3);
  return { ...pixels, data, channels: 3 };
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

function toTensor(
  pixels: Pixels,
  reversed: boolean,
  layout: "nchw" | "nhwc",
  dtype: DataType,
  tables: readonly ReturnType<typeof typedTable>[],
): Tensor {
  const { data, width, height, channels } = pixels;
  const count = width * height;
  const ArrayType = (tables[0] as Float32Array).constructor as Float32ArrayConstructor;
  const values = new ArrayType(count * channels);
  for (let channel = 0; channel < channels; channel++) {
    const table = tables[channel] as Float32Array;
    const source = reversed ? channels - 1 - channel : channel;
    const [start, step] = layout === "nchw" ? [channel * count, 1] : [channel, channels];
    for (let i = 0; i < count; i++) values[start + i * step] = table[data[i * channels + source] as number] as number;
  }
  const shape = layout === "nchw" ? [1, channels, height, width] : [1, height, width, channels];
  return fromTypedArray(dtype, shape, values);
}
