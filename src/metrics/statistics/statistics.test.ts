import { describe, expect, it } from "vitest";
import { bootstrapMean, bootstrapStatistic, pairedBootstrap, pairedBootstrapOf } from "./bootstrap.ts";
import { binomialAtLeast, binomialCumulative, chiSquared1Tail, logGamma, normalTwoSided } from "./distributions.ts";
import { mcNemar, mcNemarFromCounts } from "./mcnemar.ts";
import { median, percentile, standardDeviation } from "./percentile.ts";
import { wilsonInterval } from "./wilson.ts";

describe("distributions", () => {
  it("log gamma at known points", () => {
    expect(logGamma(1)).toBeCloseTo(0, 12);
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 12);
    expect(logGamma(11)).toBeCloseTo(Math.log(3628800), 11);
  });
  it("normal tail at table values, both branches", () => {
    expect(normalTwoSided(0)).toBe(1);
    expect(normalTwoSided(1.959963984540054)).toBeCloseTo(0.05, 12);
    expect(normalTwoSided(3)).toBeCloseTo(0.0026997960632601866, 14);
    expect(normalTwoSided(5) / 5.733031437583867e-7).toBeCloseTo(1, 10);
  });
  it("the two erfc branches meet", () => {
    const z = 2.5 * Math.SQRT2;
    expect(normalTwoSided(z - 1e-9) / normalTwoSided(z + 1e-9)).toBeCloseTo(1, 7);
  });
  it("chi-squared table: 3.841 is 5 %", () => expect(chiSquared1Tail(3.841458820694124)).toBeCloseTo(0.05, 10));
  it("binomial: P(X <= 2) of 10 fair coins is 56/1024", () => {
    expect(binomialCumulative(2, 10, 0.5)).toBeCloseTo(56 / 1024, 12);
    expect(binomialAtLeast(8, 10, 0.5)).toBeCloseTo(56 / 1024, 12);
    expect(binomialAtLeast(0, 10, 0.1)).toBe(1);
    expect(binomialAtLeast(11, 10, 0.1)).toBe(0);
  });
});

describe("McNemar", () => {
  it("121 lost, 59 gained: chi-squared 20.67, p about 5e-6", () => {
    const test = mcNemarFromCounts(121, 59);
    expect(test.statistic).toBeCloseTo((121 - 59 - 1) ** 2 / 180, 12);
    expect(test.corrected).toBeGreaterThan(4e-6);
    expect(test.corrected).toBeLessThan(7e-6);
    expect(test.exact).toBeCloseTo(test.corrected, 5);
  });
  it("exact p of 1 against 5 is 2·7/64", () => expect(mcNemarFromCounts(1, 5).exact).toBeCloseTo(14 / 64, 12));
  it("counts discordant samples and gives p = 1 without any", () => {
    expect(mcNemar([100, 100, 0, 0, 100], [100, 0, 100, 0, 0])).toMatchObject({ lost: 2, gained: 1 });
    expect(mcNemar([1, 0], [1, 0])).toMatchObject({ lost: 0, gained: 0, exact: 1, corrected: 1 });
  });
});

describe("intervals", () => {
  it("Wilson: 412 of 500, and the edges", () => {
    const [low, high] = wilsonInterval(412, 500);
    expect(low).toBeCloseTo(0.7882, 4);
    expect(high).toBeCloseTo(0.8549, 4);
    expect(wilsonInterval(0, 10)[0]).toBe(0);
    expect(wilsonInterval(0, 10)[1]).toBeCloseTo(0.2775, 4);
    expect(wilsonInterval(10, 10)[1]).toBeCloseTo(1, 12);
  });
  it("bootstrap of a mean comes close to ±1.96 standard errors", () => {
    const scores = Array.from({ length: 400 }, (_, i) => (i * 7919) % 100);
    const { value, interval } = bootstrapMean(scores);
    const error = (1.96 * standardDeviation(scores)) / Math.sqrt(400);
    // 2000 draws put the ends within about 5 % of the spread
    expect(interval[0]).toBeGreaterThan(value - error * 1.1);
    expect(interval[0]).toBeLessThan(value - error * 0.9);
    expect(interval[1] - value).toBeCloseTo(error, 0);
  });
  it("is seeded", () => {
    const scores = [1, 5, 2, 8, 3];
    expect(bootstrapMean(scores, { seed: 3 })).toEqual(bootstrapMean(scores, { seed: 3 }));
    expect(bootstrapMean(scores, { seed: 3 }).interval).not.toEqual(bootstrapMean(scores, { seed: 4, replicates: 50 }).interval);
  });
  it("pairing removes what both share", () => {
    const baseline = Array.from({ length: 200 }, (_, i) => (i * 37) % 101);
    const candidate = baseline.map((score, i) => score - (i % 2));
    const { value, interval } = pairedBootstrap(baseline, candidate);
    expect(value).toBe(-0.5);
    expect(interval[1] - interval[0]).toBeLessThan(0.2);
    const shift = pairedBootstrap(
      baseline,
      baseline.map((s) => s + 2),
    );
    expect(shift.interval).toEqual([2, 2]);
  });
  it("re-evaluates a statistic, and agrees with the mean where it is one", () => {
    const a = [1, 2, 3, 4];
    const b = [2, 2, 5, 3];
    const weighted = (scores: number[]) => (w: Uint32Array) => scores.reduce((sum, s, i) => sum + s * (w[i] as number), 0) / 4;
    const general = pairedBootstrapOf(4, weighted(a), weighted(b), { seed: 9 });
    expect(general.value).toBeCloseTo(pairedBootstrap(a, b, { seed: 9 }).value, 12);
    expect(general.interval[0]).toBeCloseTo(pairedBootstrap(a, b, { seed: 9 }).interval[0], 12);
  });
  it("leaves out draws without a value", () => {
    const { interval } = bootstrapStatistic(2, (w) => ((w[0] as number) === 0 ? Number.NaN : (w[0] as number)), {
      replicates: 200,
    });
    expect(interval).toEqual([1, 2]);
  });
  it("refuses unpaired scores", () => expect(() => pairedBootstrap([1], [1, 2])).toThrow(/same samples/));
});

describe("percentiles", () => {
  it("interpolates like numpy's default", () => {
    expect(percentile([4, 1, 3, 2], 50)).toBe(2.5);
    expect(percentile([4, 1, 3, 2], 95)).toBeCloseTo(3.85, 12);
    expect(median([5])).toBe(5);
    expect(percentile([], 50)).toBeNaN();
    expect(percentile([1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY], 90)).toBe(Number.POSITIVE_INFINITY);
  });
});
