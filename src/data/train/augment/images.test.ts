import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../util/random.ts";
import type { ImageForm } from "../form.ts";
import { augmentations } from "./index.ts";

/** A picture whose byte 0 became `black` and 255 became `white`. */
const form = (layout: "nchw" | "nhwc", channels: number, height: number, width: number, black = 0, white = 1): ImageForm => ({
  kind: "image",
  layout,
  channels,
  height,
  width,
  black: new Array(channels).fill(black),
  white: new Array(channels).fill(white),
  luma: channels === 3 ? [0.299, 0.587, 0.114] : [1],
});

/** Draws from a list, then fails: a test says every number that is drawn. */
const draws = (...values: number[]) => {
  const left = [...values];
  return () => left.shift() ?? expect.fail("more numbers drawn than expected");
};

function apply(name: string, values: Float32Array, of: ImageForm, options: object, uniform: () => number): Float32Array {
  const record = augmentations.find((one) => one.name === name);
  const schema = (record as unknown as { schema: { parse(value: unknown): unknown } }).schema;
  const changed = values.slice();
  record?.apply(changed, of, schema.parse({ name, ...options }), uniform);
  return changed;
}
const ramp = (count: number, scale = 1) => Float32Array.from({ length: count }, (_, i) => i * scale);

describe("horizontal flip", () => {
  it("mirrors rows, channel by channel", () => {
    expect([...apply("horizontal-flip", ramp(6), form("nchw", 1, 2, 3), {}, draws())]).toEqual([2, 1, 0, 5, 4, 3]);
    // two pixels of three channels
    expect([...apply("horizontal-flip", ramp(6), form("nhwc", 3, 1, 2), {}, draws())]).toEqual([3, 4, 5, 0, 1, 2]);
    expect([...apply("horizontal-flip", ramp(6), form("nchw", 3, 1, 2), {}, draws())]).toEqual([1, 0, 3, 2, 5, 4]);
  });
  it.each([
    ["nchw", 3, 4, 5],
    ["nhwc", 3, 5, 4],
    ["nchw", 1, 1, 1],
  ] as const)("twice is nothing (%s, %i channels)", (layout, channels, height, width) => {
    const of = form(layout, channels, height, width);
    const values = ramp(channels * height * width);
    const once = apply("horizontal-flip", values, of, {}, draws());
    expect(apply("horizontal-flip", once, of, {}, draws())).toEqual(values);
  });
});

describe("random crop", () => {
  const of = form("nchw", 1, 3, 3, -1, 1);
  it("moves the picture and fills with what the padding's byte became", () => {
    // 3 places each (padding 1): the last third draws +1, the middle third 0
    expect([...apply("random-crop", ramp(9), of, { padding: 1 }, draws(0.9, 0.5))]).toEqual([3, 4, 5, 6, 7, 8, -1, -1, -1]);
    expect([...apply("random-crop", ramp(9), of, { padding: 1, fill: 255 }, draws(0.5, 0.1))]).toEqual([
      1, 0, 1, 1, 3, 4, 1, 6, 7,
    ]);
  });
  it("reflects without repeating the edge", () => {
    expect([...apply("random-crop", ramp(9), of, { padding: 1, mode: "reflect" }, draws(0.9, 0.1))]).toEqual([
      4, 3, 4, 7, 6, 7, 4, 3, 4,
    ]);
    // a padding wider than the picture goes back and forth: +4 of 3 columns reads 4, 5, 6 of 0 1 2 1 0 1 2
    expect([...apply("random-crop", ramp(3), form("nchw", 1, 1, 3), { padding: 4, mode: "reflect" }, draws(0.5, 0.99))]).toEqual([
      0, 1, 2,
    ]);
  });
  it("does the same in both layouts", () => {
    const nchw = ramp(2 * 3 * 3 * 3).slice(0, 27);
    const nhwc = Float32Array.from(nchw, (_, i) => nchw[(i % 3) * 9 + Math.floor(i / 3)] as number);
    const a = apply("random-crop", nchw, form("nchw", 3, 3, 3), { padding: 2 }, seededRandom(5));
    const b = apply("random-crop", nhwc, form("nhwc", 3, 3, 3), { padding: 2 }, seededRandom(5));
    expect([...b]).toEqual(Array.from(b, (_, i) => a[(i % 3) * 9 + Math.floor(i / 3)]));
  });
});

