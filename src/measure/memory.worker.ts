import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { type DataType, Tensor } from "../ir/index.ts";
import { loadExecutor } from "../runtime/executors.ts";
import { answerJob } from "./job-process.ts";
import type { ProcessJob, ProcessTimes } from "./memory.ts";
import { readProfile } from "./profile-file.ts";

/** The most memory that this process ever held, in bytes. */
function peakRss(): number {
  if (process.platform === "linux") {
    const line = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (line) return Number(line[1]) * 1024;
  }
  // documented as kibibytes, but some systems and Node versions report bytes: no process held more than the machine has
  const { maxRSS } = process.resourceUsage();
  return maxRSS * 1024 > totalmem() ? maxRSS : maxRSS * 1024;
}

/** Sets the peak back to the present size where the system can (Linux), so that start-up does not hide the model's own peak. */
function forgetPeak(): void {
  if (process.platform !== "linux") return;
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // some containers forbid it; the peak then includes start-up
  }
}

async function arenaPeak(job: ProcessJob, feeds: Record<string, Tensor>): Promise<number | undefined> {
  const executor = await loadExecutor(job.executor);
  if (executor.name !== "ort-node") return undefined;
  const folder = await mkdtemp(join(tmpdir(), "edgewright-"));
  try {
    const session = await executor.load(job.path, { threads: job.threads, profilePrefix: join(folder, "profile") });
    await session.run(feeds);
    session.endProfiling?.();
    await session.release();
    return (await readProfile(folder)).arenaPeakBytes;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

answerJob(async (job: ProcessJob): Promise<ProcessTimes> => {
  const executor = await loadExecutor(job.executor);
  const feeds = Object.fromEntries(
    Object.entries(job.feeds).map(([name, { dtype, shape, bytes, strings }]) => [
      name,
      new Tensor(dtype as DataType, shape, bytes, strings ? { strings } : {}),
    ]),
  );
  forgetPeak();
  const rssBefore = process.memoryUsage.rss();
  const runtimeReady = performance.now();
  const session = await executor.load(job.path, {
    threads: job.threads,
    ...(job.externalData ? { externalData: job.externalData } : {}),
  });
  const created = performance.now();
  const rssLoaded = process.memoryUsage.rss();
  await session.run(feeds);
  const firstResult = performance.now();
  for (let i = 1; i < job.runs; i++) await session.run(feeds);
  const rssPeak = Math.max(peakRss(), process.memoryUsage.rss());
  await session.release();
  return {
    rssBefore,
    rssLoaded,
    rssPeak,
    coldStartMs: firstResult,
    runtimeMs: runtimeReady,
    createMs: created - runtimeReady,
    firstRunMs: firstResult - created,
    arenaPeakBytes: job.arena ? await arenaPeak(job, feeds) : undefined,
  };
});
