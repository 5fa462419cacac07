/**
 * onnxruntime-node aborts the whole process when its thread is ended inside a native call (the binding then throws into an environment that
 * is gone). The gate is one shared integer through which the main thread keeps its worker out of native code before the process ends.
 */
const [open, inside, shut] = [0, 1, 2];

/** Longer than a training step, shorter than a user's patience. */
const longestWaitMs = 30_000;

export class ExitGate {
  readonly #state: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#state = new Int32Array(shared);
  }

  static create = (): SharedArrayBuffer => new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);

  /** In the worker: does `work` unless the process is about to end; then this thread is about to end too, and nobody waits for it. */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (Atomics.compareExchange(this.#state, 0, open, inside) === shut) return new Promise<never>(() => undefined);
    try {
      return await work();
    } finally {
      Atomics.compareExchange(this.#state, 0, inside, open);
      Atomics.notify(this.#state, 0);
    }
  }

  /** In the main thread: waits until the worker is outside, and lets it in no more. */
  shut(): void {
    const deadline = performance.now() + longestWaitMs;
    while (Atomics.compareExchange(this.#state, 0, open, shut) === inside) {
      const left = deadline - performance.now();
      if (left <= 0 || Atomics.wait(this.#state, 0, inside, left) === "timed-out") return;
    }
  }
}

const gates = new Set<ExitGate>();
const shutAll = (): void => {
  for (const gate of gates) gate.shut();
};

/** Shuts the gate when this process ends, until the returned function is called. */
export function shutAtExit(gate: ExitGate): () => void {
  if (gates.size === 0) process.on("exit", shutAll);
  gates.add(gate);
  return () => {
    if (gates.delete(gate) && gates.size === 0) process.off("exit", shutAll);
  };
}
