import { encodeOnnx } from "../formats/onnx/index.ts";
import { type Model, type Outputs, type PreparedSample, type Tensor, toFloat32 } from "../ir/index.ts";
import type { RunSample } from "../measure/task.ts";
import { valuesByName } from "../passes/cut.ts";
import { ActivationStatistics } from "../passes/quantize/statistics.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";

/** A value to watch while calibrating; `channelAxis` asks for per-channel means as well. */
export interface Observation {
  readonly name: string;
  readonly channelAxis?: number | undefined;
}

export interface ObserveOptions extends RunOptions {
  readonly executor: Executor;
  readonly threads?: number | undefined;
  /** Drives the session where a plain run does not do. */
  readonly run?: RunSample | undefined;
  /** How many samples are expected, for progress. */
  readonly expected?: number | undefined;
}

/**
 * Runs the samples once through the model with the wanted values as extra outputs and keeps streaming statistics of each. Memory holds
 * one sample's activations, however many samples there are.
 */
export async function observe(
  model: Model,
  observations: readonly Observation[],
  samples: AsyncIterable<PreparedSample>,
  options: ObserveOptions,
): Promise<Map<string, ActivationStatistics>> {
  const statistics = new Map(observations.map(({ name }) => [name, new ActivationStatistics(name)]));
  const watched = model.clone();
  const values = valuesByName(watched);
  const fetched: string[] = [];
  for (const { name } of observations) {
    const value = values.get(name);
    if (!value) throw new EdgewrightError("OBSERVE_UNKNOWN", `There is no value "${name}" to observe.`, { subject: name });
    if (value.isGraphInput) continue;
    if (!value.isGraphOutput) watched.graph.addOutput(value);
    fetched.push(name);
  }
  const session = await options.executor.load(encodeOnnx(watched), { threads: options.threads ?? 1 });
  try {
    let done = 0;
    const watching = watchingSession(session, (outputs, feeds) => {
      for (const observation of observations)
        record(observation, statistics, outputs[observation.name] ?? feeds[observation.name]);
    });
    for await (const sample of samples) {
      options.signal?.throwIfAborted();
      if (options.run) await options.run({ session: watching, sample, signal: options.signal });
      else await watching.run(sample.feeds, fetched);
      done++;
      options.onProgress?.({ step: "calibrate", done, total: options.expected });
    }
    if (done === 0)
      throw new EdgewrightError("CALIBRATION_EMPTY", "There are no calibration samples.", {
        hint: "Give more data, or a larger calibration share.",
      });
  } finally {
    await session.release();
  }
  return statistics;
}

/** Every run computes all outputs, the watched ones included, and reports them; the caller gets what it asked for. */
const watchingSession = (session: Session, heard: (outputs: Outputs, feeds: Outputs) => void): Session => ({
  ...session,
  async run(feeds) {
    const outputs = await session.run(feeds);
    heard(outputs, feeds);
    return outputs;
  },
});

function record(
  observation: Observation,
  statistics: ReadonlyMap<string, ActivationStatistics>,
  tensor: Tensor | undefined,
): void {
  if (!tensor) return;
  const own = statistics.get(observation.name) as ActivationStatistics;
  const values = toFloat32(tensor);
  own.update(values);
  const axis = observation.channelAxis;
  if (axis === undefined || axis >= tensor.shape.length) return;
  own.updateChannels(
    values,
    tensor.shape[axis] as number,
    tensor.shape.slice(axis + 1).reduce((a, b) => a * b, 1),
  );
}
