import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { modelOf, normalTensor, planOf, powersOfTwo } from "../../../test/suites/ptq.ts";
import { row } from "../../../test/suites/quantize.ts";
import { tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { seededNormal, seededRandom } from "../../util/random.ts";
import { producersOf, rangeCandidates, rangeIsFree, weightCandidates } from "./choices.ts";
import { activationParameters, bestWeightScales, powerOfTwoAbove, quantizeWeight, weightScales } from "./parameters.ts";
import { ActivationStatistics } from "./statistics.ts";

const isPowerOfTwo = (x: number): boolean => x > 0 && Number.isInteger(Math.log2(x));
const statisticsOf = (values: readonly number[]): ActivationStatistics => {
  const statistics = new ActivationStatistics("x");
  statistics.update(Float32Array.from(values));
  return statistics;
};
const finite = (most: number) => fc.float({ min: -most, max: most, noNaN: true, noDefaultInfinity: true });

describe("range candidates", () => {
  test("estimators that agree make one candidate, the first one's", () => {
    const two = statisticsOf([-1, 1]);
    const methods = rangeCandidates([two], row).map(({ method }) => method);
    expect(methods[0]).toBe("minmax");
    expect(methods).not.toContain("average");
    expect(new Set(methods).size).toBe(methods.length);
  });

  test("with rare outliers they disagree, each within the full range", () => {
    const normal = seededNormal(seededRandom(1));
    const values = Array.from({ length: 20_000 }, () => normal());
    values[3] = 300;
    const found = rangeCandidates([statisticsOf(values)], row);
    expect(found.length).toBeGreaterThan(2);
    expect(found[0]?.range.max).toBe(300);
    expect(Math.min(...found.map(({ range }) => range.max))).toBeLessThan(10);
  });

  test("values that share a scale get candidates that cover both", () => {
    const [first] = rangeCandidates([statisticsOf([-1, 2]), statisticsOf([-5, 1])], row);
    expect(first).toEqual({ method: "minmax", range: { min: -5, max: 2 } });
  });

  test("outputs of known range and constants are no matter of choice", () => {
    const model = modelOf(
      "(float[1,4] x) => (float[1,4] y)",
      "a = MatMul (x, w) s = Softmax (a) k = Mul (s, c) y = MatMul (k, w)",
      {
        w: normalTensor([4, 4], 1),
        c: normalTensor([4], 2),
      },
    );
    const plan = planOf(model, { ...row, ops: { ...row.ops, Softmax: { role: "follow" }, Mul: { role: "follow" } } });
    const producers = producersOf(plan);
    const values = new Map<string, Value>();
    for (const { node } of plan.nodes.values()) for (const input of node.inputs) if (input) values.set(input.name, input);
    const free = (name: string): boolean => rangeIsFree(values.get(name) as Value, producers);
    expect([free("x"), free("a"), free("s"), free("c"), free("k")]).toEqual([true, true, false, false, true]);
  });
});

describe("powers of two", () => {
  test("property: the next power of two is one, and is not above twice the scale", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), (scale) => {
        const power = powerOfTwoAbove(scale);
        expect(isPowerOfTwo(power)).toBe(true);
        expect(power).toBeGreaterThanOrEqual(scale * (1 - 1e-4));
        expect(power).toBeLessThan(2 * scale);
      }),
    );
    for (const power of [2 ** -20, 0.125, 1, 64]) expect(powerOfTwoAbove(power)).toBe(power);
  });

  const kinds = (["int8", "uint8"] as const).flatMap((dtype) =>
    [true, false].map((symmetric) => ({ dtype, symmetric, powerOfTwo: true })),
  );
  test.each(kinds)("property: candidates for $dtype, symmetric $symmetric are four neighbouring grids", (activation) => {
    fc.assert(
      fc.property(fc.array(finite(1e4), { minLength: 2, maxLength: 20 }), (values) => {
        const full = { min: Math.min(0, ...values), max: Math.max(0, ...values) };
        fc.pre(full.max - full.min > 1e-3);
        const found = rangeCandidates([statisticsOf(values)], { ...row, activation });
        expect(found.map(({ method }) => method)).toEqual([1, 2, 4, 8].map((divisor) => `power-of-two/${divisor}`));
        const scales = found.map(({ range }) => activationParameters(range, activation).scale);
        const widest = activationParameters(full, activation).scale;
        expect(scales).toEqual([1, 2, 4, 8].map((divisor) => widest / divisor));
        expect(scales.every(isPowerOfTwo)).toBe(true);
      }),
    );
  });

  test("a value that is always zero has one candidate", () => {
    expect(rangeCandidates([statisticsOf([0, 0])], powersOfTwo)).toEqual([{ method: "minmax", range: { min: 0, max: 0 } }]);
  });
});

describe("weight candidates", () => {
  const squaredError = (values: Float32Array, scales: Float32Array, bits: number): number => {
    const tensor = tensorOf("float32", [scales.length, values.length / scales.length], values);
    const integers = new Int8Array(quantizeWeight(tensor, scales, 0, false, bits).tensor.bytes());
    const inner = values.length / scales.length;
    return values.reduce((sum, x, i) => sum + (x - (integers[i] as number) * (scales[Math.floor(i / inner)] as number)) ** 2, 0);
  };

  test("property: the scales of least error never lose to the largest magnitude's, in any number of bits", () => {
    const rows = fc.array(fc.array(finite(8), { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 2, max: 8 }), fc.boolean(), (values, bits, powerOfTwo) => {
        const tensor = tensorOf("float32", [values.length, 6], values.flat());
        const usual = weightScales(tensor, 0, false, bits).map((scale) => (powerOfTwo ? powerOfTwoAbove(scale) : scale));
        const best = bestWeightScales(tensor, 0, { bits, powerOfTwo });
        const flat = toFloat32(tensor);
        expect(squaredError(flat, best, bits)).toBeLessThanOrEqual(squaredError(flat, usual, bits) * (1 + 1e-5) + 1e-9);
        if (powerOfTwo) expect([...best].every(isPowerOfTwo)).toBe(true);
      }),
    );
  });

  test("a channel with one large weight gets a smaller scale at 3 bits", () => {
    const normal = seededNormal(seededRandom(5));
    const values = Float32Array.from({ length: 512 }, (_, i) => (i === 7 ? 6 : normal()));
    const tensor = tensorOf("float32", [1, 512], values);
    const [best] = bestWeightScales(tensor, 0, { bits: 3 });
    const [usual] = weightScales(tensor, 0, false, 3);
    expect(best).toBeLessThan(0.7 * (usual as number));
  });

  test("follow the row: powers of two, 7 bits", () => {
    const model = modelOf("(float[1,6] x) => (float[1,4] y)", "y = MatMul (x, w)", { w: normalTensor([6, 4], 3) });
    const value = [...model.graph.initializers][0] as Value;
    const powers = weightCandidates(value, 1, powersOfTwo);
    expect(powers.map(({ method }) => method)).toEqual(["minmax", "mse"]);
    for (const { scales } of powers) expect([...scales].every(isPowerOfTwo)).toBe(true);
    const [reduced] = weightCandidates(value, 1, { ...row, weight: { ...row.weight, reduceRange: true } });
    const [full] = weightCandidates(value, 1, row);
    expect((reduced?.scales[0] as number) / (full?.scales[0] as number)).toBeCloseTo(127 / 63, 5);
  });
});
