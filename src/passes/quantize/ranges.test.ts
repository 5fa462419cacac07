import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededNormal, seededRandom } from "../../util/random.ts";
import { chooseRange, rangeMethods } from "./ranges.ts";
import { ActivationStatistics } from "./statistics.ts";

function statisticsOf(...samples: readonly Float32Array[]): ActivationStatistics {
  const statistics = new ActivationStatistics("x");
  for (const sample of samples) statistics.update(sample);
  return statistics;
}
const numbers = (count: number, next: () => number): Float32Array => Float32Array.from({ length: count }, next);
const uniform = seededRandom(3);
const normal = seededNormal(seededRandom(4));
/** Student's t with two degrees of freedom: a few values are a hundred times the usual. */
const heavy = (): number => normal() / Math.sqrt((normal() ** 2 + normal() ** 2) / 2);

describe("the entropy range", () => {
  test("keeps almost all of an evenly spread value", () => {
    const even = statisticsOf(numbers(200_000, () => 6 * uniform() - 2));
    const range = chooseRange(even, "entropy");
    expect(range.max).toBeGreaterThan(3.7);
    expect(range.min).toBeLessThan(-1.85);
    const positive = chooseRange(statisticsOf(numbers(200_000, uniform)), "entropy");
    expect(positive.min).toBe(0);
    expect(positive.max).toBeGreaterThan(0.92);
  });

  test("clips the tails of a heavy-tailed one, and keeps the bulk", () => {
    const values = numbers(200_000, heavy);
    const full = chooseRange(statisticsOf(values), "minmax");
    const range = chooseRange(statisticsOf(values), "entropy");
    expect(range.max).toBeLessThan(full.max / 4);
    expect(range.min).toBeGreaterThan(full.min / 4);
    const inside = values.filter((x) => x >= range.min && x <= range.max).length / values.length;
    expect(inside).toBeGreaterThan(0.95);
  });

  test("one far outlier is given up", () => {
    const values = numbers(50_000, normal);
    values[17] = 400;
    expect(chooseRange(statisticsOf(values), "entropy").max).toBeLessThan(50);
    const symmetric = chooseRange(statisticsOf(values), "entropy", { symmetric: true });
    expect(symmetric.max).toBeLessThan(50);
    expect(symmetric.min).toBe(-symmetric.max);
  });

  test.each([1, 3, 200])(
    "two clusters far from each other are both kept, even if the near one has %i of 20000 values",
    (near) => {
      const clusters = numbers(20_000, () => 10 + 0.01 * normal()).map((x, i) => (i < near ? x / 100 : x));
      expect(chooseRange(statisticsOf(clusters), "entropy").max).toBeGreaterThan(9.5);
      const below = clusters.map((x) => -x);
      expect(chooseRange(statisticsOf(below), "entropy").min).toBeLessThan(-9.5);
      expect(chooseRange(statisticsOf(below), "entropy", { symmetric: true }).max).toBeGreaterThan(9.5);
    },
  );

  test("a value with few distinct numbers keeps a range that holds something", () => {
    for (const values of [[3], [-3], [0.5, -0.25], [1, 1, 1, 1], [0, 0, 5], [1e-20, 1]]) {
      const { min, max } = chooseRange(statisticsOf(Float32Array.from(values)), "entropy");
      expect(max - min).toBeGreaterThan(0);
    }
    expect(chooseRange(statisticsOf(new Float32Array(4)), "entropy")).toEqual({ min: 0, max: 0 });
  });
});

test("property: every estimator gives a range that holds zero, something and nothing beyond what was seen", () => {
  const sample = fc.array(fc.float({ min: -1e4, max: 1e4, noNaN: true, noDefaultInfinity: true }), {
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(
      fc.array(sample, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(...rangeMethods),
      fc.boolean(),
      fc.constantFrom(90, 99, 99.9, 99.999),
      (samples, method, symmetric, percentile) => {
        const statistics = statisticsOf(...samples.map((values) => Float32Array.from(values)));
        const { min, max } = chooseRange(statistics, method, { symmetric, percentile });
        const full = chooseRange(statistics, "minmax");
        const reach = Math.max(-full.min, full.max);
        expect(min).toBeLessThanOrEqual(0);
        expect(max).toBeGreaterThanOrEqual(0);
        const [low, high] = symmetric && (method === "mse" || method === "entropy") ? [-reach, reach] : [full.min, full.max];
        expect(min).toBeGreaterThanOrEqual(low);
        expect(max).toBeLessThanOrEqual(high);
        if (reach > 0 && (method === "mse" || method === "entropy")) expect(max - min).toBeGreaterThan(0);
      },
    ),
    { numRuns: 300 },
  );
});
