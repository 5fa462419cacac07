import { describe, expect, it } from "vitest";
import { seededNormal, seededRandom } from "../util/random.ts";
import { median, medianInterval, pairedRatio, quantile, selfDifference } from "./ratio.ts";

describe("quantiles", () => {
  it("interpolate between order statistics", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([10, 20, 30, 40, 50], 0.95)).toBeCloseTo(48, 12);
    expect(quantile([7], 0.95)).toBe(7);
  });
});

describe("pairedRatio", () => {
  const normal = (seed: number) => seededNormal(seededRandom(seed));

  it("covers the true ratio about as often as it promises", () => {
    let covered = 0;
    const trials = 200;
    for (let trial = 0; trial < trials; trial++) {
      const z = normal(trial);
      const baseline = Array.from({ length: 50 }, () => 10 + z());
      const subject = Array.from({ length: 50 }, () => 8 + 0.8 * z());
      const { interval } = pairedRatio(subject, baseline, { seed: trial });
      if (interval[0] <= 0.8 && interval[1] >= 0.8) covered++;
    }
    // 95 % of 200 is 190 with a standard deviation of 3; block bootstraps of medians are known to run a little low
    expect(covered).toBeGreaterThan(174);
  });

  it("rarely claims a difference between equals", () => {
    let claims = 0;
    for (let trial = 0; trial < 200; trial++) {
      const z = normal(1000 + trial);
      const draw = () => Array.from({ length: 40 }, () => 10 * (1 + 0.05 * z()));
      if (pairedRatio(draw(), draw(), { seed: trial }).verdict !== "not distinguishable") claims++;
    }
    expect(claims).toBeLessThan(20);
  });

  it("pairs by round: what slows both sides in a round cancels", () => {
    const uniform = seededRandom(5);
    const load = Array.from({ length: 60 }, (_, i) => 1 + 4 * uniform() + (i > 30 ? 5 : 0));
    const { ratio, interval, verdict } = pairedRatio(
      load.map((l) => l * 0.9),
      load,
    );
    expect(ratio).toBeCloseTo(0.9, 9);
    expect(interval[1]).toBeCloseTo(0.9, 9);
    // but a machine this unsteady earns no claim of 10 %: its even and odd rounds differ by more
    expect(selfDifference(load)).toBeGreaterThan(0.1);
    expect(verdict).toBe("not distinguishable");
  });

  it("is silent with fewer than three rounds", () => {
    expect(pairedRatio([1, 1], [2, 2]).verdict).toBe("not distinguishable");
    expect(pairedRatio([1, 1, 1], [2, 2, 2]).verdict).toBe("faster");
  });

  it("gives the same interval for the same seed", () => {
    const values = Array.from({ length: 30 }, normal(3)).map((z) => 5 + z);
    expect(medianInterval(values, 4)).toEqual(medianInterval(values, 4));
    const [low, high] = medianInterval(values);
    expect(low).toBeLessThanOrEqual(median(values));
    expect(high).toBeGreaterThanOrEqual(median(values));
  });
});
