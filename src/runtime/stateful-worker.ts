import type { Tensor } from "../ir/index.ts";
import type { SessionOptions } from "./executor.ts";
import type { ExecutorName } from "./executors.ts";
import type { LoadedProgram, StatefulProgram, StatefulRuntime } from "./stateful.ts";
import { packTensors, unpackTensors } from "./stateful-messages.ts";
import { RuntimeChannel } from "./worker-channel.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/**
 * Programs with states in a thread of their own, where the states stay: native runs block the thread that calls them, and training
 * sessions change how it treats denormal numbers. Feeds are copied on the way in, outputs move without a copy. Close it when done; an
 * idle runtime does not keep the process alive.
 * @throws EdgewrightError RUNTIME_DIED from every call when the thread has ended by itself.
 */
export async function workerRuntime({ executor = "ort-node" }: { executor?: ExecutorName } = {}): Promise<StatefulRuntime> {
  const channel = new RuntimeChannel(new URL("./stateful.worker.ts", import.meta.url));
  try {
    const { name, version } = await channel.ask({ kind: "start", executor });
    return overChannel(channel, name, version);
  } catch (error) {
    await channel.close();
    throw error;
  }
}

function overChannel(channel: RuntimeChannel, name: string, version: string): StatefulRuntime {
  let programs = 0;
  return {
    name,
    version,
    load: async (source, options) => loadOver(channel, programs++, source, options),
    async read(states) {
      return unpackTensors(await channel.ask({ kind: "read", states }));
    },
    async write(states) {
      const moved = new Set<ArrayBuffer>();
      await channel.ask({ kind: "write", states: packTensors(states, moved) }, moved);
    },
    close: () => channel.close(),
  };
}

async function loadOver(
  channel: RuntimeChannel,
  program: number,
  { bytes, stateInputs, stateOutputs }: StatefulProgram,
  options?: SessionOptions,
): Promise<LoadedProgram> {
  const copy = new Uint8Array(bytes);
  const source = { bytes: copy, stateInputs, stateOutputs };
  await channel.ask({ kind: "load", program, source, ...(options ? { options } : {}) }, [copy.buffer]);
  return {
    async run(feeds: Tensors, outputs?: readonly string[]) {
      const moved = new Set<ArrayBuffer>();
      const packed = packTensors(feeds, moved);
      return unpackTensors(await channel.ask({ kind: "run", program, feeds: packed, ...(outputs ? { outputs } : {}) }, moved));
    },
    release: () => channel.ask({ kind: "release", program }),
  };
}
