import type { Model, Node, Outputs, Value } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import type { EqualizeOptions } from "../../passes/quantize/equalize.ts";
import { nodeKey, planQuantization, type QuantizationPlan } from "../../passes/quantize/plan.ts";
import type { RangeMethod } from "../../passes/quantize/ranges.ts";
import { valuesToObserve } from "../../passes/quantize/static.ts";
import type { Sensitivity } from "../manifest.ts";
import { observe } from "../observe.ts";
import { measureSensitivity } from "../sensitivity.ts";
import { correctBiases } from "./bias.ts";
import type { BlockReport, ReconstructOptions } from "./block-types.ts";
import type { PtqContext } from "./context.ts";
import { outputsOf } from "./divergence.ts";
import { equalizedModel } from "./equalized.ts";
import { reestimateNormalization } from "./normalization.ts";
import { type QuantizeOptions, quantized } from "./quantized.ts";
import { race } from "./race.ts";
import { type BitsOf, searchRanges, uniformRanges } from "./ranges.ts";
import type { Recipe } from "./recipe.ts";
import { reconstruct } from "./reconstruct.ts";

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
  await search.culprits();
  await search.sensitiveLayers();
  await search.biases();
  await search.normalization();
  await search.reconstruction();
  return search.result();
}

/** What float ops must bring the divergence down to: they cost time. */
const muchBetter = 0.5;

/** Milliseconds for the ranking of layers, and its share of what is left. */
const sensitivityMs = 60_000;
const sensitivityShare = 0.3;
/** A layer that costs this many times its even share stands out. */
const outlier = 3;
/** Share of the layers that may go back to float. */
const mostFloat = 0.15;

/** Fewer inputs than this teach nothing that holds for others. */
const fewest = 8;

/**
 * Groups of nodes beside the linear ones that may go back to float together: by kind, all of them, and those behind the last layers
 * (where a detection head joins boxes and scores, say).
 */
function suspects(plan: QuantizationPlan): Map<string, string[]> {
  const kinds = new Map<string, string[]>();
  const add = (kind: string, node: Node): void => void kinds.set(kind, [...(kinds.get(kind) ?? []), nodeKey(node)]);
  const others = [...plan.nodes.values()].filter(({ op }) => op.role !== "anchor");
  for (const { node, op } of others) if (op.role === "follow" || op.sameScale) add(node.opType, node);
  const tail = others.filter(({ point }) => !reachesLayer(point, plan));
  if (kinds.size > 1)
    kinds.set(
      "all but linear ops",
      others.map(({ node }) => nodeKey(node)),
    );
  if (tail.length > 0 && tail.length < others.length)
    kinds.set(
      "everything behind the last layers",
      tail.map(({ node }) => nodeKey(node)),
    );
  return kinds;
}

/** Whether a layer with weights reads the value, directly or through other ops. */
function reachesLayer(value: Value, plan: QuantizationPlan, seen = new Set<Value>()): boolean {
  if (seen.has(value)) return false;
  seen.add(value);
  return [...value.uses].some(
    ({ node }) => plan.nodes.get(node)?.op.role === "anchor" || node.outputs.some((output) => reachesLayer(output, plan, seen)),
  );
}

class Search {
  readonly #simplified: Model;
  readonly #context: PtqContext;
  readonly #options: SearchOptions;
  readonly #trials: Trial[] = [];
  #blocks: readonly BlockReport[] = [];
  #sensitivity: readonly Sensitivity[] = [];
  #reference: readonly Outputs[] = [];
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

