import type { Model } from "../ir/index.ts";
import { violations } from "./budget.ts";
import { type CandidateSource, type FloatNodes, firstNodes, recipeCandidate } from "./candidates.ts";
import { realSamples } from "./drive.ts";
import type { Candidate, QuantizationSearch } from "./manifest.ts";
import type { Baseline } from "./measure-candidate.ts";
import { mixedCandidates } from "./mixed.ts";
import type { OptimizeRun } from "./optimize-run.ts";
import { contextOf, type PtqContext, searchThreads } from "./ptq/context.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { type SearchResult, searchQuantization } from "./ptq/search.ts";
import { safeRecipe } from "./safe-recipe.ts";

interface Start {
  readonly simplified: Model;
  readonly baseline: Baseline;
  readonly source: CandidateSource;
}

/** Calibration inputs that the search works with. */
const mostFeeds = 160;
/** Milliseconds for the search where there is no time budget, and its share of one. */
const usualSearchMs = 120_000;
const searchShare = 0.4;
/** The same for layers that saturate. */
const usualSafeMs = 60_000;
const safeShare = 0.2;
/** What the search left in float may not be worth its time: both are measured. */
const allInteger: FloatNodes = { exclude: [], name: "int8-full", title: "INT8 static" };

/**
 * Static INT8 at its best on the target: searched on calibration inputs, made safe for machines without VNNI where the target has such,
 * measured, and refined by putting single nodes back to float.
 */
export async function quantizeBest(run: OptimizeRun, start: Start): Promise<void> {
  if (run.outOfTime) return;
  const { baseline, simplified } = start;
  const context = await contextFor(run, start);
  const deadline = performance.now() + Math.min(usualSearchMs, searchShare * run.millisecondsLeft);
  const found = await searchQuantization(simplified, context, { deadline });
  const safe = run.setup.target.saturates && !run.outOfTime;
  const { recipe, saturating } = safe
    ? await safeRecipe(context, found.best, { timeMs: Math.min(usualSafeMs, safeShare * run.millisecondsLeft) })
    : { recipe: found.best, saturating: null };
  run.manifest.quantization = summary(found, context, saturating);
  await run.save();
  const candidate = await run.tryCandidate(recipeCandidate(context, recipe), simplified, baseline);
  if (found.full) await run.tryCandidate(recipeCandidate(context, found.full, allInteger), simplified, baseline);
  run.manifest.sensitivity = [...found.sensitivity];
  await run.save();
  if (!candidate || candidate.outcome === "failed") return;
  await refine(run, start, { recipe, context, candidate });
}

async function contextFor(run: OptimizeRun, { baseline, source }: Start): Promise<PtqContext> {
  const { setup } = run;
  const options = run.step("quantize");
  const stream = setup.samples("calibration", { ...options, limit: mostFeeds });
  const samples = await realSamples(setup.task, baseline.session, stream, mostFeeds);
  const feeds = samples.map((sample) => sample.feeds);
  return { ...contextOf({ setup, statistics: source.statistics, feeds, samples, options }), threads: searchThreads };
}

function summary(found: SearchResult, context: PtqContext, saturating: QuantizationSearch["saturating"]): QuantizationSearch {
  const estimators: Record<string, number> = {};
  for (const { kind, chosen } of found.best.measured) {
    const key = `${kind} ${chosen}`;
    estimators[key] = (estimators[key] ?? 0) + 1;
  }
  return {
    recipe: found.best.name,
    measure: context.distance.measure,
    divergence: found.divergence,
    trials: [...found.trials],
    estimators,
    saturating,
  };
}

interface Refinement {
  readonly recipe: Recipe;
  readonly context: PtqContext;
  readonly candidate: Candidate;
}

/** Finds the nodes that quantization hurts most and puts the worst back to float, more and more, until the budget is kept. */
async function refine(
  run: OptimizeRun,
  { simplified, baseline, source }: Start,
  { recipe, context, candidate }: Refinement,
): Promise<void> {
  const { manifest, budget } = run;
  const make = (float: FloatNodes) => recipeCandidate(context, recipe, float);
  const first = firstNodes(simplified, source.row);
  if (first) await run.tryCandidate(make(first), simplified, baseline);
  if (run.outOfTime) return;
  const keeps = (one: Candidate): boolean => violations(one, { ...budget, maxLatencyMs: null, maxSizeBytes: null }).length === 0;
  for (const plan of mixedCandidates(make, manifest.sensitivity, keeps(candidate))) {
    const tried = await run.tryCandidate(plan, simplified, baseline);
    if (!tried || keeps(tried)) break;
  }
}
