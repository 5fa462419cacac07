import { describe, expect, test } from "vitest";
import { noRealData, realData, realModel } from "../../test/real-data.ts";
import { constantOf, contextOn, modelOf, relativeError, run, samplesOf } from "../../test/suites/ptq.ts";
import { row } from "../../test/suites/quantize.ts";
import { type Model, type Outputs, tensorOf, toFloat32 } from "../ir/index.ts";
import { parseEvalConfig } from "../measure/evaluate-config.ts";
import type { Feeds } from "../measure/latency.ts";
import { runPass } from "../passes/manager.ts";
import { noChoices } from "../passes/quantize/choices.ts";
import { checkLegality } from "../passes/quantize/legality.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { simplify } from "../passes/simplify/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import { ortX64, ortX64NoVnni } from "../targets/onnxruntime/targets.ts";
import { seededRandom } from "../util/random.ts";
import type { PtqContext } from "./ptq/context.ts";
import { divergences, mean } from "./ptq/divergence.ts";
import { quantized } from "./ptq/quantized.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { safeRecipe } from "./safe-recipe.ts";
import { saturatingNodes, simulateWithoutVnni } from "./saturation.ts";
import { openSetup } from "./setup.ts";

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

/** Weights of any size, all of one sign: a 7-bit grid is twice as coarse for them. */
const uneven = modelOf("(float[1,16,4,4] x) => (float[1,8,4,4] y)", "y = Conv (x, u)", {
  u: filled([8, 16, 1, 1], () => 0.2 + 0.8 * uniform()),
});

const recipeOf = (own: Model, context: PtqContext): Recipe => ({
  name: "own",
  model: own,
  statistics: context.statistics,
  choices: noChoices,
  options: {},
  measured: [],
});

test("layers that saturate get scales that cannot where that costs nothing", async () => {
  const context = await contextOn(model, feeds, { row: fullRange });
  const best = recipeOf(model, context);
  const emit = ({ choices }: Recipe) => quantized(model, context, choices);
  const { recipe, saturating } = await safeRecipe(context, best);
  // the second layer saturates only where the first one's sums do not
  expect(new Set(saturating.map(({ node }) => node))).toEqual(new Set(["a", "y"]));
  expect(saturating[0]?.share).toBeGreaterThan(0);
  // weights of ±1 are as exact in 7 bits
  expect(saturating.find(({ node }) => node === "a")?.remedy).toBe("scales");
  expect(recipe.choices.weights.get("w")?.scales?.length).toBe(8);
  expect(await saturatingNodes(await emit(recipe), samplesOf(feeds), { executor: context.executor })).toEqual([]);
  // coarser, and close to the float model all the same
  expect(relativeError(await run(model, feeds), await run(await emit(recipe), feeds))).toBeLessThan(1e-3);
  expect(best.choices.weights.size).toBe(0);
});

test("where coarser scales cost accuracy, the same weights are stored as uint8, and give what VNNI gives", async () => {
  const context = await contextOn(uneven, feeds, { row: fullRange });
  const best = recipeOf(uneven, context);
  const { recipe, saturating } = await safeRecipe(context, best);
  expect(saturating.map(({ node, remedy }) => [node, remedy])).toEqual([["y", "uint8"]]);
  expect(recipe.choices.weights.get("u")).toEqual({ dtype: "uint8" });
  const { executor } = context;
  const plain = await quantized(uneven, context, noChoices);
  const fixed = await quantized(uneven, context, recipe.choices);
  const simulated = async (emitted: Model, unsaturated: boolean) =>
    (await simulateWithoutVnni(emitted, samplesOf(feeds), { executor, everyLayer: true, unsaturated })).outputs.map(({ y }) => [
      ...(y?.bytes() ?? []),
    ]);
  const wanted = await simulated(plain, true);
  expect(await simulated(plain, false)).not.toEqual(wanted);
  expect(await simulated(fixed, false)).toEqual(wanted);
  expect(checkLegality(fixed, ortX64.quantization)).toEqual([]);
  expect(checkLegality(fixed, ortX64NoVnni.quantization)).toEqual([]);
});

