import { weightsWithoutSaturation } from "../passes/quantize/saturation/safe-scales.ts";
import type { QuantizationSearch } from "./manifest.ts";
import type { PtqContext } from "./ptq/context.ts";
import { quantized } from "./ptq/quantized.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { saturatingNodes } from "./saturation.ts";

/** Inputs on which saturation is looked for: a dozen tell. */
const looked = 12;

/** Looks for layers that saturate: one that does can hide others behind it, since its results are too small. */
const rounds = 3;

/** One file for every CPU: layers whose sums saturate on x86-64 without VNNI get scales that cannot, the others stay as they are. */
export async function safeRecipe(
  context: PtqContext,
  best: Recipe,
): Promise<{ recipe: Recipe; saturating: NonNullable<QuantizationSearch["saturating"]> }> {
  const samples = context.judgeFeeds
    .slice(0, looked)
    .map((feeds, i) => ({ id: String(i), origin: String(i), feeds, target: undefined, geometry: {} }));
  const { executor, threads, options } = context;
  const saturating: NonNullable<QuantizationSearch["saturating"]> = [];
  let recipe = best;
  for (let round = 0; round < rounds; round++) {
    const { model, statistics, choices } = recipe;
    const emitted = await quantized(model, { row: context.row, statistics }, choices, recipe.options);
    const found = await saturatingNodes(emitted, samples, { ...options, executor, threads });
    const fresh = found.filter(({ node }) => !saturating.some((known) => known.node === node));
    if (fresh.length === 0) break;
    saturating.push(...fresh.map(({ node, share, noise }) => ({ node, share, noise })));
    const weights = weightsWithoutSaturation(best.model.clone(), context.row, {
      nodes: new Set(saturating.map(({ node }) => node)),
      choices: best.choices.weights,
    });
    recipe = { ...best, choices: { ...best.choices, weights } };
  }
  return { recipe, saturating };
}
