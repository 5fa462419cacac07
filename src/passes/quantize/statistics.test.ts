import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededNormal, seededRandom } from "../../util/random.ts";
import { chooseRange, rangeMethods } from "./ranges.ts";
import { ActivationStatistics } from "./statistics.ts";

const of = (...samples: readonly (readonly number[])[]): ActivationStatistics => {
  const statistics = new ActivationStatistics("value");
  for (const sample of samples) statistics.update(Float32Array.from(sample));
  return statistics;
};

/** Mean squared error of rounding to 255 steps over a range. */
function roundingError(values: readonly number[], { min, max }: { min: number; max: number }): number {
  const scale = (max - min) / 255;
  const zero = Math.round(-min / scale);
  const back = (x: number): number => (Math.min(255, Math.max(0, Math.round(x / scale) + zero)) - zero) * scale;
  return values.reduce((sum, x) => sum + (x - back(x)) ** 2, 0) / values.length;
}

describe("streaming statistics", () => {
  const finite = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
    minLength: 1,
    maxLength: 50,
  });

  test("counts, extremes and averages are those of the samples, whatever their order of magnitude", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 6 }), (samples) => {
        const statistics = of(...samples);
        const all = samples.flat();
        const inBins = statistics.bins.reduce((sum, n) => sum + n, 0);
        expect(inBins + statistics.zeros).toBe(all.length);
        expect(statistics.min).toBe(Math.min(...all));
        expect(statistics.max).toBe(Math.max(...all));
        const mean = samples.reduce((sum, sample) => sum + Math.max(...sample), 0) / samples.length;
        expect(statistics.averageMax).toBeCloseTo(mean, 3);
      }),
    );
  });

  test("memory does not grow with the number of samples", () => {
    const statistics = of([1, 2, 3]);
    const size = statistics.bins.byteLength;
    for (let i = 0; i < 200; i++) statistics.update(Float32Array.of(i, -i));
    expect(statistics.bins.byteLength).toBe(size);
  });

  test("growing the reach keeps every value in the bin that covers it", () => {
    const statistics = of([0.3, -0.3], [1000]);
    const bin = (x: number): number => Math.floor((x + statistics.reach) / statistics.binWidth);
    expect(statistics.bins[bin(0.3)]).toBe(1);
    expect(statistics.bins[bin(-0.3)]).toBe(1);
    expect(statistics.bins[bin(1000)]).toBe(1);
  });

  test("NaN and infinity name the value", () => {
    expect(() => of([1, Number.NaN])).toThrow(/"value" is NaN or infinite/);
    expect(() => of([Number.POSITIVE_INFINITY])).toThrow(/sample 1/);
  });

  test("means per channel", () => {
    const statistics = of();
    statistics.updateChannels(Float32Array.of(1, 3, 10, 20, 5, 7, 30, 40), 2, 2); // [N=2, C=2, 2]
    expect([...(statistics.channelMeans() ?? [])]).toEqual([4, 25]);
  });
});

describe("ranges from one sweep", () => {
  const normal = seededNormal(seededRandom(3));
  // heavy tails: what percentile and least-error ranges exist for
  const values = [...Array.from({ length: 20_000 }, () => normal() * Math.exp(normal() / 2)), 45, -45];
  const statistics = of(values);

  test.each(rangeMethods)("%s holds zero and stays inside what was seen", (method) => {
    const { min, max } = chooseRange(statistics, method);
    expect(min).toBeLessThanOrEqual(0);
    expect(max).toBeGreaterThanOrEqual(0);
    expect(min).toBeGreaterThanOrEqual(-46);
    expect(max).toBeLessThanOrEqual(46);
  });

  test("percentile agrees with sorting, to a bin", () => {
    const sorted = [...values].sort((a, b) => a - b);
    const { min, max } = chooseRange(statistics, "percentile", { percentile: 99 });
    const outside = Math.floor(values.length * 0.005);
    expect(Math.abs(min - (sorted[outside] as number))).toBeLessThanOrEqual(2 * statistics.binWidth);
    expect(Math.abs(max - (sorted[values.length - 1 - outside] as number))).toBeLessThanOrEqual(2 * statistics.binWidth);
  });

  test("the least-error range really has less error than the extremes and than percentiles", () => {
    const error = (method: (typeof rangeMethods)[number]): number => roundingError(values, chooseRange(statistics, method));
    expect(error("mse")).toBeLessThan(0.97 * error("minmax"));
    // the search is on a grid of 128 steps and bins stand for their centres: 2 % of slack
    for (const method of rangeMethods) expect(error("mse")).toBeLessThanOrEqual(1.02 * error(method));
  });

  test("a value that is always zero gets an empty range", () => {
    for (const method of rangeMethods) expect(chooseRange(of([0, 0, 0]), method)).toEqual({ min: 0, max: 0 });
  });

  test("values of one sign get a range that begins at zero", () => {
    expect(chooseRange(of([1, 2, 5]), "minmax")).toEqual({ min: 0, max: 5 });
  });
});
