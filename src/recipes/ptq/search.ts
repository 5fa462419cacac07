import type { Model } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { planQuantization } from "../../passes/quantize/plan.ts";
import type { Sensitivity } from "../manifest.ts";
import { measureSensitivity } from "../sensitivity.ts";
import { correctBiases } from "./bias.ts";
import type { BlockReport } from "./block-types.ts";
import { Contest, type Trial } from "./contest.ts";
import type { PtqContext } from "./context.ts";
import { firstRecipes } from "./first-recipes.ts";
import { learned } from "./learned.ts";
import { reestimateNormalization } from "./normalization.ts";
import type { QuantizeOptions } from "./quantized.ts";
import type { BitsOf } from "./ranges.ts";
import type { Recipe } from "./recipe.ts";
import { suspects, workShares } from "./suspects.ts";
import { widerWeights } from "./wider.ts";

export interface SearchResult {
  readonly best: Recipe;
  /** Of the best, from the float outputs: KL in nats or relative squared error. */
  readonly divergence: number;
  readonly trials: readonly Trial[];
  readonly blocks: readonly BlockReport[];
  /** The same with nothing left in float, where the best leaves something. */
  readonly full: Recipe | undefined;
  /** Layers that kept 8 bits because fewer hurt them most. */
  readonly wider: readonly string[];
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

class Search {
  readonly #simplified: Model;
  readonly #context: PtqContext;
  readonly #options: SearchOptions;
  readonly #contest: Contest;
  #blocks: readonly BlockReport[] = [];
  #sensitivity: readonly Sensitivity[] = [];
  #wider: readonly string[] = [];
  /** What competed first: ranges and equalization, nothing in float. */
  #quick: readonly Recipe[] = [];
  #shares: ReturnType<typeof workShares> | undefined;

  constructor(simplified: Model, context: PtqContext, options: SearchOptions) {
    this.#simplified = simplified;
    this.#context = context;
    this.#options = options;
    this.#contest = new Contest(simplified, context, options.onBetter);
  }

  /** There is one as soon as ranges have competed. */
  get #best(): Recipe {
    return this.#contest.best as Recipe;
  }

  get #late(): boolean {
    return performance.now() > (this.#options.deadline ?? Number.POSITIVE_INFINITY);
  }

