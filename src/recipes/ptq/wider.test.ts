import { expect, test } from "vitest";
import { contextOn, modelOf, normalFeeds, normalTensor } from "../../../test/suites/ptq.ts";
import type { Sensitivity } from "../manifest.ts";
import type { PtqContext } from "./context.ts";
import { quantized } from "./quantized.ts";
import { searchRanges } from "./ranges.ts";
import type { Recipe } from "./recipe.ts";
import { widerWeights } from "./wider.ts";

const model = modelOf("(float[1,8] x) => (float[1,8] y)", "a = Gemm (x, small, p) b = Gemm (a, large, q) y = Gemm (b, last, r)", {
  small: normalTensor([8, 4], 1, 0.4),
  p: normalTensor([4], 2, 0.1),
  large: normalTensor([4, 4096], 3, 0.4),
  q: normalTensor([4096], 4, 0.1),
  last: normalTensor([4096, 8], 5, 0.1),
  r: normalTensor([8], 6, 0.1),
});

async function open(): Promise<{ best: Recipe; context: PtqContext }> {
  const context = await contextOn(model, normalFeeds(model, 8));
  const { choices } = await searchRanges(model, context, { bitsOf: () => 4 });
  const { statistics } = context;
  return {
    context,
    best: { name: "ranges", model, statistics, choices, options: { weightBits: 4 }, measured: [] },
  };
}

const ranked = (shares: Readonly<Record<string, number>>): Sensitivity[] =>
  Object.entries(shares).map(([node, share]) => ({
    node,
    opType: "Gemm",
    sqnr: 10,
    divergence: share,
    share,
    weightsOnly: null,
    activationsOnly: null,
    samples: 8,
  }));

test("the layer that suffers most gets 8 bits where it is small; one that would cost bytes does not", async () => {
  const { best, context } = await open();
  const found = widerWeights(best, context, ranked({ b: 0.5, a: 0.4, y: 0.1 }), 4);
  expect(found?.layers).toEqual(["a"]);
  const recipe = found?.recipe as Recipe;
  expect(recipe.name).toBe("ranges, 1 layer at 8 bits");
  const { weights } = recipe.choices;
  expect(["small", "large", "last"].map((name) => weights.get(name)?.bits)).toEqual([8, 4, 4]);
  const emitted = await quantized(model, context, recipe.choices, best.options);
  const integers = [...emitted.graph.initializers].find(({ name }) => name === "small_quantized")?.constant;
  expect(Math.max(...new Int8Array(integers?.bytes() ?? []).map(Math.abs))).toBeGreaterThan(100);
});

test("layers that are like the others, or unknown, stay as they are", async () => {
  const { best, context } = await open();
  expect(widerWeights(best, context, ranked({ b: 0.5, y: 0.3, a: 0.2 }), 4)).toBeUndefined();
  expect(widerWeights(best, context, [], 4)).toBeUndefined();
});