  /** Ranges, weight scales and equalization: all at once, since their race is cheap. */
  async ranges(): Promise<void> {
    const started = performance.now();
    this.#reference = await outputsOf(this.#simplified, this.#context.judgeFeeds, this.#context.executor, {
      threads: this.#context.threads,
    });
    const recipes = this.#withEstimators(await this.#searched("measured ranges", this.#simplified, this.#context.statistics));
    for (const { name, ...equalize } of equalizations) {
      if (this.#late) break;
      const model = await equalizedModel(this.#simplified, this.#context, equalize);
      if (model) recipes.push(...this.#withEstimators(await this.#searched(name, model, await this.#statisticsOf(model)), name));
    }
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
          options: { ...best.options, exclude: [...(best.options.exclude ?? []), ...keys] },
        },
      }));
      await this.#compete([best, ...tries.map(({ recipe }) => recipe)], started, muchBetter);
      const taken = tries.find(({ recipe }) => recipe === this.#best);
      if (!taken || this.#divergence > before) break;
      left.delete(taken.kind);
    }
  }

  /** Layers that cost far more than the others go back to float: one, two, four, … of the worst, each doubling must pay. */
  async sensitiveLayers(): Promise<void> {
    const left = (this.#options.deadline ?? Number.POSITIVE_INFINITY) - performance.now();
    if (left <= 0) return;
    const started = performance.now();
    const best = this.#best as Recipe;
    const context = { ...this.#context, statistics: best.statistics };
    this.#sensitivity = await measureSensitivity(best, context, { timeMs: Math.min(sensitivityMs, sensitivityShare * left) });
    const worst = this.#sensitivity.map(({ node }) => node);
    const most = Math.max(2, Math.floor(mostFloat * worst.length));
    for (let count = 1; count <= most && !this.#late; count *= 2) {
      const stands = (this.#sensitivity[count - 1]?.share ?? 0) * worst.length;
      if (stands < (count === 1 ? outlier : 1)) break;
      const present = this.#best as Recipe;
      const exclude = [...(best.options.exclude ?? []), ...worst.slice(0, count)];
      const name = `${best.name}, ${count} layer${count > 1 ? "s" : ""} in float`;
      await this.#compete([present, { ...best, name, options: { ...best.options, exclude } }], started, muchBetter);
    }
  }

  async biases(): Promise<void> {
    const best = this.#best as Recipe;
    if (this.#late) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const choices = await correctBiases(best.model, context, best.choices, best.options);
    if (choices !== best.choices)
      await this.#compete([best, { ...best, name: `${best.name}, corrected biases`, choices }], started);
  }

  /** BatchNormalization that could not be folded keeps its meaning behind quantized layers. */
  async normalization(): Promise<void> {
    const best = this.#best as Recipe;
    if (this.#late) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const model = await reestimateNormalization(best.model, context, best.choices, best.options);
    if (model) await this.#compete([best, { ...best, name: `${best.name}, re-estimated normalization`, model }], started);
  }

  async reconstruction(): Promise<void> {
    const steps = this.#options.steps ?? 150;
    const best = this.#best as Recipe;
    if (steps === 0 || this.#late || this.#context.feeds.length < fewest) return;
    const started = performance.now();
    const context = { ...this.#context, statistics: best.statistics };
    const settings: ReconstructOptions = {
      ...best.options,
      steps,
      batch: 16,
      // parameters must be able to cross zero within the steps that there are
      learningRate: Math.min(0.1, Math.max(0.003, 6 / steps)),
      pull: 0.1,
      rounding: true,
      seed: 1,
      ...(this.#options.deadline === undefined ? {} : { deadline: this.#options.deadline }),
    };
    // learned biases take the place of corrected ones
    const { choices, reports } = await reconstruct(best.model, context, { ...best.choices, biases: new Map() }, settings);
    this.#blocks = reports;
    await this.#compete([best, { ...best, name: `${best.name}, learned rounding`, choices }], started);
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

  /** The winner becomes the best. `gain`: share of the present best's divergence that another must get below. */
  async #compete(recipes: readonly Recipe[], started: number, gain = 1): Promise<void> {
    const entrants = [];
    for (const recipe of recipes) {
      const context = { row: this.#context.row, statistics: recipe.statistics };
      entrants.push({ name: recipe.name, model: await quantized(recipe.model, context, recipe.choices, recipe.options) });
    }
    const results = await race(entrants, this.#reference, this.#context);
    const own = results.find(({ name }) => name === this.#best?.name);
    const enough = !own || (results[0]?.divergence ?? 0) < gain * own.divergence;
    const first = enough ? results[0] : own;
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