  /** Share of the best's divergence that the same with more nodes in float must get below. */
  #gainFor({ options }: Recipe): number {
    // of low-bit weights a file is wanted that is small
    const low = (this.#options.weightBits ?? 8) < 8;
    if (low || this.#contest.divergence <= this.#context.distance.noticeable) return muchBetter;
    const present = new Set(this.#best.options.exclude);
    this.#shares ??= workShares(this.#simplified);
    return Math.max(muchBetter, better - this.#shares((options.exclude ?? []).filter((key) => !present.has(key))));
  }

  /** Ranges, weight scales and equalization: all at once, since their race is cheap. */
  async ranges(): Promise<void> {
    const started = performance.now();
    this.#quick = await firstRecipes(this.#simplified, this.#context, this.#options, () => this.#late);
    await this.#contest.compete(this.#quick, started);
  }

  /**
   * Ops beside the linear ones whose quantization costs more than everything else (masks before a softmax, boxes joined with scores): they
   * go back to float, one group after the other, as long as that brings the outputs much closer.
   */
  async culprits(): Promise<void> {
    const started = performance.now();
    const model = this.#best.model.clone();
    inferShapes(model);
    const plan = planQuantization(model, this.#context.row, new Set(this.#options.exclude));
    const kinds = suspects(plan);
    const left = new Map(kinds);
    while (left.size > 0 && !this.#late) {
      const best = this.#best;
      const before = this.#contest.divergence;
      const tries = [...left].map(([kind, keys]) => ({
        kind,
        recipe: {
          ...best,
          name: `${best.name}, ${kind} in float`,
          options: { ...best.options, exclude: [...new Set([...(best.options.exclude ?? []), ...keys])] },
        },
      }));
      await this.#contest.compete([best, ...tries.map(({ recipe }) => recipe)], started, {
        gain: (recipe) => this.#gainFor(recipe),
      });
      const taken = tries.find(({ recipe }) => recipe === this.#best);
      if (!taken || this.#contest.divergence > before) break;
      left.delete(taken.kind);
    }
  }

  /** What is best with the worst ops in integers need not be so without them: other ranges, other kinds of ops. */
  async rangesAgain(): Promise<void> {
    const best = this.#best;
    const base = this.#quick.find(({ choices }) => choices === best.choices);
    if (this.#late || !base || base.options === best.options) return;
    const float = best.name.slice(base.name.length);
    const others = this.#quick.filter((recipe) => recipe !== base);
    const same = others.map((recipe) => ({ ...recipe, name: `${recipe.name}${float}`, options: best.options }));
    await this.#contest.compete([best, ...same], performance.now());
    await this.culprits();
  }

  /** Layers that bear low-bit weights worst get 8 bits where they hold few numbers. */
  async lowBitLayers(): Promise<void> {
    const bits = this.#options.weightBits ?? 8;
    if (bits >= 8 || this.#late) return;
    const started = performance.now();
    const best = this.#best;
    const wider = widerWeights(best, this.#context, await this.#ranking(best), bits);
    if (!wider) return;
    await this.#contest.compete([best, wider.recipe], started, { gain: () => muchBetter });
    if (this.#best === wider.recipe) this.#wider = wider.layers;
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
    const best = this.#best;
    this.#sensitivity = await this.#ranking(best);
    const worst = this.#sensitivity.map(({ node }) => node);
    const most = Math.max(2, Math.floor(mostFloat * worst.length));
    for (let count = 1; count <= most && !this.#late; count *= 2) {
      const stands = (this.#sensitivity[count - 1]?.share ?? 0) * worst.length;
      if (stands < (count === 1 ? outlier : 1)) break;
      const present = this.#best;
      const exclude = [...(best.options.exclude ?? []), ...worst.slice(0, count)];
      const name = `${best.name}, ${count} layer${count > 1 ? "s" : ""} in float`;
      await this.#contest.compete([present, { ...best, name, options: { ...best.options, exclude } }], started, {
        gain: (recipe) => this.#gainFor(recipe),
      });
    }
  }

  async biases(): Promise<void> {
    const best = this.#best;
    if (this.#late) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const choices = await correctBiases(best.model, context, best.choices, best.options);
    if (choices === best.choices) return;
    const plain = { ...best, name: `${best.name}, biases for weights`, options: { ...best.options, biasCorrection: true } };
    const cumulative = { ...best, name: `${best.name}, corrected biases`, choices };
    await this.#contest.compete([best, plain, cumulative], started, { feeds: this.#context.judgeFeeds });
  }

  /** BatchNormalization that could not be folded keeps its meaning behind quantized layers. */
  async normalization(): Promise<void> {
    const best = this.#best;
    if (this.#late) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const model = await reestimateNormalization(best.model, context, best.choices, best.options);
    if (model)
      await this.#contest.compete([best, { ...best, name: `${best.name}, re-estimated normalization`, model }], started, {
        feeds: this.#context.judgeFeeds,
      });
  }

  async reconstruction(): Promise<void> {
    const steps = this.#options.steps ?? 150;
    const best = this.#best;
    if (steps === 0 || this.#late || this.#context.feeds.length < fewest) return;
    const started = performance.now();
    const { recipe, blocks, held } = await learned(best, this.#context, { steps, deadline: this.#options.deadline });
    this.#blocks = blocks;
    await this.#contest.compete([best, recipe], started, { feeds: held });
  }

  result(): SearchResult {
    const best = this.#best;
    const exclude = this.#options.exclude ?? [];
    const full =
      (best.options.exclude?.length ?? 0) > exclude.length ? { ...best, options: { ...best.options, exclude } } : undefined;
    return {
      best,
      divergence: this.#contest.divergence,
      trials: this.#contest.trials,
      blocks: this.#blocks,
      full: full && { ...full, name: `${best.name.split(", ")[0]}, nothing in float` },
      wider: this.#wider,
      sensitivity: this.#sensitivity,
    };
  }
}
