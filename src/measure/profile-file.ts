import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { EdgewrightError } from "../util/errors.ts";

/** One kernel call of onnxruntime's profile. */
export interface KernelEvent {
  /** Name of the node as onnxruntime runs it, after its own optimizations. */
  readonly node: string;
  readonly opType: string;
  readonly provider: string;
  readonly microseconds: number;
  /** Position among the nodes that onnxruntime runs. */
  readonly index: number;
  /** Bytes of outputs and of constant inputs. */
  readonly outputBytes: number;
  readonly parameterBytes: number;
}
export interface ProfileFile {
  readonly kernels: readonly KernelEvent[];
  /** Number of `session.run` calls, without the skipped ones. */
  readonly runs: number;
  /** The most bytes in use in the CPU arena (weights and activations); undefined where the profile does not tell. */
  readonly arenaPeakBytes: number | undefined;
}

interface TraceEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

const suffix = "_kernel_time";
const number = (value: unknown): number => Number(value ?? 0) || 0;

function kernelOf(event: TraceEvent): KernelEvent | undefined {
  if (event.cat !== "Node" || !event.name?.endsWith(suffix)) return undefined;
  const args = event.args ?? {};
  return {
    node: event.name.slice(0, -suffix.length),
    opType: String(args.op_name ?? "?"),
    provider: String(args.provider ?? "?"),
    microseconds: number(event.dur),
    index: number(args.node_index),
    outputBytes: number(args.output_size),
    parameterBytes: number(args.parameter_size),
  };
}

/** Reads the text of an onnxruntime profile: a JSON list of trace events. Kernels of the first `skipRuns` runs are left out. */
export function parseProfile(text: string, skipRuns = 0): ProfileFile {
  let events: unknown;
  try {
    events = JSON.parse(text);
  } catch (cause) {
    throw new EdgewrightError("PROFILE_BROKEN", "onnxruntime's profile is not valid JSON.", { cause });
  }
  if (!Array.isArray(events)) throw new EdgewrightError("PROFILE_BROKEN", "onnxruntime's profile is not a list of events.");
  const kernels: KernelEvent[] = [];
  let runs = 0;
  let arenaPeakBytes = 0;
  for (const event of events as TraceEvent[]) {
    arenaPeakBytes = Math.max(arenaPeakBytes, number(event.args?.mem_in_use_peak));
    // a run is written after its kernels
    if (event.name === "model_run") runs++;
    const kernel = runs >= skipRuns ? kernelOf(event) : undefined;
    if (kernel) kernels.push(kernel);
  }
  return { kernels, runs: Math.max(0, runs - skipRuns), arenaPeakBytes: arenaPeakBytes || undefined };
}

/** Reads the one profile that a session left in `folder`. */
export async function readProfile(folder: string, skipRuns = 0): Promise<ProfileFile> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".json"));
  const file = files[0];
  if (file === undefined) throw new EdgewrightError("PROFILE_MISSING", "onnxruntime wrote no profile.");
  return parseProfile(await readFile(join(folder, file), "utf8"), skipRuns);
}
