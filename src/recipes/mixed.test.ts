import { expect, test } from "vitest";
import { float32Tensor } from "../ir/index.ts";
import type { FloatNodes } from "./candidates.ts";
import { mixedCandidates } from "./mixed.ts";
import { concentration, sqnrOf } from "./sensitivity.ts";

const nodes = (...divergences: readonly number[]) => {
  const total = divergences.reduce((a, b) => a + b, 0);
  return divergences.map((divergence, i) => ({
    node: `n${i}`,
    opType: "Conv",
    sqnr: 30,
    divergence,
    share: divergence / total,
    weightsOnly: null,
    activationsOnly: null,
    samples: 8,
  }));
};
const make = ({ exclude, name, title }: FloatNodes) => ({
  name,
  title,
  steps: [{ pass: "static", params: { exclude } }],
  build: () => Promise.reject(new Error("not built")),
});
const excluded = (met: boolean, sensitivity: ReturnType<typeof nodes>): unknown[] =>
  [...mixedCandidates(make, sensitivity, met)].map((plan) => plan.steps[0]?.params.exclude);

test("worst nodes go back to float in growing numbers, up to half of them", () => {
  expect(excluded(false, nodes(80, 40, 20, 10, 9, 8, 7, 6))).toEqual([["n0"], ["n0", "n1"], ["n0", "n1", "n2", "n3"]]);
});

test("within the budget only nodes that stand out are tried", () => {
  expect(excluded(true, nodes(90, 4, 4, 3, 2))).toEqual([["n0"]]);
  expect(excluded(true, nodes(5, 4, 4, 3, 2))).toEqual([]);
});

test("says how few nodes make most of the loss", () => {
  expect(concentration(nodes(50, 35, 5, 5, 5))).toEqual({ nodes: 2, of: 5 });
  expect(concentration([])).toEqual({ nodes: 0, of: 0 });
});

test("signal to noise: 20 dB for a tenth of the amplitude, 200 for equality", () => {
  const a = [{ y: float32Tensor([2], [1, -1]) }];
  expect(sqnrOf(a, [{ y: float32Tensor([2], [1.1, -0.9]) }])).toBeCloseTo(20, 4);
  expect(sqnrOf(a, a)).toBe(200);
});
