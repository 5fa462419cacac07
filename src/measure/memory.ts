import { z } from "zod";
import type { ExecutorName } from "../runtime/executors.ts";
import type { RunOptions } from "../util/progress.ts";
import { runInProcess } from "./job-process.ts";
import { type Feeds, measurementFrame, type SubjectFacts } from "./latency.ts";
import { type Measurement, measurementSchema } from "./measurement.ts";
import { median } from "./ratio.ts";

/** What a measuring process is told: one model, its inputs, a runtime. */
export interface ProcessJob {
  readonly path: string;
  readonly executor: ExecutorName;
  readonly threads: number;
  readonly runs: number;
  readonly arena: boolean;
  readonly feeds: Readonly<
    Record<string, { dtype: string; shape: readonly number[]; bytes: Uint8Array; strings?: readonly string[] | undefined }>
  >;
  readonly externalData?: readonly { readonly path: string; readonly data: Uint8Array }[] | undefined;
}
/** What it reports, in bytes and milliseconds. */
export interface ProcessTimes {
  readonly rssBefore: number;
  readonly rssLoaded: number;
  readonly rssPeak: number;
  readonly coldStartMs: number;
  readonly runtimeMs: number;
  readonly createMs: number;
  readonly firstRunMs: number;
  readonly arenaPeakBytes?: number | undefined;
}

export const processMeasurementsSchema = z.object({
  /** What the model adds to the process at the highest point: the number to compare. */
  peakMemory: measurementSchema,
  /** Resident set of the whole process at its highest, runtime included. */
  peakRss: measurementSchema,
  /** What loading the model alone adds. */
  loadedMemory: measurementSchema,
  /** Peak of the runtime's CPU arena while running (ort-node only). */
  arena: measurementSchema.optional(),
  /** From the start of the process to the first result. */
  coldStart: measurementSchema,
  /** Part of the cold start: reading the model and making the session. */
  sessionCreate: measurementSchema,
  firstRun: measurementSchema,
});
export type ProcessMeasurements = z.infer<typeof processMeasurementsSchema>;

export interface ProcessOptions extends RunOptions, SubjectFacts {
  /** Default "ort-node". */
  readonly executorName?: ExecutorName | undefined;
  /** Runs in each process; default 3. */
  readonly runs?: number | undefined;
  /** Processes started one after another; the median counts; default 3. */
  readonly processes?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly device?: string | undefined;
  readonly externalData?: ProcessJob["externalData"];
}

const portable = (feeds: Feeds): ProcessJob["feeds"] =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, tensor]) => [
      name,
      { dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.bytes(), strings: tensor.strings },
    ]),
  );

const arenaMeasurement = (value: number, threads: number) => ({
  metric: "peak arena",
  unit: "bytes",
  value,
  protocol: `most bytes in use in onnxruntime's CPU arena (activations, copied and packed weights) over one run, from its profiler; ort-node, ${threads} thread${threads === 1 ? "" : "s"}`,
});

/** Turns what the processes reported into measurements. */
export function processMeasurements(
  path: string,
  all: readonly ProcessTimes[],
  options: ProcessOptions & { readonly fromSource?: boolean } = {},
): ProcessMeasurements {
  const threads = options.threads ?? 1;
  const frame = measurementFrame(path, options, options);
  const how = [
    `median of ${all.length} fresh process${all.length === 1 ? "" : "es"}`,
    `${options.executorName ?? "ort-node"}, ${threads} thread${threads === 1 ? "" : "s"}, ${options.runs ?? 3} runs each, model file in the disk cache`,
    ...(options.fromSource ? ["worker run from TypeScript source: start-up includes compiling it"] : []),
  ].join("; ");
  const make = (metric: string, unit: string, protocol: string, read: (times: ProcessTimes) => number): Measurement => {
    const samples = all.map(read);
    return { metric, unit, value: median(samples), samples, ...frame, protocol: `${protocol}; ${how}` };
  };
  const bytes = (metric: string, protocol: string, read: (times: ProcessTimes) => number) =>
    make(metric, "bytes", protocol, read);
  const ms = (metric: string, protocol: string, read: (times: ProcessTimes) => number) => make(metric, "ms", protocol, read);
  const arena = all.find((times) => times.arenaPeakBytes !== undefined)?.arenaPeakBytes;
  return {
    peakMemory: bytes(
      "peak memory of the model",
      "peak resident set minus the resident set before loading",
      (t) => t.rssPeak - t.rssBefore,
    ),
    peakRss: bytes("peak RSS", "highest resident set of the process (Linux VmHWM, elsewhere maxRSS)", (t) => t.rssPeak),
    loadedMemory: bytes(
      "memory after load",
      "resident set after the session exists minus before",
      (t) => t.rssLoaded - t.rssBefore,
    ),
    ...(arena === undefined ? {} : { arena: { ...frame, ...arenaMeasurement(arena, threads) } }),
    coldStart: ms("cold start", "process start to first result: Node, runtime, session, first run", (t) => t.coldStartMs),
    sessionCreate: ms("session creation", "reading the model and making the session", (t) => t.createMs),
    firstRun: ms("first run", "the first session.run", (t) => t.firstRunMs),
  };
}

/**
 * Memory and cold start of a model file, each from processes of their own: what this process holds already would hide a model's peak,
 * and nothing gives memory back reliably. The arena comes from a second, profiled session after the peak was read.
 */
export async function measureProcess(path: string, feeds: Feeds, options: ProcessOptions = {}): Promise<ProcessMeasurements> {
  const worker = new URL("./memory.worker.ts", import.meta.url);
  const processes = options.processes ?? 3;
  const job = {
    path,
    executor: options.executorName ?? "ort-node",
    threads: options.threads ?? 1,
    runs: options.runs ?? 3,
    feeds: portable(feeds),
    externalData: options.externalData,
  };
  const all: ProcessTimes[] = [];
  for (let i = 0; i < processes; i++) {
    options.onProgress?.({ step: "memory and cold start", done: i, total: processes });
    const request: ProcessJob = { ...job, arena: i === 0 };
    all.push(
      await runInProcess<ProcessTimes>(worker, request, { subject: path, signal: options.signal, timeoutMs: options.timeoutMs }),
    );
  }
  return processMeasurements(path, all, { ...options, fromSource: worker.pathname.endsWith(".ts") });
}
