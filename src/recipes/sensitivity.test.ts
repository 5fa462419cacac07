import { describe, expect, test } from "vitest";
import { constantOf, contextOn, modelOf, normalFeeds, normalTensor, run } from "../../test/suites/ptq.ts";
import { tensorOf, type Value } from "../ir/index.ts";
import { valuesByName } from "../passes/cut.ts";
import { noChoices, type QuantizationChoices } from "../passes/quantize/choices.ts";
import { weightScales } from "../passes/quantize/parameters.ts";
import { dequantizedValues } from "../passes/quantize/probe.ts";
import type { PtqContext } from "./ptq/context.ts";
import { divergences, mean } from "./ptq/divergence.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { measureSensitivity } from "./sensitivity.ts";

const model = modelOf(
  "(float[1,4,6,6] x) => (float[1,4,6,6] y)",
  "a = Conv (x, w0) r = Relu (a) b = Conv (r, w1) s = Relu (b) c = Conv (s, w2) d = Relu (c) y = Conv (d, w3)",
  Object.fromEntries([0, 1, 2, 3].map((i) => [`w${i}`, normalTensor([4, 4, 1, 1], 3 + i, 0.6)])),
);
const feeds = normalFeeds(model, 8);

async function recipeOf(choices: Partial<QuantizationChoices>, options: Recipe["options"] = {}): Promise<[Recipe, PtqContext]> {
  const context = await contextOn(model, feeds);
  const { statistics } = context;
  return [{ name: "own", model, statistics, choices: { ...noChoices, ...choices }, options, measured: [] }, context];
}
const rank = async (choices: Partial<QuantizationChoices>, options: Recipe["options"] = {}, timeMs = 60_000) =>
  measureSensitivity(...(await recipeOf(choices, options)), { timeMs });

describe("sensitivity", () => {
  test("a layer with two-bit weights is first, its cost is its weights'; shares sum to one", async () => {
    const found = await rank({ weights: new Map([["w2", { bits: 2 }]]) });
    expect(found.map(({ node }) => node).sort()).toEqual(["a", "b", "c", "y"]);
    expect(found.map(({ divergence }) => divergence)).toEqual(found.map(({ divergence }) => divergence).sort((p, q) => q - p));
    expect(found.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 10);
    const [first, second] = found;
    expect(first).toMatchObject({ node: "c", opType: "Conv", samples: 8 });
    expect(first?.share).toBeGreaterThan(0.9);
    expect(first?.sqnr).toBeLessThan((second?.sqnr as number) - 10);
    expect(first?.weightsOnly).toBeGreaterThan(0.8 * (first?.divergence as number));
    expect(first?.activationsOnly).toBeLessThan(0.2 * (first?.divergence as number));
  });

  test("layers on both sides of a badly clipped value are first, their cost is their activations'", async () => {
    const [first, second, third] = await rank({ ranges: new Map([["r", { min: 0, max: 0.2 }]]) });
    expect([first?.node, second?.node].sort()).toEqual(["a", "b"]);
    for (const entry of [first, second]) {
      expect(entry?.activationsOnly).toBeGreaterThan(0.9 * (entry?.divergence as number));
      expect(entry?.weightsOnly).toBeLessThan(0.1 * (entry?.divergence as number));
    }
    expect(third?.share).toBeLessThan(0.05);
  });

  test("excluded layers do not take part", async () => {
    const found = await rank({ weights: new Map([["w2", { bits: 2 }]]) }, { exclude: ["c"] });
    expect(found.map(({ node }) => node).sort()).toEqual(["a", "b", "y"]);
  });

  test("bits of the whole recipe count for the weights' part", async () => {
    for (const entry of await rank({}, { weightBits: 3 })) expect(entry.weightsOnly).toBeGreaterThan(0.5 * entry.divergence);
  });

  test("learned integers are what is measured, not the nearest ones", async () => {
    const scales = weightScales(constantOf(model, "w1"), 0, false, 4);
    const integers = Int8Array.from({ length: 16 }, (_, i) => (i % 5) - 2);
    const found = await rank({ weights: new Map([["w1", { bits: 4, scales, integers }]]) });
    const changed = model.clone();
    const value = valuesByName(changed).get("w1") as Value;
    changed.graph.setConstant(value, tensorOf("float32", [4, 4, 1, 1], dequantizedValues(integers, [4, 4, 1, 1], scales, 0)));
    const expected = mean(divergences(await run(model, feeds), await run(changed, feeds), false));
    expect(found[0]?.node).toBe("b");
    expect((found[0]?.weightsOnly as number) / expected).toBeCloseTo(1, 5);
  });

  test("at the time limit it gives what it has", async () => {
    expect(await rank({}, {}, -1)).toEqual([]);
  });
});
