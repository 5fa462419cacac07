import type { Model, Outputs } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { inferShapes } from "../../ops/infer.ts";
import type { EqualizeOptions } from "../../passes/quantize/equalize.ts";
import { planQuantization } from "../../passes/quantize/plan.ts";
import type { RangeMethod } from "../../passes/quantize/ranges.ts";
import { valuesToObserve } from "../../passes/quantize/static.ts";
import type { Sensitivity } from "../manifest.ts";
import { observe } from "../observe.ts";
import { measureSensitivity } from "../sensitivity.ts";
import { correctBiases } from "./bias.ts";
import type { BlockReport } from "./block-types.ts";
import type { PtqContext } from "./context.ts";
import { mean, outputsOf } from "./divergence.ts";
import { equalizedModel } from "./equalized.ts";
import { learned } from "./learned.ts";
import { reestimateNormalization } from "./normalization.ts";
import { type QuantizeOptions, quantized } from "./quantized.ts";
import { type RaceResult, race } from "./race.ts";
import { type BitsOf, searchRanges, uniformRanges } from "./ranges.ts";
import type { Recipe } from "./recipe.ts";
import { suspects, workShares } from "./suspects.ts";
import { widerWeights } from "./wider.ts";

/** What was tried, in order. */
export interface Trial {
  readonly name: string;
  /** null: outputs that are no numbers, or a model that the runtime refused. */
  readonly divergence: number | null;
  readonly samples: number;
  readonly seconds: number;
  readonly kept: boolean;
}

export interface SearchResult {
  readonly best: Recipe;
  /** Of the best, from the float outputs: KL in nats or relative squared error. */
  readonly divergence: number;
  readonly trials: readonly Trial[];
  readonly blocks: readonly BlockReport[];
  /** The same with nothing left in float, where the best leaves something. */
  readonly full: Recipe | undefined;
  /** What each layer costs by itself; empty where there was no time. */
  readonly sensitivity: readonly Sensitivity[];
}

export interface SearchOptions extends QuantizeOptions {
  readonly bitsOf?: BitsOf;
  /** Nothing new is begun after this moment (performance.now()). */
  readonly deadline?: number;
  /** Steps per block of learned rounding; 0 leaves it out. */
  readonly steps?: number;
  /** Keeps what there is, whenever something better was found. */
  readonly onBetter?: (recipe: Recipe) => Promise<void> | void;
}

const equalizations: readonly (Omit<EqualizeOptions, "maxima"> & { readonly name: string })[] = [
  { name: "equalized weights", by: "weights", strength: 0.5, relax: false },
  { name: "smoothed activations", by: "activations", strength: 0.5, relax: false },
];

const uniform: readonly { readonly name: string; readonly method: RangeMethod; readonly percentile?: number }[] = [
  { name: "averaged ranges", method: "average" },
  { name: "min-max ranges", method: "minmax" },
  { name: "percentile ranges", method: "percentile", percentile: 99.99 },
];

/**
 * Finds the way of quantizing that keeps the outputs closest to the float model's on calibration inputs, cheapest idea first: ranges and
 * weight scales per tensor by their effect on the next op, the same on equalized models, whole-model estimators; then corrected biases;
 * then learned rounding, ranges and biases block by block. Each idea must win a race on inputs that it was not made from.
 */
export async function searchQuantization(
  simplified: Model,
  context: PtqContext,
  options: SearchOptions = {},
): Promise<SearchResult> {
  const search = new Search(simplified, context, options);
  await search.ranges();
  await search.lowBitLayers();
  await search.culprits();
  await search.sensitiveLayers();
  await search.rangesAgain();
  await search.biases();
  await search.normalization();
  await search.reconstruction();
  return search.result();
}

/** What float ops must bring the divergence down to: they cost time. */
const muchBetter = 0.5;
/** As long as the task suffers noticeably: this, less the share of the model's work that goes back to float. */
const better = 0.95;

