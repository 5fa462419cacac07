import type { Model } from "../../ir/index.ts";
import type { EqualizeOptions } from "../../passes/quantize/equalize.ts";
import type { RangeMethod } from "../../passes/quantize/ranges.ts";
import { valuesToObserve } from "../../passes/quantize/static.ts";
import { samplesOf } from "../drive.ts";
import { observe } from "../observe.ts";
import type { PtqContext } from "./context.ts";
import { equalizedModel } from "./equalized.ts";
import type { QuantizeOptions } from "./quantized.ts";
import { type BitsOf, searchRanges, uniformRanges } from "./ranges.ts";
import type { Recipe } from "./recipe.ts";

const equalizations: readonly (Omit<EqualizeOptions, "maxima"> & { readonly name: string })[] = [
  { name: "equalized weights", by: "weights", strength: 0.5, relax: false },
  { name: "smoothed activations", by: "activations", strength: 0.5, relax: false },
];

const uniform: readonly { readonly name: string; readonly method: RangeMethod; readonly percentile?: number }[] = [
  { name: "averaged ranges", method: "average" },
  { name: "min-max ranges", method: "minmax" },
  { name: "percentile ranges", method: "percentile", percentile: 99.99 },
];

export interface FirstOptions extends QuantizeOptions {
  readonly bitsOf?: BitsOf;
}

/**
 * Ways to quantize that differ in ranges, weight scales and equalization: estimators per tensor by their effect on the next op, and one
 * estimator everywhere, each on the model as it is and on equalized ones. `late` is asked before each further model.
 */
export async function firstRecipes(
  simplified: Model,
  context: PtqContext,
  options: FirstOptions,
  late: () => boolean,
): Promise<Recipe[]> {
  const recipes = withEstimators(await searched("measured ranges", simplified, context, options), context);
  for (const { name, ...equalize } of equalizations) {
    if (late()) break;
    const model = await equalizedModel(simplified, context, equalize);
    if (!model) continue;
    const own = { ...context, statistics: await statisticsOf(model, context) };
    recipes.push(...withEstimators(await searched(name, model, own, options), own, name));
  }
  return recipes;
}

async function searched(
  name: string,
  model: Model,
  context: PtqContext,
  { exclude, weightBits, bitsOf }: FirstOptions,
): Promise<Recipe> {
  const options: QuantizeOptions = { ...(exclude ? { exclude } : {}), ...(weightBits === undefined ? {} : { weightBits }) };
  const { choices, measured } = await searchRanges(model, context, { ...options, bitsOf: bitsOf ?? (() => weightBits ?? 8) });
  return { name, model, statistics: context.statistics, choices, options, measured };
}

/** The same weights with one estimator's ranges everywhere. */
function withEstimators(first: Recipe, context: PtqContext, prefix?: string): Recipe[] {
  const others = uniform.map(({ name, method, percentile }) => ({
    ...first,
    name: prefix ? `${prefix}, ${name}` : name,
    choices: { ...first.choices, ranges: uniformRanges(first.model, context, method, percentile) },
  }));
  return [first, ...others];
}

function statisticsOf(model: Model, { row, feeds, executor, threads, options }: PtqContext): Promise<Recipe["statistics"]> {
  const samples = async function* () {
    yield* samplesOf(feeds);
  };
  return observe(model, valuesToObserve(model, row), samples(), { ...options, executor, threads, expected: feeds.length });
}
