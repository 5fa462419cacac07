import type { Model, Outputs } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { PtqContext } from "./context.ts";
import { mean, outputsOf } from "./divergence.ts";
import { quantized } from "./quantized.ts";
import { type RaceResult, race } from "./race.ts";
import type { Recipe } from "./recipe.ts";

/** What was tried, in order. */
export interface Trial {
  readonly name: string;
  /** null: outputs that are no numbers, or a model that the runtime refused. */
  readonly divergence: number | null;
  readonly samples: number;
  readonly seconds: number;
  readonly kept: boolean;
}

/** Whether a brings b's divergence down to that share, on the samples that both ran. */
function improves(a: RaceResult, b: RaceResult, share: number): boolean {
  const both = Math.min(a.samples, b.samples);
  const own = both > 0 ? mean(b.values.slice(0, both)) : b.divergence;
  return (both > 0 ? mean(a.values.slice(0, both)) : a.divergence) < share * own;
}

export interface Terms {
  /** Share of the present best's divergence that another must get below; default 1. */
  readonly gain?: (recipe: Recipe) => number;
  /** What the recipes run; what learned from some of the inputs must be judged on the others. */
  readonly feeds?: readonly Feeds[];
}

/** The best recipe so far, and how it came to be. */
export class Contest {
  readonly #simplified: Model;
  readonly #context: PtqContext;
  readonly #onBetter: ((recipe: Recipe) => Promise<void> | void) | undefined;
  /** The float model's outputs. */
  readonly #references = new Map<readonly Feeds[], readonly Outputs[]>();
  readonly trials: Trial[] = [];
  best: Recipe | undefined;
  divergence = Number.POSITIVE_INFINITY;

  constructor(simplified: Model, context: PtqContext, onBetter: ((recipe: Recipe) => Promise<void> | void) | undefined) {
    this.#simplified = simplified;
    this.#context = context;
    this.#onBetter = onBetter;
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
  async compete(
    recipes: readonly Recipe[],
    started: number,
    { gain = () => 1, feeds = this.#context.compareFeeds ?? this.#context.judgeFeeds }: Terms = {},
  ): Promise<void> {
    const entrants = [];
    for (const recipe of recipes) {
      const context = { row: this.#context.row, statistics: recipe.statistics };
      entrants.push({ name: recipe.name, model: await quantized(recipe.model, context, recipe.choices, recipe.options) });
    }
    const results = await race(entrants, await this.#referenceOn(feeds), { ...this.#context, judgeFeeds: feeds });
    const own = results.find(({ name }) => name === this.best?.name);
    const gainOf = (name: string): number => gain(recipes.find((recipe) => recipe.name === name) as Recipe);
    const first = own
      ? (results.slice(0, results.indexOf(own)).find((result) => improves(result, own, gainOf(result.name))) ?? own)
      : results[0];
    const winner = recipes.find(({ name }) => name === first?.name) as Recipe;
    const changed = winner !== this.best;
    const seconds = (performance.now() - started) / 1000;
    for (const { name, divergence: found, samples } of results) {
      const divergence = Number.isFinite(found) ? found : null;
      if (name !== this.best?.name) this.trials.push({ name, divergence, samples, seconds, kept: name === winner.name });
    }
    this.best = winner;
    this.divergence = first?.divergence ?? Number.POSITIVE_INFINITY;
    if (changed) await this.#onBetter?.(winner);
  }
}
