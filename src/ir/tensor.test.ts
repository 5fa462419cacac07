import { describe, expect, it } from "vitest";
import { int64Tensor, tensorOf, typedArray } from "./tensor.ts";

describe("tensors of 64-bit integers", () => {
  it("saturate: INT64_MAX went through a JavaScript number as 2^63", () => {
    expect([...typedArray(int64Tensor([Number(2n ** 63n - 1n), -(2 ** 63), -(2 ** 64), 5]))]).toEqual([
      2n ** 63n - 1n,
      -(2n ** 63n),
      -(2n ** 63n),
      5n,
    ]);
    expect([...typedArray(tensorOf("uint64", [1], [2 ** 64]))]).toEqual([2n ** 64n - 1n]);
  });
});
