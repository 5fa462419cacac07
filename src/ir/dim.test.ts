import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addDims,
  broadcastDims,
  broadcastShapes,
  canonicalDim,
  ceilDivDims,
  floorDivDims,
  isAtLeast,
  maxDims,
  minDims,
  mulDims,
  productOf,
  subDims,
  substitute,
  symbolsOf,
} from "./dim.ts";
import type { Dim } from "./shape.ts";

const reject = (reason: string): never => {
  throw new Error(reason);
};

/** A random expression, built by our operations on dims and by plain arithmetic on numbers at once. */
interface Both {
  readonly dim: Dim;
  readonly value: (bindings: Readonly<Record<string, number>>) => number;
}
const leaf: fc.Arbitrary<Both> = fc.oneof(
  fc.integer({ min: -9, max: 9 }).map((n) => ({ dim: n, value: () => n })),
  fc
    .constantFrom("N", "M", "batch-size", "two words")
    .map((s) => ({ dim: s, value: (b: Readonly<Record<string, number>>) => b[s] ?? 0 })),
);
const operations = [
  [addDims, (a: number, b: number) => a + b],
  [subDims, (a: number, b: number) => a - b],
  [mulDims, (a: number, b: number) => a * b],
  [maxDims, Math.max],
  [minDims, Math.min],
] as const;
const { expression } = fc.letrec<{ expression: Both }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4, depthIdentifier: "dim" },
    leaf,
    fc.tuple(fc.constantFrom(...operations), tie("expression"), tie("expression")).map(([[onDims, onNumbers], a, b]) => ({
      dim: onDims(a.dim, b.dim),
      value: (bindings: Readonly<Record<string, number>>) => onNumbers(a.value(bindings), b.value(bindings)),
    })),
    fc.tuple(tie("expression"), fc.integer({ min: 1, max: 6 }), fc.boolean()).map(([a, n, up]) => ({
      dim: (up ? ceilDivDims : floorDivDims)(a.dim, n),
      value: (bindings: Readonly<Record<string, number>>) => (up ? Math.ceil : Math.floor)(a.value(bindings) / n),
    })),
  ),
}));
const bindings = fc.record({
  N: fc.integer({ min: 1, max: 50 }),
  M: fc.integer({ min: 1, max: 50 }),
  "batch-size": fc.integer({ min: 1, max: 9 }),
  "two words": fc.integer({ min: 1, max: 9 }),
});

describe("symbolic dims", () => {
  it("compute what numbers compute once the symbols are known", () => {
    fc.assert(
      fc.property(expression, bindings, ({ dim, value }, known) => {
        // + 0 turns -0 into 0; "?" may come out where an expression grew beyond the limits
        if (dim !== "?") expect(substitute(dim, known)).toBe(value(known) + 0);
      }),
      { numRuns: 2000 },
    );
  });

  it("print canonically: reading a dim back gives the same text", () => {
    fc.assert(
      fc.property(expression, ({ dim }) => canonicalDim(dim) === dim),
      { numRuns: 1000 },
    );
  });

  it("add and multiply commutatively and distribute", () => {
    fc.assert(
      fc.property(expression, expression, expression, ({ dim: a }, { dim: b }, { dim: c }) => {
        expect(addDims(a, b)).toBe(addDims(b, a));
        expect(mulDims(a, b)).toBe(mulDims(b, a));
        const [left, right] = [mulDims(a, addDims(b, c)), addDims(mulDims(a, b), mulDims(a, c))];
        if (left !== "?" && right !== "?") expect(left).toBe(right);
      }),
    );
  });

  it("divide products exactly", () => {
    const product = productOf(["N", 12, addDims("T", 1), "N"]);
    expect(floorDivDims(product, mulDims("N", addDims("T", 1)))).toBe("12*N");
    expect(floorDivDims(product, 5)).toBe("floor((12*N*N*T + 12*N*N) / 5)");
    expect(floorDivDims(mulDims("N", 12), "N")).toBe(12);
  });

  it("take the even part out of floor divisions and join nested ones", () => {
    expect(floorDivDims("4*N + 3", 2)).toBe("2*N + 1");
    expect(floorDivDims(addDims(floorDivDims(addDims("H", -1), 2), 1), 2)).toBe("floor((H + 1) / 4)");
    expect(ceilDivDims(ceilDivDims("H", 2), 2)).toBe("floor((H + 3) / 4)");
  });

  it("decide max and min where symbols leave no choice", () => {
    expect(maxDims(0, subDims("N", 1))).toBe("N - 1");
    expect(minDims("N", addDims("N", 2))).toBe("N");
    expect(minDims("N", 100)).toBe("min(100, N)");
    expect(isAtLeast("2*N - 1", 1)).toBe(true);
    expect(isAtLeast("N - 1", 1)).toBe(false);
  });

  it("say nothing where something is unknown, except times zero", () => {
    expect(addDims("?", 1)).toBe("?");
    expect(mulDims("?", 0)).toBe(0);
    expect(floorDivDims(4, 0)).toBe("?");
    expect(mulDims(Number.MAX_SAFE_INTEGER, 2)).toBe("?");
  });

  it("keep names that are no expressions", () => {
    expect(canonicalDim("batch-size")).toBe("batch-size");
    // H + 0.5 is no whole number: such a text stays a name and is not taken for half of H + 1.
    expect(canonicalDim("floor(H + 1 / 2)")).toBe("floor(H + 1 / 2)");
    expect(substitute(canonicalDim("floor(H + 1 / 2)"), { H: 9 })).toBe("floor(H + 1 / 2)");
    expect(substitute(canonicalDim("floor((H + 1) / 2)"), { H: 9 })).toBe(5);
    expect(mulDims(2, "two words")).toBe("2*`two words`");
    expect(symbolsOf(mulDims(2, "two words"))).toEqual(["two words"]);
    expect(canonicalDim("")).toBe("?");
    expect(canonicalDim("12")).toBe(12);
    expect(canonicalDim("(".repeat(5000))).toBe("(".repeat(5000));
  });

  it("do not explode on hostile arithmetic", () => {
    let dim: Dim = 1;
    for (let i = 0; i < 40; i++) dim = mulDims(dim, addDims(`a${i}`, `b${i}`));
    expect(dim).toBe("?");
  });
});

describe("broadcasting", () => {
  it("follows numpy, symbols included", () => {
    expect(broadcastShapes([["N", 3, 1], [4], []], reject)).toEqual(["N", 3, 4]);
    expect(broadcastDims("N", 4)).toBe(4);
    expect(broadcastDims("N", "M")).toBe("max(M, N)");
    expect(broadcastDims("?", 1)).toBe("?");
    expect(broadcastShapes([undefined, [1]], reject)).toBeUndefined();
  });

  it("rejects shapes that contradict", () => {
    expect(() =>
      broadcastShapes(
        [
          [2, 3],
          [2, 4],
        ],
        reject,
      ),
    ).toThrow("[2,3] and [2,4] do not broadcast");
  });
});
