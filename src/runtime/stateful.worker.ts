import { parentPort, workerData } from "node:worker_threads";
import { invariant } from "../util/errors.ts";
import type { Executor, Session } from "./executor.ts";
import { loadExecutor } from "./executors.ts";
import { ExitGate } from "./exit-gate.ts";
import type { LoadedProgram, StatefulRuntime } from "./stateful.ts";
import { localRuntime } from "./stateful-local.ts";
import {
  type Numbered,
  packError,
  packTensors,
  type RuntimeReply,
  type RuntimeRequest,
  type RuntimeResults,
  unpackTensors,
} from "./stateful-messages.ts";

const gate = new ExitGate((workerData as { gate: SharedArrayBuffer }).gate);
const programs = new Map<number, LoadedProgram>();
let runtime: StatefulRuntime | undefined;

/** The same executor, whose native calls go through the gate. */
function gated(executor: Executor): Executor {
  const wrap = (session: Session): Session => ({
    ...session,
    run: (...args) => gate.pass(() => session.run(...args)),
    release: () => gate.pass(() => session.release()),
  });
  return { ...executor, load: async (...args) => wrap(await gate.pass(() => executor.load(...args))) };
}

function started(): StatefulRuntime {
  invariant(runtime, "the worker was not started");
  return runtime;
}

function program(number: number): LoadedProgram {
  const loaded = programs.get(number);
  invariant(loaded, `the worker has no program ${number}`);
  return loaded;
}

async function answer(request: RuntimeRequest, moved: Set<ArrayBuffer>): Promise<RuntimeResults[RuntimeRequest["kind"]]> {
  switch (request.kind) {
    case "start": {
      runtime = localRuntime(gated(await gate.pass(() => loadExecutor(request.executor))));
      return { name: runtime.name, version: runtime.version };
    }
    case "load":
      programs.set(request.program, await started().load(request.source, request.options));
      return undefined;
    case "run":
      return packTensors(await program(request.program).run(unpackTensors(request.feeds), request.outputs), moved, true);
    case "release":
      return program(request.program).release();
    case "read":
      return packTensors(await started().read(request.states), moved, true);
    case "write":
      return started().write(unpackTensors(request.states));
    case "close":
      return runtime?.close();
  }
}

parentPort?.on("message", async ({ id, body }: Numbered<RuntimeRequest>) => {
  const moved = new Set<ArrayBuffer>();
  const send = (reply: RuntimeReply) => parentPort?.postMessage({ id, body: reply }, [...moved]);
  try {
    send({ result: await answer(body, moved) });
  } catch (error) {
    moved.clear();
    send({ failure: packError(error) });
  }
});
