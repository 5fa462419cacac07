import { describe, expect, test } from "vitest";
import { int64Tensor, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { withViews } from "./augment.ts";

const counted = (shape: readonly number[]): Tensor =>
  tensorOf(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((product, dim) => product * dim, 1) }, (_, i) => i),
  );

describe("mirrored pictures", () => {
  test.each([
    { layout: "NCHW", shape: [1, 3, 16, 20], at: (c: number, y: number, x: number) => (c * 16 + y) * 20 + x },
    { layout: "NHWC", shape: [1, 16, 20, 3], at: (c: number, y: number, x: number) => (y * 20 + x) * 3 + c },
  ])("$layout: columns change places, rows and channels do not", ({ shape, at }) => {
    const [one, mirrored] = withViews([{ x: counted(shape) }]);
    const [before, after] = [one, mirrored].map((feeds) => toFloat32(feeds?.x as Tensor)) as [Float32Array, Float32Array];
    for (const [c, y, x] of [
      [0, 0, 0],
      [1, 5, 7],
      [2, 15, 19],
    ] as const)
      expect(after[at(c, y, x)]).toBe(before[at(c, y, 19 - x)]);
    expect([...after].sort()).toEqual([...before].sort());
  });

  test("twice mirrored is the same again", () => {
    const feeds = [{ x: counted([2, 1, 16, 17]) }];
    const [, once] = withViews(feeds);
    const [, twice] = withViews([once as { x: Tensor }]);
    expect(twice).toEqual(feeds[0]);
  });

  test("rows of numbers, tokens, feature maps and large sets stay as they are", () => {
    const others = [
      { x: counted([1, 32]) },
      { x: int64Tensor([1, 2, 3, 4]) },
      { x: counted([1, 8, 16, 16]) },
      { x: counted([1, 1, 8, 8]) },
    ];
    expect(withViews(others)).toEqual(others);
    const many = new Array(1024).fill({ x: counted([1, 1, 16, 16]) });
    expect(withViews(many)).toHaveLength(1024);
  });

  test("inputs beside the picture are passed on", () => {
    const [, mirrored] = withViews([{ x: counted([1, 1, 16, 16]), size: counted([1, 2]) }]);
    expect(toFloat32(mirrored?.size as Tensor)).toEqual(Float32Array.of(0, 1));
  });
});
