import { describe, expect, it } from "vitest";
import { type DataType, toNumbers } from "../ir/index.ts";
import type { Pixels } from "./define.ts";
import { resizePixels } from "./image.ts";
import { imageConverter } from "./image-tensor.ts";
import { imagePreprocessSchema, resolvePreprocess } from "./preprocess.ts";

const input = (shape: readonly (number | string)[], dtype: DataType = "float32") => ({ name: "in", type: { dtype, shape } });
const flat = (width: number, height: number, rgb: readonly [number, number, number]): Pixels => ({
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => rgb[i % 3] as number),
  width,
  height,
  channels: 3,
});
/** Red counts columns, green counts rows. */
const ramp = (width: number, height: number): Pixels => ({
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const at = Math.floor(i / 3);
    return [at % width, Math.floor(at / width), 0][i % 3] as number;
  }),
  width,
  height,
  channels: 3,
});
const convert = async (spec: object, shape: readonly (number | string)[], pixels: Pixels, dtype?: DataType) => {
  const { tensor, geometry } = await imageConverter(imagePreprocessSchema.parse(spec), input(shape, dtype)).convert(
    pixels,
    "pic",
  );
  return { shape: tensor.shape, dtype: tensor.dtype, values: toNumbers(tensor), geometry };
};

describe("from pixels to a model's input", () => {
  it("orders channels, scales, then normalises", async () => {
    const spec = { color: "bgr", scale: 0.5, mean: [1, 2, 3], std: [1, 2, 4] };
    const { values, shape } = await convert(spec, ["N", 3, 1, 1], flat(1, 1, [10, 20, 30]));
    expect(shape).toEqual([1, 3, 1, 1]);
    expect(values).toEqual([15 - 1, (10 - 2) / 2, (5 - 3) / 4]);
  });
  it("finds the layout from the shape", async () => {
    expect((await convert({}, ["N", 2, 1, 3], flat(1, 2, [1, 2, 3]))).values).toEqual([1, 2, 3, 1, 2, 3]);
    expect((await convert({}, ["N", 3, 2, 1], flat(1, 2, [1, 2, 3]))).values).toEqual([1, 1, 2, 2, 3, 3]);
  });
  it("makes luma of BT.601, and grey pictures of three equal channels", async () => {
    expect((await convert({ color: "luma" }, [1, 1, 1, 1], flat(1, 1, [255, 0, 0]))).values).toEqual([76]);
    const gray: Pixels = { data: Uint8Array.of(9), width: 1, height: 1, channels: 1 };
    expect((await convert({}, [1, 3, 1, 1], gray)).values).toEqual([9, 9, 9]);
  });
  it("crops the centre", async () => {
    const { values, geometry } = await convert({ crop: "input" }, [1, 3, 2, 4], ramp(9, 6));
    expect(values.slice(0, 8)).toEqual([2, 3, 4, 5, 2, 3, 4, 5]);
    expect(values.slice(8, 16)).toEqual([2, 2, 2, 2, 3, 3, 3, 3]);
    expect(geometry).toMatchObject({ width: 9, height: 6, scaleX: 1, offsetX: -2, offsetY: -2 });
  });
  it("letterboxes at the top left and in the centre, and says where pixels went", async () => {
    const topLeft = await convert({ letterbox: { position: "top-left", pad: 7 } }, [1, 3, 8, 8], flat(4, 2, [50, 60, 70]));
    expect(topLeft.values.slice(0, 32)).toEqual(new Array(32).fill(50));
    expect(topLeft.values.slice(32, 64)).toEqual(new Array(32).fill(7));
    expect(topLeft.geometry).toMatchObject({ scaleX: 2, scaleY: 2, offsetX: 0, offsetY: 0, inputWidth: 8, inputHeight: 8 });
    const centre = await convert({ letterbox: { position: "center" } }, [1, 3, 8, 8], flat(4, 2, [50, 60, 70]));
    expect(centre.geometry).toMatchObject({ scaleX: 2, scaleY: 2, offsetX: 0, offsetY: 2 });
    expect(centre.values.slice(0, 16)).toEqual(new Array(16).fill(114));
  });
  it("fits by covering or containing", async () => {
    const cover = await convert({ resize: { size: "input", fit: "cover" } }, [1, 3, 4, 4], flat(8, 2, [1, 2, 3]));
    expect(cover.geometry).toMatchObject({ scaleX: 2, scaleY: 2, offsetX: -6, offsetY: 0 });
    const contain = await convert({ resize: { size: "input", fit: "contain" } }, [1, 3, 4, 4], flat(8, 2, [1, 2, 3]));
    expect(contain.geometry).toMatchObject({ scaleX: 0.5, scaleY: 0.5, offsetX: 0, offsetY: 1 });
  });
  it("resizes the short side, cutting the long one down to whole pixels", async () => {
    const spec = { resize: { shortSide: { timesInput: 8 / 7 } }, crop: "input" };
    const { geometry } = await convert(spec, [1, 3, 112, 112], flat(341, 256, [1, 2, 3]));
    expect(geometry.scaleY).toBe(0.5);
    expect(geometry.scaleX).toBe(170 / 341);
    expect(geometry.offsetX).toBe(-29);
  });
  it("rounds and clamps to the input's integers, and makes half floats", async () => {
    expect((await convert({ mean: 128 }, [1, 3, 1, 1], flat(1, 1, [0, 128, 255]), "int8")).values).toEqual([-128, 0, 127]);
    expect((await convert({ scale: 2 }, [1, 3, 1, 1], flat(1, 1, [0, 100, 255]), "uint8")).values).toEqual([0, 200, 255]);
    expect((await convert({ scale: 0.5 }, [1, 3, 1, 1], flat(1, 1, [1, 2, 3]), "float16")).values).toEqual([0.5, 1, 1.5]);
  });
});

