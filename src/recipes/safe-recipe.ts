import { weightsWithoutSaturation } from "../passes/quantize/saturation/safe-scales.ts";
import type { QuantizationSearch } from "./manifest.ts";
import type { PtqContext } from "./ptq/context.ts";
import { quantized } from "./ptq/quantized.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { saturatingNodes } from "./saturation.ts";

/** Inputs on which saturation is looked for: a dozen tell. */
const looked = 12;

/** One file for every CPU: layers whose sums saturate on x86-64 without VNNI get scales that cannot, the others stay as they are. */
export async function safeRecipe(
  context: PtqContext,
  best: Recipe,
): Promise<{ recipe: Recipe; saturating: NonNullable<QuantizationSearch["saturating"]> }> {
  const model = await quantized(best.model, { row: context.row, statistics: best.statistics }, best.choices, best.options);
  const samples = context.judgeFeeds
    .slice(0, looked)
    .map((feeds, i) => ({ id: String(i), origin: String(i), feeds, target: undefined, geometry: {} }));
  const { executor, threads, options } = context;
  const nodes = await saturatingNodes(model, samples, { ...options, executor, threads });
  const saturating = nodes.map(({ node, share, noise }) => ({ node, share, noise }));
  if (nodes.length === 0) return { recipe: best, saturating };
  const weights = weightsWithoutSaturation(best.model.clone(), context.row, {
    nodes: new Set(nodes.map(({ node }) => node)),
    choices: best.choices.weights,
  });
  return { recipe: { ...best, choices: { ...best.choices, weights } }, saturating };
}
