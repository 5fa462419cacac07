import { type DataType, fromTypedArray, numberToFloat16, type Tensor } from "../ir/index.ts";
import { fail } from "../util/errors.ts";
import type { Pixels } from "./define.ts";
import type { ImagePreprocess } from "./preprocess.ts";

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

/** Grey or RGB pixels, whatever was stored. */
export function inColor(pixels: Pixels, channels: 1 | 3): Pixels {
  if (channels === 1) return toGray(pixels);
  if (pixels.channels === 3) return pixels;
  const data = new Uint8Array(pixels.data.length * 3);
  for (let i = 0; i < pixels.data.length; i++) data.fill(pixels.data[i] as number, i * 3, i * 3 + 3);
  return { ...pixels, data, channels: 3 };
}

/** The 256 values that a pixel's byte can become, for each channel. */
export function lookupTables(spec: ImagePreprocess, channels: number): readonly Float64Array[] {
  const at = (value: number | readonly number[], channel: number): number =>
    typeof value === "number" ? value : ((value.length === 1 ? value[0] : value[channel]) as number);
  return Array.from({ length: channels }, (_, channel) =>
    Float64Array.from({ length: 256 }, (_, byte) => (byte * spec.scale - at(spec.mean, channel)) / at(spec.std, channel)),
  );
}

const integerRange: Partial<Record<DataType, readonly [number, number]>> = { uint8: [0, 255], int8: [-128, 127] };

/** A lookup table in the input's own element type. */
export function typedTable(
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

/** Looks every byte up and lays the values out; `reversed` turns RGB into BGR. */
export function pixelTensor(
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
