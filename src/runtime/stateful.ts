import type { Tensor } from "../ir/index.ts";
import type { SessionOptions } from "./executor.ts";

/**
 * A graph whose state (weights, moments, running statistics) stays in the runtime between runs: an output that carries a state's new
 * value becomes the input of the next run of whatever program reads that state, without a copy through the caller.
 */
export interface StatefulProgram {
  /** The ONNX file's bytes. */
  readonly bytes: Uint8Array;
  /** Graph input name → state name. */
  readonly stateInputs: Readonly<Record<string, string>>;
  /** Graph output name → state name; the state changes when the run has succeeded. */
  readonly stateOutputs: Readonly<Record<string, string>>;
}

export interface LoadedProgram {
  /** Runs once and moves the states on. `feeds`: every input that is no state. Gives `outputs` (default: all that are no state). */
  run(feeds: Readonly<Record<string, Tensor>>, outputs?: readonly string[]): Promise<Readonly<Record<string, Tensor>>>;
  release(): Promise<void>;
}

/** Programs and the states that they share. States are read and written whole; a state must be written before a run reads it. */
export interface StatefulRuntime {
  /** Name and version of the executor behind it. */
  readonly name: string;
  readonly version: string;
  load(program: StatefulProgram, options?: SessionOptions): Promise<LoadedProgram>;
  /** Copies: later runs do not change them. */
  read(states: readonly string[]): Promise<Readonly<Record<string, Tensor>>>;
  write(states: Readonly<Record<string, Tensor>>): Promise<void>;
  close(): Promise<void>;
}
