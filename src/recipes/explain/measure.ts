import { encodeOnnx } from "../../formats/onnx/index.ts";
import type { Model, Outputs, PreparedSample } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { RunSample } from "../../measure/task.ts";
import type { Executor, Session } from "../../runtime/executor.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import type { Pairing } from "./pairing.ts";
import { integersName, type Probe, probeModel, resultName, watchedModel } from "./probe-model.ts";
import { comparable, Totals } from "./totals.ts";

export interface MeasureOptions extends RunOptions {
  readonly executor: Executor;
  readonly threads: number;
  /** Drives the session where a plain run does not do. */
  readonly run?: RunSample | undefined;
  /** How many samples are expected, for progress. */
  readonly expected: number;
}

/** Inputs with the float model's outputs. */
export interface KeptRun {
  readonly feeds: Feeds;
  readonly outputs: Outputs;
}

export interface Measured {
  readonly totals: Totals;
  readonly samples: number;
  /** The first runs, for questions that are asked afterwards. */
  readonly kept: readonly KeptRun[];
}

/**
 * Runs both models side by side over the samples and sums up squared differences. Memory holds one run's values, however many samples
 * there are, and the inputs and outputs of the first runs, up to `keepBytes`.
 */
export async function measureNoise(
  pairing: Pairing,
  samples: AsyncIterable<PreparedSample>,
  keepBytes: number,
  options: MeasureOptions,
): Promise<Measured> {
  const totals = new Totals(pairing);
  const probe = probeModel(pairing);
  const kept: KeptRun[] = [];
  let room = keepBytes;
  const { executor, threads } = options;
  const float = await loadWatched(executor, probe.model, threads);
  const quantized = await loadWatched(executor, watchedModel(pairing), threads).catch(async (error) => {
    await float.release();
    throw error;
  });
  const session: Session = {
    ...float,
    async run(feeds) {
      const values = await float.run(feeds);
      record({ totals, probe, pairing }, { ...feeds, ...values }, await quantized.run(feeds));
      const outputs = Object.fromEntries([...totals.outputs.keys()].map((name) => [name, values[name] as Outputs[string]]));
      room -= bytesOf(feeds) + bytesOf(outputs);
      if (room >= 0 || kept.length === 0) kept.push({ feeds, outputs });
      return values;
    },
  };
  try {
    let done = 0;
    for await (const sample of samples) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ step: "compare", done, total: options.expected });
      if (options.run) await options.run({ session, sample, signal: options.signal });
      else await session.run(sample.feeds);
      done++;
    }
    if (done === 0)
      throw new EdgewrightError("EXPLAIN_NO_SAMPLES", "There are no samples to compare the models on.", {
        hint: "Give more --data.",
      });
    return { totals, samples: done, kept };
  } finally {
    await float.release();
    await quantized.release();
  }
}

const bytesOf = (tensors: Outputs): number =>
  Object.values(tensors).reduce((sum, tensor) => sum + (tensor ? 4 * tensor.size : 0), 0);

/** Optimizations of the runtime stumble over some models of which inner values are wanted; without them the numbers are the same. */
async function loadWatched(executor: Executor, model: Model, threads: number): Promise<Session> {
  const bytes = encodeOnnx(model);
  try {
    return await executor.load(bytes, { threads });
  } catch {
    return executor.load(bytes, { threads, optimization: "disabled" });
  }
}

interface Recorder {
  readonly totals: Totals;
  readonly probe: Probe;
  readonly pairing: Pairing;
}

function record({ totals, probe, pairing }: Recorder, float: Outputs, quantized: Outputs): void {
  totals.runs++;
  for (const [tensor, own] of totals.tensors) {
    const reference = float[tensor.reference.name];
    const values = comparable(reference, reference);
    if (values && reference) own.add(values[0], reference.shape);
  }
  for (const layer of pairing.layers) {
    const own = totals.layers.get(layer);
    const reference = float[layer.point.name];
    if (!own || !reference) continue;
    const local = comparable(reference, float[probe.local.get(layer) as string], layer.output?.grid);
    if (local) own.local.add(...local);
    const weights = comparable(reference, float[probe.weights.get(layer) ?? ""]);
    if (weights) own.weights.add(...weights);
    const name = layer.output ? integersName(layer.output) : resultName(layer);
    const accumulated = comparable(reference, quantized[name], layer.output?.grid);
    if (accumulated) own.addAccumulated(...accumulated, reference.shape);
  }
  for (const [name, total] of totals.outputs) {
    const both = comparable(float[name], quantized[name]);
    if (both) total.add(...both);
  }
}