test("kernels that take no uint8 weights leave the scales", async () => {
  const { wideDtype: _, ...weight } = fullRange.weight;
  const context = await contextOn(uneven, feeds, { row: { ...fullRange, weight } });
  const { recipe, saturating } = await safeRecipe(context, recipeOf(uneven, context));
  expect(saturating.map(({ remedy }) => remedy)).toEqual(["scales"]);
  expect(recipe.choices.weights.get("u")?.dtype).toBeUndefined();
});

test("a layer that saturates and does no harm is left alone", async () => {
  // the second branch saturates as much as the first, and counts a thousandth of it
  const branches = modelOf(
    "(float[1,16,4,4] x) => (float[1,8,4,4] y)",
    "a = Conv (x, u) b = Conv (x, v) s = Mul (b, k) y = Add (a, s)",
    {
      u: constantOf(uneven, "u"),
      v: filled([8, 16, 1, 1], () => 0.2 + 0.8 * uniform()),
      k: filled([1], () => 1e-3),
    },
  );
  const context = await contextOn(branches, feeds, { row: fullRange });
  const best = recipeOf(branches, context);
  const plain = await quantized(branches, context, noChoices);
  const noisy = await saturatingNodes(plain, samplesOf(feeds), { executor: context.executor, unsaturated: true });
  expect(new Set(noisy.map(({ node }) => node))).toEqual(new Set(["a", "b"]));
  const { recipe, saturating } = await safeRecipe(context, best);
  expect(saturating.map(({ node }) => node)).toEqual(["a"]);
  expect([...recipe.choices.weights.keys()]).toEqual(["u"]);
  // without the time to find that out, both get the remedy that changes no number
  const hurried = await safeRecipe(context, best, { timeMs: 0 });
  expect(new Map(hurried.saturating.map(({ node, remedy }) => [node, remedy]))).toEqual(
    new Map([
      ["a", "uint8"],
      ["b", "uint8"],
    ]),
  );
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
  const best = recipeOf(small, context);
  const { recipe, saturating } = await safeRecipe(context, best);
  expect(recipe).toBe(best);
  expect(saturating).toEqual([]);
});

describe.skipIf(noRealData)("on ResNet-8", () => {
  test("one layer of ten is changed, and the file gives without VNNI what the unchanged one gives with it", async () => {
    const setup = await openSetup({
      evaluation: parseEvalConfig(
        {
          model: realModel("resnet8-cifar10-mlperf"),
          data: realData("cifar10", "test_2000.bin.gz"),
          preprocess: "raw-255",
          task: "classification",
        },
        realData(),
      ),
    });
    const resnet = setup.model.clone();
    await runPass(simplify, resnet, {}, ortEvaluate);
    const pictures: Feeds[] = [];
    for await (const sample of setup.samples(undefined, { limit: 48 })) pictures.push(sample.feeds);
    const context = await contextOn(resnet, pictures, { row: fullRange, judges: 24, classScores: true });
    const { recipe, saturating } = await safeRecipe(context, recipeOf(resnet, context));
    expect(saturating).toHaveLength(1);
    const plain = await quantized(resnet, context, noChoices);
    const fixed = await quantized(resnet, context, recipe.choices);
    const { executor, judgeFeeds } = context;
    const without = async (model: Model, unsaturated = false) =>
      (await simulateWithoutVnni(model, samplesOf(judgeFeeds), { executor, unsaturated })).outputs;
    const float = await run(resnet, judgeFeeds);
    const kl = (outputs: readonly Outputs[]) => mean(divergences(float, outputs, true));
    const [usual, saturated, remedied] = [await without(plain, true), await without(plain), await without(fixed)];
    expect(kl(saturated)).toBeGreaterThan(2 * kl(usual));
    expect(kl(remedied)).toBeLessThan(1.15 * kl(usual));
  }, 60_000);
});
