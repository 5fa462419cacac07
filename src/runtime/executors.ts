import { EdgewrightError } from "../util/errors.ts";
import type { Executor } from "./executor.ts";

/** Runtimes that can run a model here, by the name that the command line takes. */
const executors = {
  "ort-node": async () => (await import("./ort-node.ts")).ortNode,
  "ort-web": async () => (await import("./ort-web.ts")).ortWeb,
} as const satisfies Record<string, () => Promise<Executor>>;

export type ExecutorName = keyof typeof executors;
export const executorNames = Object.keys(executors) as ExecutorName[];

/** Loads a runtime's code, only when asked for: each holds tens of megabytes. */
export async function loadExecutor(name: string): Promise<Executor> {
  if (!Object.hasOwn(executors, name))
    throw new EdgewrightError("EXECUTOR_UNKNOWN", `There is no executor '${name}'.`, {
      hint: `Choose one of: ${executorNames.join(", ")}.`,
    });
  return executors[name as ExecutorName]();
}
