import type { Feeds } from "../../measure/latency.ts";
import type { BlockReport, ReconstructOptions } from "./block-types.ts";
import type { PtqContext } from "./context.ts";
import type { Recipe } from "./recipe.ts";
import { reconstruct } from "./reconstruct.ts";

/** Share of all inputs, and how many at least, that tell whether what was learned holds for others. */
const heldShare = 0.2;
const leastHeld = 12;

/** Learning wants many inputs: those that judged cheaper ideas teach too, but for a few. */
function learningContext(context: PtqContext): PtqContext {
  const { feeds, judgeFeeds } = context;
  if (feeds === judgeFeeds) return context;
  const held = Math.max(leastHeld, Math.ceil(heldShare * (feeds.length + judgeFeeds.length)));
  return { ...context, feeds: [...feeds, ...judgeFeeds.slice(held)], judgeFeeds: judgeFeeds.slice(0, held) };
}

export interface LearnOptions {
  /** Optimizer steps per block. */
  readonly steps: number;
  /** No block is begun after this moment (performance.now()). */
  readonly deadline?: number | undefined;
}

export interface Learned {
  readonly recipe: Recipe;
  readonly blocks: readonly BlockReport[];
  /** Inputs that nothing was learned from. */
  readonly held: readonly Feeds[];
}

/** A recipe's rounding, ranges and biases, learned block by block. */
export async function learned(best: Recipe, context: PtqContext, { steps, deadline }: LearnOptions): Promise<Learned> {
  const { choices, statistics, model, options } = best;
  const own = learningContext({ ...context, statistics });
  const { perChannel } = context.row.weight;
  const rounds = !perChannel || [...choices.weights.values()].some(({ bits = 8 }) => bits < 8);
  const settings: ReconstructOptions = {
    ...options,
    steps,
    batch: 16,
    // integers have to travel; ranges and biases alone are all but right already
    learningRate: rounds ? 0.03 : Math.min(0.1, 6 / steps),
    pull: 0.1,
    seed: 1,
    ...(deadline === undefined ? {} : { deadline }),
  };
  // learned biases take the place of corrected ones
  const found = await reconstruct(model, own, { ...choices, biases: new Map() }, settings);
  const recipe = { ...best, name: `${best.name}, learned rounding`, choices: found.choices };
  return { recipe, blocks: found.reports, held: own.judgeFeeds };
}