describe("random resized crop", () => {
  it("of the whole picture is the picture", () => {
    const values = ramp(16);
    const uniform = draws(0, 0.5, 0, 0);
    expect(apply("random-resized-crop", values, form("nchw", 1, 4, 4), { area: [1, 1], ratio: [1, 1] }, uniform)).toEqual(values);
  });
  it("stretches a part by bilinear interpolation at half-pixel centres", () => {
    // a quarter of 4x4 is 2x2, at row 0 (draw 0) and column 2 (draw 0.99): columns 2 and 3 become 2, 2.25, 2.75, 3
    const out = apply(
      "random-resized-crop",
      ramp(16),
      form("nchw", 1, 4, 4),
      { area: [0.25, 0.25], ratio: [1, 1] },
      draws(0, 0, 0, 0.99),
    );
    expect([...out.slice(0, 4)]).toEqual([2, 2.25, 2.75, 3]);
    expect([...out.slice(12)]).toEqual([6, 6.25, 6.75, 7]);
  });
});

describe("colour jitter", () => {
  const none = { brightness: 0, contrast: 0, saturation: 0 };
  it("scales from black, whatever the normalisation", () => {
    // bytes 0, 51, 255 with black −1 and white 1; a factor of 1.5 clips at white
    const values = Float32Array.of(-1, -0.6, 1);
    const out = apply("color-jitter", values, form("nchw", 1, 1, 3, -1, 1), { ...none, brightness: 0.5 }, draws(1, 0, 0));
    // float32 arithmetic: 6 digits
    expect([...out].map((value) => Number(value.toFixed(6)))).toEqual([-1, -0.4, 1]);
  });
  it("with contrast 0 leaves the mean", () => {
    const out = apply(
      "color-jitter",
      Float32Array.of(0.2, 0.4, 0.6),
      form("nchw", 1, 1, 3),
      { ...none, contrast: 1 },
      draws(0, 0, 0),
    );
    for (const value of out) expect(value).toBeCloseTo(0.4, 6);
  });
  it("with saturation 0 leaves the luma in each channel", () => {
    const out = apply(
      "color-jitter",
      Float32Array.of(1, 0, 0),
      form("nhwc", 3, 1, 1),
      { ...none, saturation: 1 },
      draws(0, 0, 0),
    );
    for (const value of out) expect(value).toBeCloseTo(0.299, 6);
  });
  it("stays between black and white", () => {
    const of = form("nchw", 3, 4, 4, -2, 3);
    const values = Float32Array.from({ length: 48 }, (_, i) => -2 + (5 * i) / 47);
    for (let seed = 0; seed < 20; seed++) {
      const out = apply("color-jitter", values, of, { brightness: 1, contrast: 1, saturation: 1 }, seededRandom(seed));
      expect(Math.min(...out)).toBeGreaterThanOrEqual(-2);
      expect(Math.max(...out)).toBeLessThanOrEqual(3);
    }
  });
});

describe("covering", () => {
  it("cutout covers a square that may reach over the edge", () => {
    const of = form("nchw", 1, 4, 4, -1, 1);
    const out = apply("cutout", new Float32Array(16), of, { size: 2, fill: 255 }, draws(0, 0.5));
    // centre (0, 2): rows −1..0, columns 1..2
    expect([...out]).toEqual([0, 1, 1, 0, ...new Array(12).fill(0)]);
  });
  it("erases a rectangle within the picture, of the asked area", () => {
    const of = form("nhwc", 1, 10, 10);
    for (let seed = 0; seed < 20; seed++) {
      const out = apply(
        "random-erasing",
        new Float32Array(100).fill(-5),
        of,
        { area: [0.1, 0.3], ratio: [0.5, 2] },
        seededRandom(seed),
      );
      const covered = [...out].filter((value) => value !== -5);
      // whole rows and columns: 10 to 30 pixels, give or take the rounding of both sides
      expect(covered.length).toBeGreaterThanOrEqual(6);
      expect(covered.length).toBeLessThanOrEqual(36);
      for (const value of covered) expect(value >= 0 && value <= 1).toBe(true);
    }
  });
});

describe("every image augmentation", () => {
  it.each(augmentations.filter(({ kind }) => kind === "image").map(({ name }) => name))(
    "%s repeats itself by its draws alone and stays in range",
    (name) => {
      for (const layout of ["nchw", "nhwc"] as const) {
        const of = form(layout, 3, 6, 5, -1, 2);
        const values = Float32Array.from({ length: 90 }, (_, i) => -1 + (3 * i) / 89);
        const once = apply(name, values, of, {}, seededRandom(9));
        expect(apply(name, values, of, {}, seededRandom(9))).toEqual(once);
        expect(once).toHaveLength(90);
        expect(Math.min(...once)).toBeGreaterThanOrEqual(-1);
        expect(Math.max(...once)).toBeLessThanOrEqual(2);
      }
    },
  );
});
