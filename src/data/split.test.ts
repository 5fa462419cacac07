import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { float32Tensor } from "../ir/index.ts";
import { sampleOrder } from "./loader.ts";
import { defaultFractions, sampleDigest, splitOf, splits } from "./split.ts";

describe("splits by content", () => {
  it("keep their proportions", () => {
    const counts = { calibration: 0, selection: 0, final: 0 };
    for (let i = 0; i < 10_000; i++) counts[splitOf(`sample ${i}`) as keyof typeof counts]++;
    // 5 standard deviations of a binomial count of 10,000 are at most 250
    for (const split of splits) expect(Math.abs(counts[split] - 10_000 * defaultFractions[split])).toBeLessThan(250);
  });
  it("cover every sample exactly when the fractions add up to 1", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer(), fc.double({ min: 0, max: 1, noNaN: true }), (id, seed, calibration) => {
        const selection = (1 - calibration) / 2;
        expect(splitOf(id, seed, { calibration, selection, final: 1 - calibration - selection })).toBeDefined();
      }),
    );
  });
  it("leave out what no fraction asks for", () => {
    const ids = Array.from({ length: 1000 }, (_, i) => `${i}`);
    const without = ids.filter((id) => splitOf(id, 0, { calibration: 0.1, selection: 0, final: 0 }) === undefined);
    expect(Math.abs(without.length - 900)).toBeLessThan(50);
  });
  it("refuse fractions that make no sense", () => {
    for (const calibration of [-0.1, 1.2, Number.NaN])
      expect(() => splitOf("a", 0, { calibration, selection: 0.5, final: 0 })).toThrow("Split fractions");
  });
  it("depend on the features, not on name or label", () => {
    const tensors = { x: float32Tensor([2], [1, 2]) };
    const a = sampleDigest({ origin: "a", tensors, label: { kind: "class", index: 1 } });
    expect(sampleDigest({ origin: "b", tensors })).toBe(a);
    expect(sampleDigest({ origin: "a", tensors: { x: float32Tensor([2], [1, 3]) } })).not.toBe(a);
    expect(a).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("the seeded order", () => {
  const named = (names: readonly string[]) => ({ length: names.length, origin: (i: number) => names[i] as string });
  const inOrder = (names: readonly string[], seed: number) => [...sampleOrder(named(names), seed)].map((i) => names[i]);
  it("is a permutation that stays when samples are added", () => {
    const names = Array.from({ length: 200 }, (_, i) => `file ${i}`);
    const before = inOrder(names, 7);
    expect([...before].sort()).toEqual([...names].sort());
    expect(before).not.toEqual(names);
    const after = inOrder(["new a", ...names, "new b"], 7);
    expect(after.filter((name) => !name?.startsWith("new"))).toEqual(before);
    expect(inOrder(names, 8)).not.toEqual(before);
  });
});
