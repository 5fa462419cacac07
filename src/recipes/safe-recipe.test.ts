import { expect, test } from "vitest";
import { contextOn, modelOf, relativeError, run } from "../../test/suites/ptq.ts";
import { row } from "../../test/suites/quantize.ts";
import { tensorOf, toFloat32 } from "../ir/index.ts";
import { noChoices } from "../passes/quantize/choices.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { seededRandom } from "../util/random.ts";
import { quantized } from "./ptq/quantized.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { safeRecipe } from "./safe-recipe.ts";
import { saturatingNodes } from "./saturation.ts";

const uniform = seededRandom(11);
const filled = (shape: readonly number[], next: () => number) => {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return tensorOf("float32", shape, Float32Array.from({ length: size }, next));
};
/** Weights near their largest magnitude on inputs near theirs: sums of two products pass 16 bits. The second layer has small weights. */
const model = modelOf("(float[1,16,4,4] x) => (float[1,4,4,4] y)", "a = Conv (x, w) r = Relu (a) y = Conv (r, v)", {
  w: filled([8, 16, 1, 1], () => (uniform() < 0.9 ? 1 : -1)),
  v: filled([4, 8, 1, 1], () => (uniform() < 0.06 ? 1 : 0.1 * (uniform() - 0.5))),
});
const feeds = Array.from({ length: 8 }, () => ({ x: filled([1, 16, 4, 4], () => 0.8 + 0.2 * uniform()) }));
const fullRange: QuantizationRow = { ...row, weight: { ...row.weight, reduceRange: false } };

test("layers that saturate get scales that cannot; the others keep what was chosen", async () => {
  const context = await contextOn(model, feeds, { row: fullRange });
  const best: Recipe = { name: "own", model, statistics: context.statistics, choices: noChoices, options: {}, measured: [] };
  const emit = ({ choices }: Recipe) => quantized(model, context, choices);
  const { recipe, saturating } = await safeRecipe(context, best);
  // the second layer saturates only where the first one's sums do not any more
  expect(saturating.map(({ node }) => node)).toEqual(["a", "y"]);
  expect(saturating[0]?.share).toBeGreaterThan(0);
  expect(recipe.choices.weights.has("w")).toBe(true);
  const samples = feeds.map((one, i) => ({ id: String(i), origin: String(i), feeds: one, target: undefined, geometry: {} }));
  expect(await saturatingNodes(await emit(recipe), samples, { executor: context.executor })).toEqual([]);
  // coarser, and close to the float model all the same
  expect(relativeError(await run(model, feeds), await run(await emit(recipe), feeds))).toBeLessThan(1e-3);
  expect(best.choices.weights.size).toBe(0);
});

test("a model in which nothing saturates comes back as it is", async () => {
  // inputs of both signs lie in the middle of the integers, and no large weights are neighbours
  const inputs = feeds.map(({ x }) => ({ x: filled(x.shape, () => uniform() - 0.5) }));
  const w = filled([8, 16, 1, 1], () => 0.1 * (uniform() - 0.5));
  const small = modelOf("(float[1,16,4,4] x) => (float[1,8,4,4] y)", "y = Conv (x, w)", {
    w: tensorOf(
      "float32",
      w.shape,
      toFloat32(w).map((x, i) => (i % 16 === 0 ? 1 : x)),
    ),
  });
  const context = await contextOn(small, inputs, { row: fullRange });
  const best: Recipe = {
    name: "own",
    model: small,
    statistics: context.statistics,
    choices: noChoices,
    options: {},
    measured: [],
  };
  const { recipe, saturating } = await safeRecipe(context, best);
  expect(recipe).toBe(best);
  expect(saturating).toEqual([]);
});
