import { describe, expect, it } from "vitest";
import { seededNormal, seededRandom, shuffled } from "./random.ts";

describe("seededRandom", () => {
  it("repeats its stream for a seed and differs between seeds", () => {
    const draw = (seed: number) => Array.from({ length: 8 }, seededRandom(seed));
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  it("is uniform and normal to within sampling error", () => {
    const uniform = seededRandom(1);
    const normal = seededNormal(seededRandom(2));
    const n = 20_000;
    let sum = 0;
    let squares = 0;
    let uniformSum = 0;
    for (let i = 0; i < n; i++) {
      const z = normal();
      sum += z;
      squares += z * z;
      uniformSum += uniform();
    }
    // standard errors: 0.007 (mean), 0.01 (variance), 0.002 (uniform mean); five of each
    expect(Math.abs(sum / n)).toBeLessThan(0.035);
    expect(Math.abs(squares / n - 1)).toBeLessThan(0.05);
    expect(Math.abs(uniformSum / n - 0.5)).toBeLessThan(0.01);
  });

  it("shuffles without losing an item", () => {
    const items = [1, 2, 3, 4, 5, 6, 7, 8];
    const order = shuffled(items, seededRandom(3));
    expect(order).not.toEqual(items);
    expect([...order].sort()).toEqual(items);
    expect(items).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });
});
