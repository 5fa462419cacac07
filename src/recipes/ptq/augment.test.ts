import { describe, expect, test } from "vitest";
import { int64Tensor, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { withViews } from "./augment.ts";

const filled = (shape: readonly number[], at: (i: number) => number): Tensor =>
  tensorOf(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((product, dim) => product * dim, 1) }, (_, i) => at(i)),
  );
const counted = (shape: readonly number[]): Tensor => filled(shape, (i) => i);

describe("views of pictures", () => {
  test.each([
    { layout: "NCHW", shape: [1, 3, 16, 20], at: (c: number, y: number, x: number) => (c * 16 + y) * 20 + x },
    { layout: "NHWC", shape: [1, 16, 20, 3], at: (c: number, y: number, x: number) => (y * 20 + x) * 3 + c },
  ])("$layout: the first is mirrored: columns change places, rows and channels do not", ({ shape, at }) => {
    const [one, mirrored] = withViews([{ x: counted(shape) }]);
    const [before, after] = [one, mirrored].map((feeds) => toFloat32(feeds?.x as Tensor)) as [Float32Array, Float32Array];
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < 16; y++) for (let x = 0; x < 20; x++) expect(after[at(c, y, x)]).toBe(before[at(c, y, 19 - x)]);
  });

  test("the others are parts, enlarged: what rises along rows and columns still does, more slowly, within the same ends", () => {
    // value = column + 100·row
    const picture = filled([1, 1, 20, 30], (i) => (i % 30) + 100 * Math.floor(i / 30));
    const [, , ...parts] = withViews([{ x: picture }]);
    expect(parts).toHaveLength(4);
    for (const { x } of parts) {
      const values = toFloat32(x as Tensor);
      expect(x?.shape).toEqual([1, 1, 20, 30]);
      expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...values)).toBeLessThanOrEqual(29 + 1900);
      const down = (values[10 * 30] as number) - (values[9 * 30] as number);
      expect(down).toBeGreaterThanOrEqual(50);
      expect(down).toBeLessThan(100);
      const along = Math.abs((values[15] as number) - (values[14] as number));
      // rows and columns are enlarged alike
      expect(along).toBeCloseTo(down / 100, 3);
    }
    expect(new Set(parts.map(({ x }) => toFloat32(x as Tensor)[0])).size).toBe(4);
  });

  test("the same inputs give the same views", () => {
    const feeds = [{ x: counted([1, 1, 16, 16]) }, { x: counted([1, 1, 16, 16]) }];
    expect(withViews(feeds)).toEqual(withViews(feeds));
  });

  test("rows of numbers, tokens, integers, feature maps and large sets stay as they are", () => {
    for (const x of [
      counted([1, 32]),
      int64Tensor([1, 2, 3, 4]),
      tensorOf("uint8", [1, 1, 16, 16], new Uint8Array(256)),
      counted([1, 8, 16, 16]),
      counted([1, 1, 8, 8]),
    ])
      expect(withViews([{ x }])).toEqual([{ x }]);
    const one = { x: counted([1, 1, 16, 16]) };
    expect(withViews(new Array(600).fill(one))).toHaveLength(600);
    expect(withViews(new Array(200).fill(one))).toHaveLength(512);
  });

  test("inputs beside the picture are passed on", () => {
    const [, mirrored] = withViews([{ x: counted([1, 1, 16, 16]), size: counted([1, 2]) }]);
    expect(toFloat32(mirrored?.size as Tensor)).toEqual(Float32Array.of(0, 1));
  });
});
