import type { Tensor, TensorType } from "../ir/index.ts";

export interface SessionOptions {
  /** Intra-op threads; default 1, so that numbers compare. */
  readonly threads?: number;
  /** onnxruntime graph optimization level; default "all". */
  readonly optimization?: "disabled" | "basic" | "extended" | "all";
  /** Plan one block of memory for all intermediate values after the first run; default true. Without, large graphs hold far less. */
  readonly memoryPattern?: boolean;
  /** Where the executor writes a per-op profile (ort-node only). */
  readonly profilePrefix?: string;
  /** Where the executor writes the graph that its own optimizations made of the model (ort-node only). */
  readonly optimizedPath?: string;
  /** Runtime-specific session config entries, e.g. {"session.disable_prepacking": "1"}. */
  readonly config?: Readonly<Record<string, string>>;
  /** Resolves external data beside a model given as bytes; ignored for a path. */
  readonly externalData?: readonly { readonly path: string; readonly data: Uint8Array }[];
}

export interface Session {
  readonly inputs: readonly { readonly name: string; readonly type: TensorType }[];
  readonly outputNames: readonly string[];
  /**
   * Runs once. Outputs default to all; names must exist. With `writesInto`, an output named in `into` is written over that tensor's bytes
   * (type and shape must fit, elements aligned, no feed may share them) and the tensor itself is given back.
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[],
    into?: Readonly<Record<string, Tensor>>,
  ): Promise<Readonly<Record<string, Tensor>>>;
  /** Whether `run` honours `into`. */
  readonly writesInto?: boolean;
  /** Stops profiling and gives the profile file's path (ort-node with `profilePrefix`). */
  endProfiling?(): string;
  release(): Promise<void>;
}

/** A runtime that loads model files: `source` is the file's bytes, or its path. */
export interface Executor {
  readonly name: string;
  readonly version: string;
  load(source: Uint8Array | string, options?: SessionOptions): Promise<Session>;
}

/**
 * Options for graphs that compute training steps. Denormal floats count as zero (they make elementwise ops 15 times slower): onnxruntime-node
 * then switches the thread that calls it to that mode too, so run such sessions in a worker (`workerRuntime`). Threads sleep between runs
 * rather than spin, since a teacher's and an evaluation's session live beside the step's. Levels above "extended" gain nothing where
 * weights are inputs. WebAssembly has no such mode for denormals and ignores the entry.
 */
export const trainingSession = (threads = 1): SessionOptions => ({
  threads,
  optimization: "extended",
  memoryPattern: false,
  config: { "session.set_denormal_as_zero": "1", "session.intra_op.allow_spinning": "0" },
});
