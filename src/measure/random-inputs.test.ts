import { describe, expect, it } from "vitest";
import { type DataType, type Dim, toNumbers } from "../ir/index.ts";
import { randomInputs, shapeOverrides } from "./random-inputs.ts";

const input = (name: string, dtype: DataType, shape: readonly Dim[] | undefined) => ({ name, type: { dtype, shape } });

describe("randomInputs", () => {
  it("fills declared types, opens become 1 and are named", () => {
    const { feeds, assumed } = randomInputs([input("image", "float32", ["N", 3, 4, 4]), input("ids", "int64", [1, "T"])]);
    expect(feeds.image?.shape).toEqual([1, 3, 4, 4]);
    expect(feeds.ids?.shape).toEqual([1, 1]);
    expect(assumed).toEqual([
      { input: "image", dim: "N" },
      { input: "ids", dim: "T" },
    ]);
  });

  it("is the same for a seed, spread over the type's usual range", () => {
    const inputs = [
      input("x", "float32", [1000]),
      input("ids", "int64", [1000]),
      input("b", "bool", [1000]),
      input("u", "uint8", [1000]),
    ];
    const values = (seed: number) => Object.values(randomInputs(inputs, { seed }).feeds).map(toNumbers);
    expect(values(1)).toEqual(values(1));
    expect(values(1)).not.toEqual(values(2));
    const ranges = values(1).map((list) => [Math.floor(Math.min(...list)), Math.ceil(Math.max(...list))]);
    expect(ranges.slice(0, 3)).toEqual([
      [-1, 1],
      [0, 2],
      [0, 1],
    ]);
    expect(ranges[3]?.[1]).toBeGreaterThan(200);
  });

  it("makes float16 and string inputs", () => {
    const { feeds } = randomInputs([input("h", "float16", [4]), input("s", "string", [2])]);
    for (const value of toNumbers(feeds.h as never)) expect(Math.abs(value)).toBeLessThanOrEqual(1);
    expect(feeds.s?.strings).toEqual(["a", "a"]);
  });

  it("takes shapes from the caller and refuses ones that do not fit", () => {
    const x = [input("x", "float32", ["N", 3])];
    expect(randomInputs(x, { shapes: { x: [8, 3] } }).feeds.x?.shape).toEqual([8, 3]);
    expect(randomInputs(x, { shapes: { x: [8, 3] } }).assumed).toEqual([]);
    expect(() => randomInputs(x, { shapes: { x: [8, 4] } })).toThrow(/"x" is declared as \[N,3\], which \[8,4\] does not fit/);
    expect(() => randomInputs(x, { shapes: { y: [1] } })).toThrow(/no input "y"/);
    expect(() => randomInputs([input("x", "float32", undefined)])).toThrow(/does not declare its rank/);
    expect(() => randomInputs([input("x", "float32", [2 ** 30])])).toThrow(/elements/);
  });

  it("takes a symbolic dim by its name", () => {
    const inputs = [input("x", "float32", ["N", 3]), input("y", "float32", ["N", "T"])];
    const overrides = shapeOverrides({ N: [4], y: [4, 2] }, inputs);
    expect(overrides).toEqual({ shapes: { y: [4, 2] }, dims: { N: 4 } });
    expect(Object.values(randomInputs(inputs, overrides).feeds).map((tensor) => tensor.shape)).toEqual([
      [4, 3],
      [4, 2],
    ]);
  });
});
