import { compareLatency, type LatencySubject } from "../measure/latency.ts";
import type { Session } from "../runtime/executor.ts";
import { ratioOf, violations } from "./budget.ts";
import type { Candidate } from "./manifest.ts";
import type { Baseline } from "./measure-candidate.ts";
import type { OptimizeRun } from "./optimize-run.ts";

/** Candidates this close to the fastest are timed again, all in one process. */
const near = 1.25;
const most = 6;
const timingMs = 5000;

/**
 * Each candidate was timed beside the original at another moment; machines drift by more than good candidates differ. The best of them
 * and the original run once more, interleaved, and these ratios replace the earlier ones.
 */
export async function playoff(run: OptimizeRun, baseline: Baseline): Promise<void> {
  const { setup, manifest, workspace } = run;
  const within = manifest.candidates.filter(
    (c) => c.file && c.latencyRatio && violations(c, { ...run.budget, maxLatencyMs: null }).length === 0,
  );
  const fastest = Math.min(...within.map(ratioOf));
  const contenders = within
    .filter((c) => ratioOf(c) <= near * fastest)
    .sort((a, b) => ratioOf(a) - ratioOf(b))
    .slice(0, most);
  if (contenders.length === 0) return;
  const options = run.step("playoff");
  const sessions: Session[] = [];
  const subjectOf = (session: Session, digest: string): LatencySubject => ({
    session,
    digest,
    feeds: baseline.feeds,
    threads: setup.threads,
    executor: setup.executor,
  });
  try {
    const subjects: Record<string, LatencySubject> = { baseline: subjectOf(baseline.session, baseline.digest) };
    for (const { name, file } of contenders) {
      const session = await setup.executor.load(workspace.path(file?.path ?? ""), { threads: setup.threads });
      sessions.push(session);
      subjects[name] = subjectOf(session, file?.digest ?? "");
    }
    const { results, ratios } = await compareLatency(subjects, { ...options, timeMs: timingMs, seed: setup.seed });
    for (const candidate of manifest.candidates) {
      const result = results.find(({ name }) => name === candidate.name);
      if (result) Object.assign(candidate, { latency: result.p50, latencyP95: result.p95 } satisfies Partial<Candidate>);
      const ratio = ratios.find(({ name }) => name === candidate.name);
      if (ratio)
        Object.assign(candidate, { latencyRatio: ratio.ratio, latencyVerdict: ratio.verdict } satisfies Partial<Candidate>);
    }
  } finally {
    for (const session of sessions) await session.release();
  }
  await run.settle();
}
