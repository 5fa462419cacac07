import { type DataType, type Outputs, Tensor } from "../ir/index.ts";
import type { ExecutorName } from "../runtime/executors.ts";
import type { RunOptions } from "../util/progress.ts";
import { runInProcess } from "./job-process.ts";

/** A tensor as it crosses between processes. */
export interface PortableTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly strings?: readonly string[] | undefined;
}
type Portable = Readonly<Record<string, PortableTensor>>;

export interface RunJob {
  readonly path: string;
  readonly executor: ExecutorName;
  readonly threads: number;
  readonly feeds: readonly Portable[];
}
export interface RunReply {
  readonly outputs: readonly Portable[];
}

export const portableTensors = (tensors: Outputs): Portable =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [
      name,
      // a copy: bytes may be a view on a far larger buffer, which would cross as a whole
      { dtype: tensor.dtype, shape: tensor.shape, bytes: Uint8Array.from(tensor.bytes()), strings: tensor.strings },
    ]),
  );

export interface RunOutputsOptions extends RunOptions {
  readonly executorName: ExecutorName;
  readonly threads?: number | undefined;
}

/**
 * Outputs of a model file on several inputs, from a process of its own: a runtime that crashes on the file costs that process and
 * throws an EdgewrightError here.
 */
export async function runOutputs(path: string, feeds: readonly Outputs[], options: RunOutputsOptions): Promise<Outputs[]> {
  const worker = new URL("./run-outputs.worker.ts", import.meta.url);
  const job: RunJob = { path, executor: options.executorName, threads: options.threads ?? 1, feeds: feeds.map(portableTensors) };
  const { outputs } = await runInProcess<RunReply>(worker, job, { subject: path, signal: options.signal });
  return outputs.map((tensors) =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, { dtype, shape, bytes, strings }]) => [
        name,
        new Tensor(dtype as DataType, shape, bytes, strings ? { strings } : {}),
      ]),
    ),
  );
}