/** Milliseconds for the ranking of layers, and its share of what is left. */
const sensitivityMs = 60_000;
const sensitivityShare = 0.3;
/** A layer that costs this many times its even share stands out. */
const outlier = 3;
/** Share of the layers that may go back to float. */
const mostFloat = 0.15;

/** Fewer inputs than this teach nothing that holds for others. */
const fewest = 8;

/** Whether a brings b's divergence down to that share, on the samples that both ran. */
function improves(a: RaceResult, b: RaceResult, share: number): boolean {
  const both = Math.min(a.samples, b.samples);
  const own = both > 0 ? mean(b.values.slice(0, both)) : b.divergence;
  return (both > 0 ? mean(a.values.slice(0, both)) : a.divergence) < share * own;
}

class Search {
  readonly #simplified: Model;
  readonly #context: PtqContext;
  readonly #options: SearchOptions;
  readonly #trials: Trial[] = [];
  #blocks: readonly BlockReport[] = [];
  #sensitivity: readonly Sensitivity[] = [];
  /** The float model's outputs. */
  readonly #references = new Map<readonly Feeds[], readonly Outputs[]>();
  /** What competed first: ranges and equalization, nothing in float. */
  #quick: readonly Recipe[] = [];
  #shares: ReturnType<typeof workShares> | undefined;
  #best: Recipe | undefined;
  #divergence = Number.POSITIVE_INFINITY;

  constructor(simplified: Model, context: PtqContext, options: SearchOptions) {
    this.#simplified = simplified;
    this.#context = context;
    this.#options = options;
  }

  get #late(): boolean {
    return performance.now() > (this.#options.deadline ?? Number.POSITIVE_INFINITY);
  }

