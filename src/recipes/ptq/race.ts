import { encodeOnnx } from "../../formats/onnx/index.ts";
import type { Model, Outputs } from "../../ir/index.ts";
import type { Session } from "../../runtime/executor.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { PtqContext } from "./context.ts";
import { mean } from "./divergence.ts";

export interface Entrant {
  readonly name: string;
  readonly model: Model;
}

export interface RaceResult {
  readonly name: string;
  /** Mean divergence from the float outputs over the samples that it ran. */
  readonly divergence: number;
  readonly samples: number;
  /** Divergence of each sample that it ran. */
  readonly values: readonly number[];
  /** Left the race early: worse than the leader by more than chance. */
  readonly dropped: boolean;
}

/** Samples that all entrants run between two looks at the standings. */
const round = 4;
/** Least samples before anyone is dropped. */
const least = 8;
/** Standard errors of the paired difference at which an entrant is dropped; high, since it is looked at again and again. */
const significant = 3;

interface Runner extends Entrant {
  /** Undefined where the model could not be loaded. */
  readonly session: Session | undefined;
  readonly scores: number[];
  dropped: boolean;
}

/**
 * Runs models on the same inputs, round by round, and drops those whose divergence from the reference is worse than the best one's by
 * more than chance, judged on paired differences (a racing algorithm: Maron and Moore, "Hoeffding Races", 1993, with a t statistic).
 * Best first; entrants that fail to load count as infinitely bad.
 */
export async function race(
  entrants: readonly Entrant[],
  reference: readonly Outputs[],
  context: PtqContext,
): Promise<RaceResult[]> {
  const feeds = context.judgeFeeds;
  const runners: Runner[] = [];
  try {
    for (const entrant of entrants) {
      const session = await loaded(entrant, context);
      runners.push({ ...entrant, session, scores: [], dropped: !session });
    }
    for (let start = 0; start < feeds.length; start += round) {
      const running = runners.filter(({ dropped }) => !dropped);
      if (running.length < 2 && start >= least) break;
      for (const runner of running) {
        context.options.signal?.throwIfAborted();
        const outputs: Outputs[] = [];
        const some = feeds.slice(start, start + round);
        for (const one of some) outputs.push(await (runner.session as Session).run(one));
        runner.scores.push(...distances(context.distance.between(reference.slice(start, start + round), outputs, some)));
      }
      drop(running);
      context.options.onProgress?.({ step: "race", done: Math.min(start + round, feeds.length), total: feeds.length });
    }
  } finally {
    for (const { session } of runners) await session?.release();
  }
  return runners
    .map(({ name, scores, dropped, session }) => ({
      name,
      divergence: session ? mean(scores.map((d) => d * d)) : Number.POSITIVE_INFINITY,
      samples: scores.length,
      values: scores.map((d) => d * d),
      dropped,
      distance: session ? mean(scores) : Number.POSITIVE_INFINITY,
    }))
    .sort((a, b) => Number(a.dropped) - Number(b.dropped) || (a.distance < b.distance ? -1 : Number(a.distance > b.distance)))
    .map(({ distance: _, ...result }) => result);
}

async function loaded({ model }: Entrant, { executor, threads }: PtqContext): Promise<Session | undefined> {
  try {
    return await executor.load(encodeOnnx(model), { threads });
  } catch (error) {
    if (error instanceof EdgewrightError) return undefined;
    throw error;
  }
}

/**
 * Square roots: a divergence is quadratic in the error of the outputs, and its mean over a few dozen samples hangs on one or two of them.
 */
const distances = (values: readonly number[]): number[] => values.map((value) => Math.sqrt(Math.max(0, value)));

function drop(running: readonly Runner[]): void {
  const leader = running.reduce((best, runner) => (mean(runner.scores) < mean(best.scores) ? runner : best));
  if (leader.scores.length < least) return;
  for (const runner of running) if (runner !== leader && worse(runner.scores, leader.scores)) runner.dropped = true;
}

/** Whether a is above b by more than chance, sample by sample. */
export function worse(a: readonly number[], b: readonly number[]): boolean {
  const differences = a.map((value, i) => value - (b[i] as number));
  const middle = mean(differences);
  if (!Number.isFinite(middle)) return true;
  const variance = mean(differences.map((d) => (d - middle) ** 2)) * (differences.length / Math.max(1, differences.length - 1));
  return middle > 0 && middle > significant * Math.sqrt(variance / differences.length);
}
