import type { Dataset } from "../data/dataset.ts";
import { type PrepareOptions, prepareSamples } from "../data/prepare.ts";
import type { PreprocessInput } from "../data/preprocess.ts";
import { presets } from "../data/presets.ts";
import { binomialAtLeast } from "../metrics/statistics/distributions.ts";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { type AccuracyResult, evaluateAccuracy } from "./accuracy.ts";
import { compareAccuracy } from "./accuracy-compare.ts";
import type { ResolvedTask } from "./task.ts";

export interface PresetTrial {
  readonly preset: string;
  readonly result: AccuracyResult;
}

export interface PresetSearch {
  readonly dataset: Dataset;
  readonly session: Session;
  readonly task: ResolvedTask;
  /** Which samples: split, seed, limit. */
  readonly prepare: PrepareOptions;
  /** The preset that is tried first and wins ties. */
  readonly first?: string | undefined;
  /** Samples for the final round; default 64. A quarter of them decides which presets get there. */
  readonly samples?: number;
}

const circumstances = { subject: "", device: "", versions: {} };
const quick = { replicates: 200 };
const brokenSample = new Set(["DATA_IMAGE", "DATA_AUDIO", "DATA_CORRUPT", "DATA_NOT_FINITE"]);

async function tryPreset(
  search: PresetSearch,
  preprocess: string | PreprocessInput,
  limit: number,
  options: RunOptions,
): Promise<AccuracyResult | undefined> {
  const { dataset, session, task, prepare } = search;
  const some = Math.min(limit, prepare.limit ?? Number.POSITIVE_INFINITY);
  const samples = prepareSamples(dataset, preprocess, session.inputs, { ...prepare, limit: some, signal: options.signal });
  try {
    return await evaluateAccuracy({ ...circumstances, session, samples, task, bootstrap: quick }, { signal: options.signal });
  } catch (error) {
    // a preset that does not fit this model is no candidate; a sample that cannot be read stops every preset, so say it now
    if (error instanceof EdgewrightError && !brokenSample.has(error.code)) return undefined;
    throw error;
  }
}

/** The score that decides, higher is better; a model that breaks ranks last. */
function rank({ scores }: AccuracyResult): number {
  const main = scores.find(({ against }) => against === "label");
  if (!main || Number.isNaN(main.value)) return Number.NEGATIVE_INFINITY;
  return main.better === "higher" ? main.value : -main.value;
}

const ranked = (trials: readonly PresetTrial[]): PresetTrial[] => [...trials].sort((a, b) => rank(b.result) - rank(a.result));

/**
 * Scores the presets that fit the data and the model on the same few samples, best first; only those that do well on a quarter of the
 * samples get all of them.
 */
export async function tryPresets(search: PresetSearch, options: RunOptions = {}): Promise<PresetTrial[]> {
  const kinds = new Set(search.dataset.features.map((feature) => feature.kind));
  const fitting = Object.entries(presets).filter(([, preset]) => kinds.has(preset.feature));
  const names = fitting.map(([name]) => name).sort((a, b) => Number(b === search.first) - Number(a === search.first));
  const total = search.samples ?? 64;
  const firstRound = await tryEach(search, names, Math.ceil(total / 4), options);
  const best = ranked(firstRound).slice(0, 4);
  if ((best[0]?.result.n ?? 0) < Math.ceil(total / 4)) return best;
  const finalists = best.map(({ preset }) => preset);
  return ranked(await tryEach(search, finalists, total, options));
}

async function tryEach(
  search: PresetSearch,
  names: readonly string[],
  limit: number,
  options: RunOptions,
): Promise<PresetTrial[]> {
  const trials: PresetTrial[] = [];
  for (const [i, preset] of names.entries()) {
    const result = await tryPreset(search, preset, limit, options);
    if (result) trials.push({ preset, result });
    options.onProgress?.({ step: `try presets on ${limit} samples`, done: i + 1, total: names.length });
  }
  return trials;
}

export interface PreprocessCheck {
  readonly warnings: readonly string[];
  /** A preset that does clearly better on the same samples. */
  readonly better: string | undefined;
  readonly trials: readonly PresetTrial[];
}

/**
 * Whether other presets do clearly better than the given preprocessing: on at most 64 samples, by more than 5 points (5 % of the value
 * for metrics that are no percentages), and beyond what resampling explains at 99.9 %, as some 20 presets compete.
 */
export async function checkPreprocess(
  search: PresetSearch,
  preprocess: string | PreprocessInput,
  options: RunOptions = {},
): Promise<PreprocessCheck> {
  const own = await tryPreset(search, preprocess, search.samples ?? 64, options);
  if (!own || own.scores.every(({ against }) => against !== "label")) return { warnings: [], better: undefined, trials: [] };
  const trials = await tryPresets(search, options);
  const winner = trials[0];
  const difference =
    winner && winner.result.n === own.n ? compareAccuracy(own, winner.result, { confidence: 0.999 }).differences[0] : undefined;
  if (!winner || !difference?.interval) return { warnings: [], better: undefined, trials };
  const margin = difference.unit === "%" ? 5 : 0.05 * Math.abs(difference.baseline);
  const gain = -difference.drop;
  const sure = difference.better === "higher" ? difference.interval[0] > 0 : difference.interval[1] < 0;
  if (!(sure && gain > margin)) return { warnings: [], better: undefined, trials };
  const show = (value: number): string =>
    `${value.toFixed(difference.unit === "%" ? 1 : 2)}${difference.unit && ` ${difference.unit}`}`;
  const warning = `The preprocessing looks wrong: on the same ${own.n} samples, preset "${winner.preset}" gives ${difference.metric} ${show(difference.candidate)} instead of ${show(difference.baseline)}.`;
  return { warnings: [warning], better: winner.preset, trials };
}

/** A warning when an accuracy is no better than guessing: a one-sided binomial test against 1/classes at 5 %. */
export function chanceWarning(result: AccuracyResult, classes: number | undefined): string | undefined {
  const top1 = result.scores.find(({ metric }) => metric === "top-1");
  if (!top1 || !classes || classes < 2) return undefined;
  const right = Math.round((top1.value * top1.n) / 100);
  if (binomialAtLeast(right, top1.n, 1 / classes) < 0.05) return undefined;
  return `${right} of ${top1.n} right is no better than guessing among ${classes} classes: preprocessing, class order or the model is wrong.`;
}
