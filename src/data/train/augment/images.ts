import { z } from "zod";
import type { ImageForm } from "../form.ts";
import { between, wholeBetween } from "../random.ts";
import { defineAugmentation, probability } from "./define.ts";

/** Elements from one row, column and channel to the next. */
function stridesOf({ layout, channels, height, width }: ImageForm): {
  readonly row: number;
  readonly column: number;
  readonly channel: number;
} {
  return layout === "nchw"
    ? { row: width, column: 1, channel: height * width }
    : { row: width * channels, column: channels, channel: 1 };
}

/** The prepared value of a byte in a channel. */
const valueOfByte = (form: ImageForm, channel: number, byte: number): number => {
  const black = form.black[channel] as number;
  return black + (((form.white[channel] as number) - black) * byte) / 255;
};

const byte = z.number().min(0).max(255);
const range = (least: number, most: number) => z.tuple([z.number().positive(), z.number().positive()]).default([least, most]);

/** Mirrored position: … 2 1 0 1 2 … n−2 n−1 n−2 … */
function reflected(position: number, extent: number): number {
  if (extent === 1) return 0;
  const period = 2 * (extent - 1);
  const folded = ((position % period) + period) % period;
  return folded < extent ? folded : period - folded;
}

export const horizontalFlip = defineAugmentation({
  name: "horizontal-flip",
  summary: "mirrors left and right",
  kind: "image",
  moves: true,
  options: { probability: probability(0.5) },
  apply(values, form) {
    const { row, column, channel } = stridesOf(form);
    for (let c = 0; c < form.channels; c++)
      for (let y = 0; y < form.height; y++) {
        let left = c * channel + y * row;
        let right = left + (form.width - 1) * column;
        for (; left < right; left += column, right -= column) {
          const swapped = values[left] as number;
          values[left] = values[right] as number;
          values[right] = swapped;
        }
      }
  },
});

export const randomCrop = defineAugmentation({
  name: "random-crop",
  summary: "pads all sides and cuts the original size out at a random place",
  kind: "image",
  moves: true,
  options: {
    padding: z.int().min(1).max(1024).default(4).describe("Pixels on each side"),
    mode: z.enum(["constant", "reflect"]).default("constant"),
    fill: byte.default(0).describe("Pixel value of a constant padding, 0 to 255"),
  },
  apply(values, form, { padding, mode, fill }, uniform) {
    const down = wholeBetween(-padding, padding, uniform);
    const right = wholeBetween(-padding, padding, uniform);
    if (down === 0 && right === 0) return;
    const { row, column, channel } = stridesOf(form);
    const { channels, height, width } = form;
    const source = values.slice();
    const columns = Int32Array.from({ length: width }, (_, x) => sourcePosition(x + right, width, mode) * column);
    for (let c = 0; c < channels; c++) {
      const filler = valueOfByte(form, c, fill);
      for (let y = 0; y < height; y++) {
        const from = sourcePosition(y + down, height, mode) * row + c * channel;
        let to = y * row + c * channel;
        for (let x = 0; x < width; x++, to += column) {
          const offset = columns[x] as number;
          values[to] = from < 0 || offset < 0 ? filler : (source[from + offset] as number);
        }
      }
    }
  },
});

/** Where a position of the padded picture lies in the picture; far below zero: nowhere. */
function sourcePosition(position: number, extent: number, mode: "constant" | "reflect"): number {
  if (mode === "reflect") return reflected(position, extent);
  return position >= 0 && position < extent ? position : -(2 ** 21);
}

