import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeOnnx } from "../../formats/index.ts";
import { float32Tensor, tensorOf, toNumbers } from "../../ir/index.ts";
import { parseModel } from "../../ir/parse.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import {
  activationParameters,
  fitScalesToBias,
  quantizeBias,
  quantizeTensor,
  quantizeWeight,
  representable,
  roundEven,
  weightScales,
} from "./parameters.ts";

const kinds = [
  { dtype: "uint8", symmetric: false },
  { dtype: "int8", symmetric: false },
  { dtype: "int8", symmetric: true },
] as const;

describe("activation parameters", () => {
  const bounds = fc.tuple(fc.float({ min: -1000, max: 0, noNaN: true }), fc.float({ min: 0, max: 1000, noNaN: true }));
  test.each(kinds)("$dtype, symmetric $symmetric: zero is exact and errors stay within half a step", (kind) => {
    fc.assert(
      fc.property(bounds, fc.float({ min: 0, max: 1, noNaN: true }), ([min, max], share) => {
        fc.pre(max - min > 1e-3);
        const parameters = activationParameters({ min, max }, kind);
        const back = (x: number): number =>
          ((toNumbers(quantizeTensor(float32Tensor([1], [x]), parameters))[0] as number) - parameters.zeroPoint) *
          parameters.scale;
        expect(back(0)).toBe(0);
        const x = min + share * (max - min);
        // the zero point is rounded, so the ends may lie half a step outside
        expect(Math.abs(back(x) - x)).toBeLessThanOrEqual(1.01 * parameters.scale);
        const ends = representable(parameters);
        if (x >= ends.min && x <= ends.max) expect(Math.abs(back(x) - x)).toBeLessThanOrEqual(0.5001 * parameters.scale);
      }),
    );
  });

  test("a Relu's range puts the zero point at the lowest integer", () => {
    expect(activationParameters({ min: 0, max: 6 }, kinds[0])).toMatchObject({ zeroPoint: 0 });
    expect(activationParameters({ min: 0, max: 6 }, kinds[1])).toMatchObject({ zeroPoint: -128 });
  });

  test("ties round as QuantizeLinear rounds them", async () => {
    const ties = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5];
    const text =
      '<ir_version: 10, opset_import: ["" : 21]> g (float[7] x) => (int8[7] y) <float s = {1}, int8 z = {0}> { y = QuantizeLinear (x, s, z) }';
    const session = await ortNode.load(encodeOnnx(parseModel(text)));
    const { y } = await session.run({ x: float32Tensor([7], ties) });
    await session.release();
    expect(ties.map((x) => roundEven(x) + 0)).toEqual(toNumbers(y as never));
  });
});

describe("weights", () => {
  const weight = float32Tensor([2, 2], [1, -2, 0.01, 0.02]);
  test("one scale per channel keeps a small channel's detail, one for all does not", () => {
    const error = (axis: number | undefined): number => {
      const scales = weightScales(weight, axis, false);
      const { tensor } = quantizeWeight(weight, scales, axis, false);
      const integers = toNumbers(tensor);
      return Math.abs((integers[2] as number) * (scales[axis === undefined ? 0 : 1] as number) - 0.01);
    };
    expect(error(0)).toBeLessThan(1e-4);
    expect(error(undefined)).toBeGreaterThan(1e-3);
  });

  test("the most negative integer is not used, and 7 bits stay within ±63", () => {
    const full = toNumbers(quantizeWeight(weight, weightScales(weight, 0, false), 0, false).tensor);
    const reduced = toNumbers(quantizeWeight(weight, weightScales(weight, 0, true), 0, true).tensor);
    expect(Math.min(...full)).toBe(-127);
    expect(Math.max(...reduced.map(Math.abs))).toBe(63);
  });

  test("axis 1 counts channels along the columns", () => {
    const scales = weightScales(weight, 1, false);
    expect([...scales].map((s) => Math.fround(s * 127))).toEqual([1, 2]);
  });
});

describe("biases", () => {
  test("a channel of almost zero weights gets a scale that its bias fits in", () => {
    const bias = tensorOf("float32", [2], [100, 1]);
    const scales = Float32Array.of(1e-12, 0.01);
    const fitted = fitScalesToBias(scales, bias, 0.01);
    expect(fitted[1]).toBe(scales[1]);
    const { tensor, scales: grid } = quantizeBias(bias, 0.01, fitted);
    const back = toNumbers(tensor).map((q, c) => q * (grid[c] as number));
    expect(back[0]).toBeCloseTo(100, 3);
    expect(back[1]).toBeCloseTo(1, 3);
    // without the fit the int32 grid saturates: that is the failure this guards against
    const saturated = quantizeBias(bias, 0.01, scales);
    expect(Math.abs((toNumbers(saturated.tensor)[0] as number) * (saturated.scales[0] as number) - 100)).toBeGreaterThan(50);
  });
});
