import { describe, expect, it } from "vitest";
import { parseShape } from "../shape-option.ts";
import { parseTime, sizes } from "./bench.ts";

describe("bench flags", () => {
  it("reads times", () => {
    expect(["500ms", "5s", "2m", "1.5s", "3"].map(parseTime)).toEqual([500, 5000, 120_000, 1500, 3000]);
    for (const text of ["", "fast", "-1s", "5h"]) expect(() => parseTime(text)).toThrow(/Write a time/);
  });

  it("wants sizes, not symbols", () => {
    expect(sizes(parseShape("b=2,3", parseShape("a=1,3,224,224")))).toEqual({ a: [1, 3, 224, 224], b: [2, 3] });
    expect(sizes(undefined)).toEqual({});
    for (const text of ["a=N", "a=1,0"]) expect(() => sizes(parseShape(text))).toThrow(/is no size to run/);
  });
});
