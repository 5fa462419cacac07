import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { SessionOptions } from "../runtime/executor.ts";
import { loadExecutor } from "../runtime/executors.ts";
import type { RunOptions } from "../util/progress.ts";
import { type Feeds, measurementFrame, type SubjectFacts } from "./latency.ts";
import { measurementSchema } from "./measurement.ts";
import { type KernelEvent, type ProfileFile, readProfile } from "./profile-file.ts";

const timeFields = {
  /** Kernel calls per run. */
  calls: z.number(),
  /** Kernel time per run, milliseconds. */
  ms: z.number(),
  /** Part of all kernel time, 0..1. */
  share: z.number(),
};

export const opProfileSchema = z.object({
  /** Kernel time of one run, milliseconds: mean over the profiled runs. */
  kernelTime: measurementSchema,
  /** Nodes as onnxruntime runs them (fused, laid out anew), slowest first. */
  nodes: z.array(
    z.object({
      node: z.string(),
      opType: z.string(),
      provider: z.string(),
      ...timeFields,
      outputBytes: z.number(),
      parameterBytes: z.number(),
    }),
  ),
  /** The same by op type, slowest first. */
  opTypes: z.array(z.object({ opType: z.string(), nodes: z.number(), ...timeFields })),
});
export type OpProfile = z.infer<typeof opProfileSchema>;

interface Sum {
  readonly first: KernelEvent;
  calls: number;
  microseconds: number;
}

function sums(kernels: readonly KernelEvent[]): Sum[] {
  const byNode = new Map<string, Sum>();
  for (const kernel of kernels) {
    // names are not always unique, positions are not unique across subgraphs: together they are
    const key = `${kernel.index} ${kernel.node}`;
    const sum = byNode.get(key) ?? { first: kernel, calls: 0, microseconds: 0 };
    sum.calls++;
    sum.microseconds += kernel.microseconds;
    byNode.set(key, sum);
  }
  return [...byNode.values()].sort((a, b) => b.microseconds - a.microseconds);
}

type NodeRow = OpProfile["nodes"][number];
type OpTypeRow = OpProfile["opTypes"][number];

function byOpType(nodes: readonly NodeRow[]): OpTypeRow[] {
  const rows = new Map<string, OpTypeRow>();
  for (const { opType, calls, ms, share } of nodes) {
    const row = rows.get(opType) ?? { opType, nodes: 0, calls: 0, ms: 0, share: 0 };
    rows.set(opType, { opType, nodes: row.nodes + 1, calls: row.calls + calls, ms: row.ms + ms, share: row.share + share });
  }
  return [...rows.values()].sort((a, b) => b.ms - a.ms);
}

/** Adds up a profile's kernels by node and by op type, per run. */
export function summarizeProfile(file: ProfileFile): Pick<OpProfile, "nodes" | "opTypes"> & { totalMs: number } {
  const runs = Math.max(1, file.runs);
  const total = file.kernels.reduce((sum, kernel) => sum + kernel.microseconds, 0);
  const nodes = sums(file.kernels).map(
    ({ first, calls, microseconds }): NodeRow => ({
      node: first.node,
      opType: first.opType,
      provider: first.provider,
      calls: calls / runs,
      ms: microseconds / 1000 / runs,
      share: total > 0 ? microseconds / total : 0,
      outputBytes: first.outputBytes,
      parameterBytes: first.parameterBytes,
    }),
  );
  return { nodes, opTypes: byOpType(nodes), totalMs: total / 1000 / runs };
}

export interface ProfileOptions
  extends RunOptions,
    SubjectFacts,
    Pick<SessionOptions, "externalData" | "optimization" | "config"> {
  /** Profiled runs; default 20. */
  readonly runs?: number | undefined;
  /** Runs before them that do not count; default 3. */
  readonly warmupRuns?: number | undefined;
  readonly device?: string | undefined;
}

/**
 * Time per node on onnxruntime's native CPU build, from its own profiler. The profiler costs a few microseconds a node, so the sum is
 * above the latency of an unprofiled run; shares are what to read.
 */
export async function profileModel(source: Uint8Array | string, feeds: Feeds, options: ProfileOptions = {}): Promise<OpProfile> {
  const executor = await loadExecutor("ort-node");
  const { runs = 20, warmupRuns = 3, threads = 1, externalData, optimization, config } = options;
  const folder = await mkdtemp(join(tmpdir(), "edgewright-"));
  try {
    const session = await executor.load(source, {
      threads,
      profilePrefix: join(folder, "profile"),
      ...(externalData ? { externalData } : {}),
      ...(optimization ? { optimization } : {}),
      ...(config ? { config } : {}),
    });
    try {
      for (let i = 0; i < warmupRuns + runs; i++) {
        options.signal?.throwIfAborted();
        options.onProgress?.({ step: "profile", done: i, total: warmupRuns + runs });
        await session.run(feeds);
      }
      session.endProfiling?.();
    } finally {
      await session.release();
    }
    const { totalMs, nodes, opTypes } = summarizeProfile(await readProfile(folder, warmupRuns));
    const protocol = `onnxruntime profiler, ${threads} thread${threads === 1 ? "" : "s"}; mean of ${runs} runs after ${warmupRuns} warm-up runs; sum over kernels`;
    const name = typeof source === "string" ? source : "model";
    const frame = measurementFrame(name, { executor, ...options }, options);
    return { kernelTime: { metric: "kernel time", unit: "ms", value: totalMs, ...frame, protocol }, nodes, opTypes };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