/** A window of the picture in pixels, inside it. */
function randomWindow(
  form: Pick<ImageForm, "height" | "width">,
  area: readonly [number, number],
  ratio: readonly [number, number],
  uniform: () => number,
): { readonly top: number; readonly left: number; readonly height: number; readonly width: number } {
  for (let attempt = 0; attempt < 10; attempt++) {
    const pixels = between(area[0], area[1], uniform) * form.height * form.width;
    const aspect = Math.exp(between(Math.log(ratio[0]), Math.log(ratio[1]), uniform));
    const height = Math.max(1, Math.round(Math.sqrt(pixels / aspect)));
    const width = Math.max(1, Math.round(Math.sqrt(pixels * aspect)));
    if (height > form.height || width > form.width) continue;
    return {
      top: wholeBetween(0, form.height - height, uniform),
      left: wholeBetween(0, form.width - width, uniform),
      height,
      width,
    };
  }
  return { top: 0, left: 0, height: form.height, width: form.width };
}

export const randomResizedCrop = defineAugmentation({
  name: "random-resized-crop",
  summary: "cuts out a part of random size and shape and stretches it to the whole (bilinear)",
  kind: "image",
  moves: true,
  options: {
    area: range(0.08, 1).describe("Least and largest share of the picture"),
    ratio: range(3 / 4, 4 / 3).describe("Width ÷ height"),
  },
  unfit: (_form, { area }) => (area[1] > 1 || area[0] > area[1] ? `area [${area}] is no range within 0 to 1` : undefined),
  apply(values, form, { area, ratio }, uniform) {
    const window = randomWindow(form, area, ratio, uniform);
    const { row, column, channel } = stridesOf(form);
    const source = values.slice();
    const xs = taps(form.width, window.left, window.width);
    const ys = taps(form.height, window.top, window.height);
    for (let c = 0; c < form.channels; c++)
      for (const [y, [upper, lower, down]] of ys.entries())
        for (const [x, [left, right, across]] of xs.entries()) {
          const at = (line: number, place: number): number => source[c * channel + line * row + place * column] as number;
          const above = at(upper, left) * (1 - across) + at(upper, right) * across;
          const below = at(lower, left) * (1 - across) + at(lower, right) * across;
          values[c * channel + y * row + x * column] = above * (1 - down) + below * down;
        }
  },
});

/** For each target position: the two source positions inside the window, and the weight of the second (half-pixel centres). */
function taps(extent: number, start: number, size: number): (readonly [number, number, number])[] {
  return Array.from({ length: extent }, (_, i) => {
    const place = Math.min(size - 1, Math.max(0, ((i + 0.5) * size) / extent - 0.5));
    const first = Math.floor(place);
    return [start + first, start + Math.min(size - 1, first + 1), place - first] as const;
  });
}

const strength = z.number().min(0).max(1);

export const colorJitter = defineAugmentation({
  name: "color-jitter",
  summary: "varies brightness, contrast and saturation, in this order, each by a random factor around 1",
  kind: "image",
  options: {
    brightness: strength.default(0.2).describe("Largest distance of the factor from 1"),
    contrast: strength.default(0.2),
    saturation: strength.default(0.2).describe("No effect on grey pictures"),
    probability: probability(1),
  },
  unfit: ({ black, white }) =>
    black.some((value, c) => value === white[c]) ? "the preprocessing makes all bytes equal" : undefined,
  apply(values, form, options, uniform) {
    const factor = (by: number): number => between(1 - by, 1 + by, uniform);
    const [brightness, contrast, saturation] = [factor(options.brightness), factor(options.contrast), factor(options.saturation)];
    const light = toUnit(values, form);
    scaleLight(light, brightness, undefined);
    const grey = greyOf(light, form.luma);
    const mean = grey.reduce((sum, value) => sum + value, 0) / grey.length;
    scaleLight(light, contrast, grey.fill(mean));
    if (form.channels > 1) scaleLight(light, saturation, greyOf(light, form.luma));
    fromUnit(light, values, form);
  },
});

/** Channels one after another, 0 = black, 1 = white. */
function toUnit(values: Float32Array, form: ImageForm): Float32Array[] {
  const { row, column, channel } = stridesOf(form);
  return form.black.map((black, c) => {
    const span = (form.white[c] as number) - black;
    const plane = new Float32Array(form.height * form.width);
    for (let y = 0, i = 0; y < form.height; y++)
      for (let x = 0; x < form.width; x++) plane[i++] = ((values[c * channel + y * row + x * column] as number) - black) / span;
    return plane;
  });
}