  /** Share of the best's divergence that the same with more nodes in float must get below. */
  #gainFor({ options }: Recipe): number {
    // of low-bit weights a file is wanted that is small
    const low = (this.#options.weightBits ?? 8) < 8;
    if (low || this.#divergence <= this.#context.distance.noticeable) return muchBetter;
    const present = new Set(this.#best?.options.exclude);
    this.#shares ??= workShares(this.#simplified);
    return Math.max(muchBetter, better - this.#shares((options.exclude ?? []).filter((key) => !present.has(key))));
  }

  /** Ranges, weight scales and equalization: all at once, since their race is cheap. */
  async ranges(): Promise<void> {
    const started = performance.now();
    const recipes = this.#withEstimators(await this.#searched("measured ranges", this.#simplified, this.#context.statistics));
    for (const { name, ...equalize } of equalizations) {
      if (this.#late) break;
      const model = await equalizedModel(this.#simplified, this.#context, equalize);
      if (model) recipes.push(...this.#withEstimators(await this.#searched(name, model, await this.#statisticsOf(model)), name));
    }
    this.#quick = recipes;
    await this.#compete(recipes, started);
  }

  /**
   * Ops beside the linear ones whose quantization costs more than everything else (masks before a softmax, boxes joined with scores): they
   * go back to float, one group after the other, as long as that brings the outputs much closer.
   */
  async culprits(): Promise<void> {
    const started = performance.now();
    const model = (this.#best as Recipe).model.clone();
    inferShapes(model);
    const plan = planQuantization(model, this.#context.row, new Set(this.#options.exclude));
    const kinds = suspects(plan);
    const left = new Map(kinds);
    while (left.size > 0 && !this.#late) {
      const best = this.#best as Recipe;
      const before = this.#divergence;
      const tries = [...left].map(([kind, keys]) => ({
        kind,
        recipe: {
          ...best,
          name: `${best.name}, ${kind} in float`,
          options: { ...best.options, exclude: [...new Set([...(best.options.exclude ?? []), ...keys])] },
        },
      }));
      await this.#compete([best, ...tries.map(({ recipe }) => recipe)], started, { gain: (recipe) => this.#gainFor(recipe) });
      const taken = tries.find(({ recipe }) => recipe === this.#best);
      if (!taken || this.#divergence > before) break;
      left.delete(taken.kind);
    }
  }

  /** What is best with the worst ops in integers need not be so without them: other ranges, other kinds of ops. */
  async rangesAgain(): Promise<void> {
    const best = this.#best as Recipe;
    const base = this.#quick.find(({ choices }) => choices === best.choices);
    if (this.#late || !base || base.options === best.options) return;
    const float = best.name.slice(base.name.length);
    const others = this.#quick.filter((recipe) => recipe !== base);
    const same = others.map((recipe) => ({ ...recipe, name: `${recipe.name}${float}`, options: best.options }));
    await this.#compete([best, ...same], performance.now());
    await this.culprits();
  }

  /** Layers that bear low-bit weights worst get 8 bits where they hold few numbers. */
  async lowBitLayers(): Promise<void> {
    const bits = this.#options.weightBits ?? 8;
    if (bits >= 8 || this.#late) return;
    const started = performance.now();
    const best = this.#best as Recipe;
    const wider = widerWeights(best, this.#context, await this.#ranking(best), bits);
    if (wider) await this.#compete([best, wider.recipe], started, { gain: () => muchBetter });
  }

  /** What each layer costs by itself, as far as there is time. */
  async #ranking(best: Recipe): Promise<readonly Sensitivity[]> {
    const left = (this.#options.deadline ?? Number.POSITIVE_INFINITY) - performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    return left <= 0 ? [] : measureSensitivity(best, context, { timeMs: Math.min(sensitivityMs, sensitivityShare * left) });
  }

  /** Layers that cost far more than the others go back to float: one, two, four, … of the worst, each doubling must pay. */
  async sensitiveLayers(): Promise<void> {
    if (this.#late) return;
    const started = performance.now();
    const best = this.#best as Recipe;
    this.#sensitivity = await this.#ranking(best);
    const worst = this.#sensitivity.map(({ node }) => node);
    const most = Math.max(2, Math.floor(mostFloat * worst.length));
    for (let count = 1; count <= most && !this.#late; count *= 2) {
      const stands = (this.#sensitivity[count - 1]?.share ?? 0) * worst.length;
      if (stands < (count === 1 ? outlier : 1)) break;
      const present = this.#best as Recipe;
      const exclude = [...(best.options.exclude ?? []), ...worst.slice(0, count)];
      const name = `${best.name}, ${count} layer${count > 1 ? "s" : ""} in float`;
      await this.#compete([present, { ...best, name, options: { ...best.options, exclude } }], started, {
        gain: (recipe) => this.#gainFor(recipe),
      });
    }
  }

  async biases(): Promise<void> {
    const best = this.#best as Recipe;
    if (this.#late) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const choices = await correctBiases(best.model, context, best.choices, best.options);
    if (choices === best.choices) return;
    const plain = { ...best, name: `${best.name}, biases for weights`, options: { ...best.options, biasCorrection: true } };
    const cumulative = { ...best, name: `${best.name}, corrected biases`, choices };
    await this.#compete([best, plain, cumulative], started, { feeds: this.#context.judgeFeeds });
  }

  /** BatchNormalization that could not be folded keeps its meaning behind quantized layers. */
  async normalization(): Promise<void> {
    const best = this.#best as Recipe;
    if (this.#late) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const model = await reestimateNormalization(best.model, context, best.choices, best.options);
    if (model)
      await this.#compete([best, { ...best, name: `${best.name}, re-estimated normalization`, model }], started, {
        feeds: this.#context.judgeFeeds,
      });
  }

  async reconstruction(): Promise<void> {
    const steps = this.#options.steps ?? 150;
    const best = this.#best as Recipe;
    if (steps === 0 || this.#late || this.#context.feeds.length < fewest) return;
    const started = performance.now();
    const { recipe, blocks, held } = await learned(best, this.#context, { steps, deadline: this.#options.deadline });
    this.#blocks = blocks;
    await this.#compete([best, recipe], started, { feeds: held });
  }

  result(): SearchResult {
    const best = this.#best as Recipe;
    const exclude = this.#options.exclude ?? [];
    const full =
      (best.options.exclude?.length ?? 0) > exclude.length ? { ...best, options: { ...best.options, exclude } } : undefined;
    return {
      best,
      divergence: this.#divergence,
      trials: this.#trials,
      blocks: this.#blocks,
      full: full && { ...full, name: `${best.name.split(", ")[0]}, nothing in float` },
      sensitivity: this.#sensitivity,
    };
  }

  async #searched(name: string, model: Model, statistics: Recipe["statistics"]): Promise<Recipe> {
    const { exclude, weightBits, bitsOf } = this.#options;
    const options: QuantizeOptions = { ...(exclude ? { exclude } : {}), ...(weightBits === undefined ? {} : { weightBits }) };
    const bits = bitsOf ?? (() => weightBits ?? 8);
    const { choices, measured } = await searchRanges(model, { ...this.#context, statistics }, { ...options, bitsOf: bits });
    return { name, model, statistics, choices, options, measured };
  }

  /** The same weights with one estimator's ranges everywhere. */
  #withEstimators(searched: Recipe, prefix?: string): Recipe[] {
    const context = { ...this.#context, statistics: searched.statistics };
    const others = uniform.map(({ name, method, percentile }) => ({
      ...searched,
      name: prefix ? `${prefix}, ${name}` : name,
      choices: { ...searched.choices, ranges: uniformRanges(searched.model, context, method, percentile) },
    }));
    return [searched, ...others];
  }

  async #statisticsOf(model: Model): Promise<Recipe["statistics"]> {
    const { row, feeds, executor, threads, options } = this.#context;
    const samples = async function* () {
      for (const [i, one] of feeds.entries())
        yield { id: String(i), feeds: one, origin: String(i), target: undefined, geometry: {} };
    };
    return observe(model, valuesToObserve(model, row), samples(), { ...options, executor, threads, expected: feeds.length });
  }

  async #referenceOn(feeds: readonly Feeds[]): Promise<readonly Outputs[]> {
    const { executor, threads } = this.#context;
    const known = this.#references.get(feeds) ?? (await outputsOf(this.#simplified, feeds, executor, { threads }));
    this.#references.set(feeds, known);
    return known;
  }

  /**
   * The winner becomes the best. `gain`: share of the present best's divergence that another must get below. `feeds`: what they run; what
   * learned from some of the inputs must be judged on the others.
   */
  async #compete(
    recipes: readonly Recipe[],
    started: number,
    {
      gain = () => 1,
      feeds = this.#context.compareFeeds ?? this.#context.judgeFeeds,
    }: { readonly gain?: (recipe: Recipe) => number; readonly feeds?: readonly Feeds[] } = {},
  ): Promise<void> {
    const entrants = [];
    for (const recipe of recipes) {
      const context = { row: this.#context.row, statistics: recipe.statistics };
      entrants.push({ name: recipe.name, model: await quantized(recipe.model, context, recipe.choices, recipe.options) });
    }
    const results = await race(entrants, await this.#referenceOn(feeds), { ...this.#context, judgeFeeds: feeds });
    const own = results.find(({ name }) => name === this.#best?.name);
    const gainOf = (name: string): number => gain(recipes.find((recipe) => recipe.name === name) as Recipe);
    const first = own
      ? (results.slice(0, results.indexOf(own)).find((result) => improves(result, own, gainOf(result.name))) ?? own)
      : results[0];
    const winner = recipes.find(({ name }) => name === first?.name) as Recipe;
    const changed = winner !== this.#best;
    const seconds = (performance.now() - started) / 1000;
    for (const { name, divergence: found, samples } of results) {
      const divergence = Number.isFinite(found) ? found : null;
      if (name !== this.#best?.name) this.#trials.push({ name, divergence, samples, seconds, kept: name === winner.name });
    }
    this.#best = winner;
    this.#divergence = first?.divergence ?? Number.POSITIVE_INFINITY;
    if (changed) await this.#options.onBetter?.(winner);
  }
}