describe("what cannot be converted", () => {
  const cases: readonly [string, object, readonly (number | string)[], string][] = [
    ["three channels for an input of one", {}, [1, 1, 4, 4], 'Set image.color to "gray"'],
    ["a size that does not fit", {}, [1, 3, 5, 5], 'resize.size to "input"'],
    ["a free size where one is needed", { crop: "input" }, [1, 3, "H", "W"], "Give the size as numbers"],
    ["a crop larger than the picture", { crop: 9 }, [1, 3, 9, 9], "before the crop"],
    ["an input that is no picture", {}, [1, 10], "Bind the image"],
  ];
  it.each(cases)("%s: the error tells the way out", async (_, spec, shape, hint) => {
    await expect(convert(spec, shape, flat(4, 4, [1, 2, 3]))).rejects.toMatchObject({ hint: expect.stringContaining(hint) });
  });
  it("an odd mean is refused", async () => {
    await expect(convert({ mean: [1, 2] }, [1, 3, 4, 4], flat(4, 4, [1, 2, 3]))).rejects.toMatchObject({
      code: "PREPROCESS_INVALID",
    });
    await expect(convert({ std: 0 }, [1, 3, 4, 4], flat(4, 4, [1, 2, 3]))).rejects.toMatchObject({ code: "PREPROCESS_INVALID" });
    expect(() => resolvePreprocess({ image: { scael: 1 } } as never)).toThrow("scael");
  });
});

describe("resizing", () => {
  it("averages when it shrinks: a fine checkerboard becomes grey", async () => {
    const board: Pixels = {
      data: Uint8Array.from({ length: 64 * 64 }, (_, i) => ((i + (i >> 6)) % 2 === 0 ? 0 : 255)),
      width: 64,
      height: 64,
      channels: 1,
    };
    for (const interpolation of ["bilinear", "bicubic", "lanczos3"] as const) {
      const small = await resizePixels(board, 8, 8, interpolation);
      const inner = [2, 3, 4, 5].flatMap((y) => [2, 3, 4, 5].map((x) => small.data[y * 8 + x] as number));
      // within 4 levels of the mean: windows that are cut by the border are left out
      expect(inner.every((value) => Math.abs(value - 127.5) <= 4)).toBe(true);
    }
  });
  it("keeps a ramp a ramp", async () => {
    const line = await resizePixels(ramp(100, 10), 50, 5, "bilinear");
    for (let x = 2; x < 48; x++) expect(Math.abs((line.data[3 * x] as number) - (2 * x + 0.5))).toBeLessThanOrEqual(1);
  });
});
