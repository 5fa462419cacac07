import { describe, expect, test } from "vitest";
import { modelOf, normalTensor, planOf } from "../../../test/suites/ptq.ts";
import { suspects, workShares } from "./suspects.ts";

const heads = modelOf(
  "(float[1,4,4,4] x) => (float[1,6,4,4] y)",
  "a = Conv (x, w) b = Sigmoid (a) c = Mul (a, b) p = Conv (c, u) q = Conv (c, v) y = Concat <axis = 1> (p, q)",
  {
    w: normalTensor([4, 4, 1, 1], 1),
    u: normalTensor([4, 4, 1, 1], 2),
    v: normalTensor([2, 4, 1, 1], 3),
  },
);

describe("groups that may go back to float", () => {
  test("the layers whose results no other layer reads, and kinds of ops", () => {
    const found = suspects(planOf(heads));
    expect(found.get("last layers")).toEqual(["p", "q"]);
    expect(found.get("Sigmoid")).toEqual(["b"]);
    expect(found.get("Mul")).toEqual(["c"]);
    expect([...found.values()].flat()).not.toContain("a");
  });

  test("a single layer is no group of its own", () => {
    const one = modelOf("(float[1,4,4,4] x) => (float[1,4,4,4] y)", "y = Conv (x, w)", { w: normalTensor([4, 4, 1, 1], 1) });
    expect(suspects(planOf(one)).has("last layers")).toBe(false);
  });

  test("their share of the work is that of multiply-accumulates and of bytes, one half each", () => {
    const shareOf = workShares(heads);
    const all = ["a", "b", "c", "p", "q", "y"];
    expect(shareOf(all)).toBeCloseTo(1, 6);
    expect(shareOf([])).toBe(0);
    expect(shareOf(["p", "p"])).toBe(shareOf(["p"]));
    // 4·4 of 16 + 16 + 8 products at every place; more than half of that once its bytes, fewer than everyone's, are added
    expect(shareOf(["p"])).toBeGreaterThan(0.2);
    expect(shareOf(["p"])).toBeLessThan(0.4);
    expect(shareOf(["b"])).toBeLessThan(shareOf(["p"]));
  });
});
