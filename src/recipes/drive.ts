import type { PreparedSample } from "../ir/index.ts";
import type { Feeds } from "../measure/latency.ts";
import type { ResolvedTask } from "../measure/task.ts";
import type { Session } from "../runtime/executor.ts";

/** A session that reports the inputs of every run: a plug-in that drives it itself makes inputs that no sample holds. */
export const listening = (session: Session, heard: (feeds: Feeds) => void): Session => ({
  ...session,
  run(feeds, outputs) {
    heard(feeds);
    return session.run(feeds, outputs);
  },
});

/** Inputs as the model really sees them: the samples' own, or those that the task's plug-in makes of them. At most `count`. */
export async function realFeeds(
  task: ResolvedTask,
  session: Session,
  samples: AsyncIterable<PreparedSample>,
  count: number,
): Promise<Feeds[]> {
  return (await realSamples(task, session, samples, count)).map(({ feeds }) => feeds);
}

/** The same with the samples that they come from, one for each run. */
export async function realSamples(
  task: ResolvedTask,
  session: Session,
  samples: AsyncIterable<PreparedSample>,
  count: number,
): Promise<PreparedSample[]> {
  const found: PreparedSample[] = [];
  for await (const sample of samples) {
    const ears = listening(session, (feeds) => void found.push({ ...sample, feeds }));
    if (task.run) await task.run({ session: ears, sample, signal: undefined });
    else found.push(sample);
    if (found.length >= count) break;
  }
  return found.slice(0, count);
}

/** Unlabelled samples of nothing but what the model is fed. */
export const samplesOf = (feeds: readonly Feeds[]): PreparedSample[] =>
  feeds.map((one, i) => ({ id: String(i), origin: String(i), feeds: one, target: undefined, geometry: {} }));
