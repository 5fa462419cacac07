import { expect, test } from "vitest";
import { row } from "../../test/suites/quantize.ts";
import { float32Tensor } from "../ir/index.ts";
import { mixedCandidates } from "./mixed.ts";
import { sqnrOf } from "./sensitivity.ts";

const nodes = (...sqnr: readonly number[]) =>
  sqnr.map((value, i) => ({ node: `n${i}`, opType: "Conv", sqnr: value, samples: 8 }));
const source = { row, statistics: new Map() };
const excluded = (met: boolean, sensitivity: ReturnType<typeof nodes>): unknown[] =>
  [...mixedCandidates(source, { method: "mse" }, sensitivity, met)].map((plan) => plan.steps[0]?.params.exclude);

test("worst nodes go back to float in growing numbers, up to half of them", () => {
  expect(excluded(false, nodes(10, 20, 30, 40, 41, 42, 43, 44))).toEqual([["n0"], ["n0", "n1"], ["n0", "n1", "n2", "n3"]]);
});

test("within the budget only nodes that stand out are tried", () => {
  expect(excluded(true, nodes(10, 38, 40, 41, 42))).toEqual([["n0"]]);
  expect(excluded(true, nodes(38, 39, 40, 41, 42))).toEqual([]);
});

test("signal to noise: 20 dB for a tenth of the amplitude, 200 for equality", () => {
  const a = [{ y: float32Tensor([2], [1, -1]) }];
  expect(sqnrOf(a, [{ y: float32Tensor([2], [1.1, -0.9]) }])).toBeCloseTo(20, 4);
  expect(sqnrOf(a, a)).toBe(200);
});
