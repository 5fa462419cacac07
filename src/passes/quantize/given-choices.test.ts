import { describe, expect, test } from "vitest";
import {
  constantOf,
  contextOn,
  modelOf,
  normalFeeds,
  normalTensor,
  powersOfTwo,
  relativeError,
  run,
} from "../../../test/suites/ptq.ts";
import { row } from "../../../test/suites/quantize.ts";
import { fromTypedArray, tensorOf, toFloat32, toNumbers, type Value } from "../../ir/index.ts";
import { verify } from "../../ir/verify.ts";
import { quantized } from "../../recipes/ptq/quantized.ts";
import { valuesByName } from "../cut.ts";
import { chosenWeight, type WeightChoice, type WeightGrid } from "./weights.ts";

const withoutBias = modelOf("(float[1,3,5,5] x) => (float[1,4,5,5] y)", "y = Conv (x, w)", { w: normalTensor([4, 3, 1, 1], 1) });
const feeds = normalFeeds(withoutBias, 4);
const shift = Float32Array.of(5, -3, 0.5, 0);

describe("biases given to the static pass", () => {
  test("a convolution without a bias gets one", async () => {
    const context = await contextOn(withoutBias, feeds);
    // the output's range must hold the shifted results
    const ranges = new Map([["y", { min: -20, max: 20 }]]);
    const plain = await quantized(withoutBias, context, { ranges });
    const shifted = await quantized(withoutBias, context, { ranges, biases: new Map([["y", shift]]) });
    verify(shifted);
    const conv = [...shifted.graph.nodes].find(({ opType }) => opType === "Conv");
    expect(conv?.inputs.length).toBe(3);
    expect(conv?.inputs[2]?.producer?.inputs[0]?.constant?.dtype).toBe("int32");
    const [before, after] = [await run(plain, feeds), await run(shifted, feeds)];
    const step = 40 / 255;
    before.forEach((outputs, i) => {
      const other = toFloat32(after[i]?.y as NonNullable<typeof outputs.y>);
      toFloat32(outputs.y as NonNullable<typeof outputs.y>).forEach((x, j) => {
        expect(Math.abs((other[j] as number) - x - (shift[Math.floor(j / 25)] as number))).toBeLessThanOrEqual(1.01 * step);
      });
    });
  });

  test("a bias that is there is replaced", async () => {
    const model = modelOf("(float[1,6] x) => (float[1,4] y)", "y = Gemm (x, w, b)", {
      w: normalTensor([6, 4], 1),
      b: tensorOf("float32", [4], [9, 9, 9, 9]),
    });
    const own = normalFeeds(model, 3);
    const emitted = await quantized(model, await contextOn(model, own), { biases: new Map([["y", shift]]) });
    const wanted = modelOf("(float[1,6] x) => (float[1,4] y)", "y = Gemm (x, w, b)", {
      w: normalTensor([6, 4], 1),
      b: tensorOf("float32", [4], shift),
    });
    expect(relativeError(await run(wanted, own), await run(emitted, own))).toBeLessThan(1e-3);
  });
});

describe("weights given to the static pass", () => {
  const integers = Int8Array.from({ length: 12 }, (_, i) => ((i * 37) % 15) - 7);
  const scales = Float32Array.of(0.3, 0.2, 0.1, 0.25);

  test("integers and their scales are emitted unchanged", async () => {
    const context = await contextOn(withoutBias, feeds);
    const choice: WeightChoice = { bits: 4, scales, integers };
    const emitted = await quantized(withoutBias, context, { weights: new Map([["w", choice]]) });
    expect(toNumbers(constantOf(emitted, "w_quantized"))).toEqual([...integers]);
    expect([...toFloat32(constantOf(emitted, "w_scale"))]).toEqual([...scales]);
    expect(constantOf(emitted, "w_quantized").shape).toEqual([4, 3, 1, 1]);
  });

  test("scales without integers are rounded to, in the bits of the choice", async () => {
    const context = await contextOn(withoutBias, feeds);
    const emitted = await quantized(withoutBias, context, { weights: new Map([["w", { bits: 4, scales }]]) });
    const w = toFloat32(constantOf(withoutBias, "w"));
    const expected = Array.from(
      w,
      (x, i) => Math.max(-7, Math.min(7, Math.round(x / (scales[Math.floor(i / 3)] as number)))) + 0,
    );
    expect(toNumbers(constantOf(emitted, "w_quantized")).map((q) => q + 0)).toEqual(expected);
  });

  const value = valuesByName(withoutBias).get("w") as Value;
  const grid = (choice: WeightChoice, more: Partial<WeightGrid> = {}): WeightGrid => ({
    reduced: row.weight.reduceRange,
    bits: 8,
    choices: new Map([["w", choice]]),
    ...more,
  });

  test("integers stand only for their own scales: a channel whose bias or grid needs another is rounded anew", () => {
    const kept = chosenWeight(value, 0, grid({ scales, integers }));
    expect(toNumbers(kept.tensor)).toEqual([...integers]);
    const huge = { bias: tensorOf("float32", [4], [1e6, 0, 0, 0]), inputScale: 1e-4 };
    const fitted = chosenWeight(value, 0, grid({ scales, integers }), huge);
    expect(fitted.scales[0]).toBeGreaterThan(scales[0] as number);
    expect([...fitted.scales.slice(1)]).toEqual([...scales.slice(1)]);
    const [w] = toFloat32(constantOf(withoutBias, "w"));
    expect(toNumbers(fitted.tensor)[0]).toBe(Math.round((w as number) / (fitted.scales[0] as number)) + 0);
    expect(toNumbers(fitted.tensor).slice(3)).toEqual([...integers.slice(3)]);
    const powers = chosenWeight(value, 0, grid({ scales, integers }, { powerOfTwo: true }));
    expect([...powers.scales]).toEqual([0.5, 0.25, 0.125, 0.25]);
    expect(toNumbers(powers.tensor)).not.toEqual([...integers]);
    const exact = Float32Array.of(0.5, 0.25, 0.125, 0.25);
    const learned = chosenWeight(value, 0, grid({ scales: exact, integers }, { powerOfTwo: true }));
    expect(learned).toEqual({ tensor: fromTypedArray("int8", [4, 3, 1, 1], integers), scales: exact, axis: 0 });
  });
});

describe("ranges given to the static pass", () => {
  test("decide over the method, and values without one follow the method", async () => {
    const model = modelOf("(float[1,4] x) => (float[1,4] y)", "a = MatMul (x, w) y = MatMul (a, w)", {
      w: normalTensor([4, 4], 1),
    });
    const own = normalFeeds(model, 4);
    const context = await contextOn(model, own);
    const emitted = await quantized(model, context, { ranges: new Map([["x", { min: -1, max: 1.55 }]]), method: "minmax" });
    const scaleOf = (name: string): number => toFloat32(constantOf(emitted, `${name}_scale`))[0] as number;
    expect(scaleOf("x")).toBeCloseTo(0.01, 6);
    const { min, max } = context.statistics.get("a") as { min: number; max: number };
    expect(scaleOf("a")).toBeCloseTo((max - min) / 255, 5);
  });

  test("of a row with powers of two are raised to the next one", async () => {
    const model = modelOf("(float[1,4] x) => (float[1,4] y)", "y = MatMul (x, w)", { w: normalTensor([4, 4], 1) });
    const context = await contextOn(model, normalFeeds(model, 4), { row: powersOfTwo });
    const emitted = await quantized(model, context, { ranges: new Map([["x", { min: -3, max: 2 }]]) });
    expect(toFloat32(constantOf(emitted, "x_scale"))[0]).toBe(2 ** -5);
  });
});
