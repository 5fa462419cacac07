import type { Worker } from "node:worker_threads";
import { EdgewrightError } from "../util/errors.ts";
import { ExitGate, shutAtExit } from "./exit-gate.ts";
import { startThread } from "./source-loader.ts";
import { closedError } from "./stateful-local.ts";
import {
  type Numbered,
  type RequestKind,
  type RuntimeReply,
  type RuntimeRequest,
  type RuntimeResults,
  unpackError,
} from "./stateful-messages.ts";

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Requests to a worker and their replies. A worker that ends by itself fails what waits and whatever is asked later. */
export class RuntimeChannel {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #forgetGate: () => void;
  #asked = 0;
  #end: Error | undefined;

  constructor(worker: URL) {
    const gate = ExitGate.create();
    this.#worker = startThread(worker, { workerData: { gate } });
    this.#forgetGate = shutAtExit(new ExitGate(gate));
    this.#worker.unref();
    this.#worker.on("message", (reply: Numbered<RuntimeReply>) => this.#receive(reply));
    this.#worker.on("error", (error) => this.#fail(diedError(error instanceof Error ? error.message : String(error), error)));
    this.#worker.on("exit", (code) => this.#fail(diedError(`it ended with code ${code}`)));
  }

  ask<K extends RequestKind>(
    request: Extract<RuntimeRequest, { kind: K }>,
    moved: Iterable<ArrayBuffer> = [],
  ): Promise<RuntimeResults[K]> {
    if (this.#end) return Promise.reject(this.#end);
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      this.#worker.postMessage({ id, body: request } satisfies Numbered<RuntimeRequest>, [...moved]);
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
    });
  }

  /** Lets what was asked before finish, releases all programs and ends the thread. */
  async close(): Promise<void> {
    if (this.#end) return;
    const closed = this.ask({ kind: "close" });
    this.#end = closedError();
    // a thread that has died meanwhile is closed too
    await closed.catch(() => undefined);
    await this.#worker.terminate();
  }

  #receive({ id, body }: Numbered<RuntimeReply>): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ("failure" in body) waiting?.reject(unpackError(body.failure));
    else waiting?.resolve(body.result as never);
  }

  #fail(error: Error): void {
    this.#forgetGate();
    this.#end ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

const diedError = (how: string, cause?: unknown): EdgewrightError =>
  new EdgewrightError("RUNTIME_DIED", `The thread that runs the model has died: ${how}.`, {
    hint: "Its states are lost; start another runtime and write them again.",
    ...(cause === undefined ? {} : { cause }),
  });
