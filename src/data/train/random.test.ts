import { describe, expect, it } from "vitest";
import { beta, randomOrder, uniformAt, wholeBetween } from "./random.ts";

describe("random streams of training", () => {
  it("depend on every part, and on the purpose", () => {
    const first = (...args: Parameters<typeof uniformAt>) => uniformAt(...args)();
    expect(first("sample", 1, 2, 3)).toBe(first("sample", 1, 2, 3));
    const others = [first("order", 1, 2, 3), first("sample", 2, 2, 3), first("sample", 1, 3, 3), first("sample", 1, 2, 4)];
    // beyond 32 bits as well
    others.push(first("sample", 2 ** 32 + 1, 2, 3), first("sample", 1, 2, 3));
    expect(new Set(others).size).toBe(others.length);
  });
  it("are uniform across neighbouring seeds", () => {
    const draws = Array.from({ length: 4000 }, (_, seed) => uniformAt("sample", seed, 0, 7)());
    // standard error of the mean 0.0046, of the variance 0.0012: five of each
    const mean = draws.reduce((a, b) => a + b) / draws.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.023);
    const variance = draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length;
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.006);
  });
  it("orders are permutations that differ from epoch to epoch", () => {
    const a = randomOrder(100, uniformAt("order", 0, 0));
    const b = randomOrder(100, uniformAt("order", 0, 1));
    expect([...a].sort((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([...a]).not.toEqual([...b]);
  });
  it("whole numbers reach both ends", () => {
    const uniform = uniformAt("batch", 1);
    const seen = new Set(Array.from({ length: 200 }, () => wholeBetween(-2, 2, uniform)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });
  it.each([0.1, 0.4, 1, 3])("Beta(%d, same) has mean ½ and its variance", (alpha) => {
    const uniform = uniformAt("batch", 5);
    const draws = Array.from({ length: 20_000 }, () => beta(alpha, alpha, uniform));
    const mean = draws.reduce((sum, value) => sum + value) / draws.length;
    const variance = draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length;
    // 20,000 draws: standard errors up to 0.0034 (mean) and 0.001 (variance)
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.015);
    expect(Math.abs(variance - 1 / (4 * (2 * alpha + 1)))).toBeLessThan(0.005);
    for (const value of draws) expect(value >= 0 && value <= 1).toBe(true);
  });
});
