import { describe, expect, it } from "vitest";
import { editDistance, nearest } from "./suggest.ts";

describe("suggest", () => {
  it("counts edits, a swap of neighbours as one", () => {
    expect(editDistance("bench", "bench")).toBe(0);
    expect(editDistance("bnech", "bench")).toBe(1);
    expect(editDistance("eval", "evil")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
  });

  it("finds the verb that was meant, and none where none is near", () => {
    const verbs = ["inspect", "simplify", "eval", "bench", "quantize", "optimize", "doctor"];
    expect(nearest("inspct", verbs)).toBe("inspect");
    expect(nearest("optimise", verbs)).toBe("optimize");
    expect(nearest("quant", verbs)).toBe("quantize");
    expect(nearest("frobnicate", verbs)).toBeUndefined();
  });
});
