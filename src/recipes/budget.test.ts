import { describe, expect, test } from "vitest";
import { candidate, measured } from "../../test/suites/candidate.ts";
import { type Budget, choose, paretoSet, violations } from "./budget.ts";

const onePoint: Budget = { maxDrop: 1, maxSizeBytes: null, maxLatencyMs: null };
const baseline = candidate("baseline", 1, 0, 4000, { latencyRatio: null, latencyVerdict: null });

describe("choose", () => {
  test("the fastest that keeps the budget", () => {
    const { chosen, budgetMet } = choose(
      [baseline, candidate("slow", 0.8, 0, 1000), candidate("fast", 0.5, -0.9, 1000), candidate("wild", 0.3, -4, 900)],
      onePoint,
    );
    expect([chosen.name, budgetMet]).toEqual(["fast", true]);
  });

  test("what is not measurably faster is never recommended, and the reasons say so", () => {
    const { chosen, reasons } = choose([baseline, candidate("int8", 1.2, 0, 1000), candidate("fp16", 1.01, 0, 2000)], onePoint);
    expect(chosen.name).toBe("baseline");
    expect(reasons.join(" ")).toMatch(/int8 is slower than the original.*fp16 is not measurably faster/);
  });

  test("a slower one only where the original breaks the size budget", () => {
    const { chosen, budgetMet } = choose([baseline, candidate("int8", 1.2, 0, 1000)], { ...onePoint, maxSizeBytes: 2000 });
    expect([chosen.name, budgetMet]).toEqual(["int8", true]);
  });

  test("at the same speed the one closer to the original's outputs", () => {
    const near = candidate("near", 0.51, -0.4, 1000, { others: [measured("sqnr", 25, "dB")] });
    const far = candidate("far", 0.5, 0.2, 1000, { others: [measured("sqnr", 15, "dB")] });
    expect(choose([baseline, far, near], onePoint).chosen.name).toBe("near");
  });

  test("when nothing keeps the budget, the nearest, and it is said", () => {
    const { chosen, budgetMet, reasons } = choose([baseline, candidate("int8", 0.5, 0, 1000)], {
      ...onePoint,
      maxSizeBytes: 500,
    });
    expect([chosen.name, budgetMet]).toEqual(["int8", false]);
    expect(reasons[0]).toMatch(/No candidate keeps the budget/);
  });

  test("failed candidates take no part", () => {
    const broken = candidate("broken", 0.1, 0, 10, { outcome: "failed" });
    expect(choose([baseline, broken], onePoint).chosen.name).toBe("baseline");
  });
});

test("violations name each limit", () => {
  const bad = candidate("bad", 0.5, -3, 5_000_000);
  expect(violations(bad, { maxDrop: 1, maxSizeBytes: 4_000_000, maxLatencyMs: 2 })).toEqual([
    "loses 3.00 points, more than 1",
    "is 5.00 MB, more than 4.00 MB",
    "takes 5.00 ms, more than 2 ms",
  ]);
  expect(violations(candidate("edge", 0.5, -1, 1), onePoint)).toEqual([]);
});

test("the Pareto set has no member that another beats, and no two that are one", () => {
  const small = candidate("small", 0.9, -2, 100);
  const fast = candidate("fast", 0.5, -0.5, 1000);
  const sameAsFast = candidate("same", 0.51, -0.5, 1000);
  const worse = candidate("worse", 0.8, -1, 1200);
  expect(paretoSet([baseline, small, fast, sameAsFast, worse])).toEqual(["baseline", "small", "fast"]);
});