function fromUnit(planes: readonly Float32Array[], values: Float32Array, form: ImageForm): void {
  const { row, column, channel } = stridesOf(form);
  for (const [c, plane] of planes.entries()) {
    const black = form.black[c] as number;
    const span = (form.white[c] as number) - black;
    for (let y = 0, i = 0; y < form.height; y++)
      for (let x = 0; x < form.width; x++) values[c * channel + y * row + x * column] = black + span * (plane[i++] as number);
  }
}

function greyOf(planes: readonly Float32Array[], luma: readonly number[]): Float32Array {
  const grey = new Float32Array((planes[0] as Float32Array).length);
  for (const [c, plane] of planes.entries())
    for (let i = 0; i < grey.length; i++) grey[i] = (grey[i] as number) + (luma[c] as number) * (plane[i] as number);
  return grey;
}

/** Moves values away from `around` (or from black) by a factor, kept within 0..1. */
function scaleLight(planes: readonly Float32Array[], factor: number, around: Float32Array | undefined): void {
  for (const plane of planes)
    for (let i = 0; i < plane.length; i++) {
      const base = around ? (around[i] as number) : 0;
      plane[i] = Math.min(1, Math.max(0, base + factor * ((plane[i] as number) - base)));
    }
}

/** Writes one value a channel, or values drawn anew for each element, into a window that may reach over the edges. */
function fillWindow(
  values: Float32Array,
  form: ImageForm,
  window: { readonly top: number; readonly left: number; readonly height: number; readonly width: number },
  value: (channel: number) => number,
): void {
  const { row, column, channel } = stridesOf(form);
  const bottom = Math.min(form.height, window.top + window.height);
  const right = Math.min(form.width, window.left + window.width);
  for (let c = 0; c < form.channels; c++)
    for (let y = Math.max(0, window.top); y < bottom; y++)
      for (let x = Math.max(0, window.left); x < right; x++) values[c * channel + y * row + x * column] = value(c);
}

/** DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017. */
export const cutout = defineAugmentation({
  name: "cutout",
  summary: "covers squares at random places, which may reach over the edge",
  kind: "image",
  options: {
    size: z.int().positive().default(8).describe("Side in pixels"),
    count: z.int().positive().max(100).default(1),
    fill: byte.default(0).describe("Pixel value, 0 to 255"),
    probability: probability(1),
  },
  apply(values, form, { size, count, fill }, uniform) {
    for (let i = 0; i < count; i++) {
      const top = wholeBetween(0, form.height - 1, uniform) - Math.floor(size / 2);
      const left = wholeBetween(0, form.width - 1, uniform) - Math.floor(size / 2);
      fillWindow(values, form, { top, left, height: size, width: size }, (c) => valueOfByte(form, c, fill));
    }
  },
});

/** Zhong et al., "Random Erasing Data Augmentation", 2017. */
export const randomErasing = defineAugmentation({
  name: "random-erasing",
  summary: "covers a rectangle of random size and shape",
  kind: "image",
  options: {
    area: range(0.02, 0.33).describe("Least and largest share of the picture"),
    ratio: range(0.3, 3.3).describe("Width ÷ height"),
    fill: z
      .union([byte, z.literal("noise")])
      .default("noise")
      .describe("Pixel value, 0 to 255, or noise over that range"),
    probability: probability(0.5),
  },
  unfit: (_form, { area }) => (area[1] > 1 || area[0] > area[1] ? `area [${area}] is no range within 0 to 1` : undefined),
  apply(values, form, { area, ratio, fill }, uniform) {
    const window = randomWindow(form, area, ratio, uniform);
    fillWindow(values, form, window, (c) => valueOfByte(form, c, fill === "noise" ? 255 * uniform() : fill));
  },
});
