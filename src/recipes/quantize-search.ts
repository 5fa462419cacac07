import type { Model, PreparedSample } from "../ir/index.ts";
import type { Note } from "../passes/define.ts";
import { runPass } from "../passes/manager.ts";
import { planQuantization } from "../passes/quantize/plan.ts";
import { quantizeStatic } from "../passes/quantize/static.ts";
import type { ActivationStatistics } from "../passes/quantize/statistics.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import type { RunOptions } from "../util/progress.ts";
import { realSamples } from "./drive.ts";
import { contextOf, searchThreads } from "./ptq/context.ts";
import type { BitsOf } from "./ptq/ranges.ts";
import { type SearchResult, searchQuantization } from "./ptq/search.ts";
import { safeRecipe } from "./safe-recipe.ts";
import type { Setup } from "./setup.ts";

export interface StaticSearchRequest {
  readonly exclude?: readonly string[] | undefined;
  /** Default 8. Below, the first and the last layer keep 8. */
  readonly weightBits?: number | undefined;
  /** Nothing new is begun after this long; default two minutes, fifteen for weights below 8 bits. */
  readonly searchMs?: number | undefined;
  /** Optimizer steps per block of learned rounding; 0 leaves it out. */
  readonly steps?: number | undefined;
}

export interface StaticSearchResult {
  readonly model: Model;
  readonly notes: readonly Note[];
  readonly found: SearchResult;
  /** Layers that would do harm by saturating without VNNI, and what they got against it. */
  readonly saturating: readonly { readonly node: string; readonly remedy: "scales" | "uint8" }[];
}

const usualMs = (bits: number): number => (bits < 8 ? 900_000 : 120_000);
/** Where rounding is learned, integers must have the time to settle. */
const usualSteps = (bits: number, perChannel: boolean): number => (bits < 8 ? 400 : perChannel ? 150 : 300);

/** The best static quantization that a search finds on the calibration samples, written into a new model. */
export async function searchStatic(
  simplified: Model,
  source: {
    readonly setup: Setup;
    readonly statistics: ReadonlyMap<string, ActivationStatistics>;
    readonly samples: AsyncIterable<PreparedSample>;
    readonly limit: number;
  },
  request: StaticSearchRequest,
  options: RunOptions,
): Promise<StaticSearchResult> {
  const { setup, statistics, limit } = source;
  const bits = request.weightBits ?? 8;
  const session = await setup.executor.load(setup.modelPath, { threads: setup.threads });
  const samples = await realSamples(setup.task, session, source.samples, limit).finally(() => session.release());
  const feeds = samples.map(({ feeds: own }) => own);
  const context = { ...contextOf({ setup, statistics, feeds, samples, options }), threads: searchThreads };
  const found = await searchQuantization(simplified, context, {
    ...(request.exclude ? { exclude: request.exclude } : {}),
    ...(bits < 8 ? { weightBits: bits, bitsOf: edgesAtEight(simplified, context.row, bits) } : {}),
    deadline: performance.now() + (request.searchMs ?? usualMs(bits)),
    steps: request.steps ?? usualSteps(bits, context.row.weight.perChannel),
  });
  const safe = setup.target.saturates ? await safeRecipe(context, found.best) : { recipe: found.best, saturating: [] };
  const { recipe } = safe;
  const model = recipe.model.clone();
  const params = { row: context.row, statistics: recipe.statistics, ...recipe.choices, ...recipe.options };
  const { notes } = await runPass(quantizeStatic, model, params, ortEvaluate);
  return { model, notes, found, saturating: safe.saturating.map(({ node, remedy }) => ({ node, remedy })) };
}

/** Low-bit weights everywhere but in the first and the last layer, which see the raw input and make the answer. */
export function edgesAtEight(simplified: Model, row: Setup["target"]["quantization"], bits: number): BitsOf {
  const layers = [...planQuantization(simplified, row).nodes.values()].flatMap(({ node, weight }) =>
    weight ? [node.inputs[weight.index]?.name] : [],
  );
  const edges = new Set([layers[0], layers.at(-1)]);
  return (weight) => (edges.has(weight) ? 8 : bits);
}
