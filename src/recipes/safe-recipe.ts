import type { Model, Outputs } from "../ir/index.ts";
import type { Feeds } from "../measure/latency.ts";
import { weightsWithoutSaturation } from "../passes/quantize/saturation/safe-scales.ts";
import { weightsAround128 } from "../passes/quantize/saturation/wide-weights.ts";
import { samplesOf } from "./drive.ts";
import type { QuantizationSearch } from "./manifest.ts";
import type { PtqContext } from "./ptq/context.ts";
import { mean, outputsOf } from "./ptq/divergence.ts";
import { quantized } from "./ptq/quantized.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { type LayerSaturation, saturatingNodes, simulateWithoutVnni } from "./saturation.ts";

/** Inputs on which saturating layers are looked for and ordered, and those on which harm is measured: few where they cost much. */
const looked = 8;
const [fewestInputs, mostInputs] = [4, 24];
/** Sums of two products in one simulation of all inputs, about ten seconds. */
const mostPairs = 5e9;

/** Noise over signal of a layer below which it cannot matter: a hundredth of what rounding weights to 8 bits makes. */
const leastNoise = 1e-5;

/** Noise that by itself is worth a remedy where there is no time to measure what it does to the outputs. */
const harmfulNoise = 1e-3;

/** Milliseconds after which nothing more is measured. */
const usualMs = 60_000;

/**
 * What saturation that is left may add to the divergence from the float outputs: what cannot be told from chance on the inputs (one
 * standard error), or a share of what quantization itself makes, which moves the noise's amplitude by a twentieth; and an amount that no
 * metric shows, in nats of KL divergence or in relative squared error (40 dB).
 */
export const harmless = { share: 0.1, amount: 1e-4 };

/** Scales that cannot saturate may take the divergence from the float outputs this far above that of the unsaturated model. */
export const scalesMargin = 0.02;

type Remedy = "scales" | "uint8";
type Saturating = NonNullable<QuantizationSearch["saturating"]>;

/**
 * One file for every CPU: layers that do harm by saturating on x86-64 without VNNI get a remedy, as few as possible; the others stay as
 * they are. As uint8 around 128 a layer computes exactly what it computes with VNNI, at the price of slower kernels; scales that cannot
 * saturate cost no time, and replace it where they cost no accuracy either. Both are measured on the inputs that judge. After the time
 * limit (default a minute) every layer that noticeably saturates and was not looked at gets the remedy that changes no number.
 */
export async function safeRecipe(
  context: PtqContext,
  best: Recipe,
  { timeMs = usualMs }: { readonly timeMs?: number } = {},
): Promise<{ recipe: Recipe; saturating: Saturating }> {
  const trials = new Trials(context, best, performance.now() + timeMs);
  const harmful = await trials.harmful();
  if (harmful.length === 0) return { recipe: best, saturating: [] };
  const remedies = await trials.remedies(harmful.map(({ node }) => node));
  return {
    recipe: trials.recipe(remedies),
    saturating: harmful.map(({ node, share, noise }) => ({ node, share, noise, remedy: remedies.get(node) as Remedy })),
  };
}

class Trials {
  readonly #context: PtqContext;
  readonly #best: Recipe;
  readonly #usual: Remedy;
  readonly #deadline: number;

  constructor(context: PtqContext, best: Recipe, deadline: number) {
    this.#context = context;
    this.#best = best;
    this.#deadline = deadline;
    this.#usual = context.row.weight.wideDtype ? "uint8" : "scales";
  }

