import type { Tensor, TensorType } from "../ir/index.ts";

export interface SessionOptions {
  /** Intra-op threads; default 1, so that numbers compare. */
  readonly threads?: number;
  /** onnxruntime graph optimization level; default "all". */
  readonly optimization?: "disabled" | "basic" | "extended" | "all";
  /** Where the executor writes a per-op profile (ort-node only). */
  readonly profilePrefix?: string;
  /** Runtime-specific session config entries, e.g. {"session.disable_prepacking": "1"}. */
  readonly config?: Readonly<Record<string, string>>;
  /** Resolves external data beside a model given as bytes; ignored for a path. */
  readonly externalData?: readonly { readonly path: string; readonly data: Uint8Array }[];
}

export interface Session {
  readonly inputs: readonly { readonly name: string; readonly type: TensorType }[];
  readonly outputNames: readonly string[];
  /** Runs once. Outputs default to all; names must exist. */
  run(feeds: Readonly<Record<string, Tensor>>, outputs?: readonly string[]): Promise<Readonly<Record<string, Tensor>>>;
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
