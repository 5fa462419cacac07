import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { loaderFor } from "../runtime/source-loader.ts";
import { EdgewrightError } from "../util/errors.ts";

export interface JobProcessOptions {
  readonly signal?: AbortSignal | undefined;
  /** Kill the process after this long; default two minutes. */
  readonly timeoutMs?: number | undefined;
  /** What the job is about, for messages. */
  readonly subject: string;
}

/** An error as it crosses between processes. */
export interface JobFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}
export type JobReply<T> = { readonly result: T } | { readonly failure: JobFailure };

function replyOf<T>(child: ChildProcess, job: unknown, options: JobProcessOptions): Promise<JobReply<T>> {
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-2000);
  });
  return new Promise((resolve, reject) => {
    const give = options.timeoutMs ?? 120_000;
    const stop = (error: unknown) => {
      child.kill("SIGKILL");
      reject(error);
    };
    const timer = setTimeout(
      () =>
        stop(new EdgewrightError("JOB_TIMEOUT", `The process that runs ${options.subject} gave no result in ${give / 1000} s.`)),
      give,
    );
    const abort = () => stop(options.signal?.reason);
    options.signal?.addEventListener("abort", abort, { once: true });
    child.once("message", (reply) => resolve(reply as JobReply<T>));
    child.once("error", stop);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      const last = stderr.trim().split("\n").at(-1);
      const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
      reject(
        new EdgewrightError(
          "JOB_DIED",
          `The process that runs ${options.subject} ${how} before it had a result${last ? `: ${last}` : ""}.`,
        ),
      );
    });
    child.send(job as object, (error) => error && stop(error));
  });
}

/** Runs one job in a process of its own: `worker` gets `job` as a message and answers with one `JobReply`. */
export async function runInProcess<T>(worker: URL, job: unknown, options: JobProcessOptions): Promise<T> {
  options.signal?.throwIfAborted();
  const child = fork(fileURLToPath(worker), [], {
    execArgv: loaderFor(worker),
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const reply = await replyOf<T>(child, job, options);
  if (child.connected) child.disconnect();
  await exited;
  if ("result" in reply) return reply.result;
  throw new EdgewrightError(reply.failure.code, reply.failure.message, {
    subject: options.subject,
    ...(reply.failure.hint ? { hint: reply.failure.hint } : {}),
  });
}

/** The worker's side: waits for the job, answers once and lets the process end. */
export function answerJob<J, T>(work: (job: J) => Promise<T>): void {
  const send = (reply: JobReply<T>) => process.send?.(reply);
  process.once("message", (job) => {
    work(job as J).then(
      (result) => send({ result }),
      (error: unknown) => {
        const { code, hint } = error instanceof EdgewrightError ? error : { code: "JOB_FAILED", hint: undefined };
        send({ failure: { code, message: error instanceof Error ? error.message : String(error), hint } });
      },
    );
  });
}