  get #late(): boolean {
    return performance.now() > this.#deadline;
  }

  recipe(remedies: ReadonlyMap<string, Remedy>): Recipe {
    const { model, choices } = this.#best;
    const withRemedy = (wanted: Remedy) => new Set([...remedies].flatMap(([node, remedy]) => (remedy === wanted ? [node] : [])));
    const { row } = this.#context;
    const scaled = weightsWithoutSaturation(model.clone(), row, { nodes: withRemedy("scales"), choices: choices.weights });
    const weights = weightsAround128(model.clone(), row, { nodes: withRemedy("uint8"), choices: scaled });
    return { ...this.#best, choices: { ...choices, weights } };
  }

  /** As few layers as possible without which saturation does no harm any more, the worst first. */
  async harmful(): Promise<readonly LayerSaturation[]> {
    const { judgeFeeds } = this.#context;
    const probed = samplesOf(judgeFeeds.slice(0, looked));
    const probe = { ...this.#simulation(), unsaturated: true, leastNoise };
    const found = await saturatingNodes(await this.#emitted(new Map()), probed, probe);
    const noisy = found.filter(({ noise }) => noise > harmfulNoise);
    if (found.length === 0 || this.#late) return noisy;
    const pairs = found.reduce((sum, layer) => sum + layer.pairs, 0) / probed.length;
    const feeds = judgeFeeds.slice(0, Math.max(fewestInputs, Math.min(mostInputs, Math.floor(mostPairs / pairs))));
    const harm = await this.#harmOn(feeds, found);
    if (await harm.none([])) return [];
    const alone = new Map<LayerSaturation, number>();
    for (const layer of found) {
      if (this.#late) return noisy;
      if (found.length > 1) alone.set(layer, await harm.of(found.filter((other) => other !== layer)));
    }
    const ordered = found.sort((a, b) => (alone.get(b) ?? 0) - (alone.get(a) ?? 0));
    const holds = async (count: number): Promise<boolean> => !this.#late && harm.none(ordered.slice(0, count));
    const count = await fewest(found.length, holds);
    return this.#late ? noisy : ordered.slice(0, count);
  }

  /** What saturation does to outputs where some of the `found` layers have a remedy. */
  async #harmOn(feeds: readonly Feeds[], found: readonly LayerSaturation[]) {
    const reference = await this.#outputs(this.#best.model, feeds);
    const unsaturated = await this.#outputs(await this.#emitted(this.#all(found)), feeds);
    const usual = this.#distances(reference, unsaturated, feeds);
    const outputsWith = async (remedied: readonly LayerSaturation[], inputs: readonly Feeds[]): Promise<Outputs[]> => {
      const model = await this.#emitted(this.#all(remedied));
      return (await simulateWithoutVnni(model, samplesOf(inputs), this.#simulation())).outputs;
    };
    return {
      of: async (remedied: readonly LayerSaturation[]): Promise<number> => {
        const outputs = await outputsWith(remedied, feeds.slice(0, looked));
        return mean(this.#distances(unsaturated.slice(0, looked), outputs, feeds));
      },
      none: async (remedied: readonly LayerSaturation[]): Promise<boolean> => {
        const distances = this.#distances(reference, await outputsWith(remedied, feeds), feeds);
        const added = distances.map((distance, i) => distance - (usual[i] as number));
        return mean(added) <= harmless.amount + Math.max(harmless.share * mean(usual), standardError(added));
      },
    };
  }

  /** Layer by layer, the least noisy one first: scales where the outputs stay as close to the float model's, else uint8. */
  async remedies(nodes: readonly string[]): Promise<ReadonlyMap<string, Remedy>> {
    const { judgeFeeds } = this.#context;
    const reference = await this.#outputs(this.#best.model, judgeFeeds);
    const distance = async (remedies: ReadonlyMap<string, Remedy>): Promise<number> =>
      mean(this.#distances(reference, await this.#outputs(await this.#emitted(remedies), judgeFeeds), judgeFeeds));
    let chosen = new Map(nodes.map((node) => [node, this.#usual]));
    const limit = (1 + scalesMargin) * (await distance(chosen));
    for (const node of [...nodes].reverse()) {
      if (chosen.get(node) === "scales") continue;
      if (this.#late) break;
      const tried = new Map(chosen).set(node, "scales");
      if ((await distance(tried)) <= limit) chosen = tried;
    }
    return chosen;
  }

  #all(layers: readonly LayerSaturation[]): ReadonlyMap<string, Remedy> {
    return new Map(layers.map(({ node }) => [node, this.#usual]));
  }

  #simulation() {
    const { executor, threads, options } = this.#context;
    return { ...options, executor, threads };
  }

  #emitted(remedies: ReadonlyMap<string, Remedy>): Promise<Model> {
    const { model, statistics, choices, options } = this.recipe(remedies);
    return quantized(model, { row: this.#context.row, statistics }, choices, options);
  }

  #outputs(model: Model, feeds: readonly Feeds[]): Promise<Outputs[]> {
    const { executor, threads, options } = this.#context;
    return outputsOf(model, feeds, executor, { threads }, options);
  }

  #distances(reference: readonly Outputs[], outputs: readonly Outputs[], feeds: readonly Feeds[]): number[] {
    return this.#context.distance.between(reference, outputs, feeds);
  }
}

/** Of the mean; nothing is left to chance with less than eight values. */
function standardError(values: readonly number[]): number {
  const middle = mean(values);
  return values.length < 8 ? 0 : Math.sqrt(mean(values.map((value) => (value - middle) ** 2)) / (values.length - 1));
}

/** The least count from 1 to `most` that holds, where a greater one holds as well; few trials where it is small. `most` is not tried. */
async function fewest(most: number, holds: (count: number) => Promise<boolean>): Promise<number> {
  let low = 1;
  let high = 1;
  while (high < most && !(await holds(high))) {
    low = high + 1;
    high = Math.min(most, 2 * high);
  }
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (await holds(middle)) high = middle;
    else low = middle + 1;
  }
  return high;
}
