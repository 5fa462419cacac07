import { encodeOnnx } from "../../formats/onnx/index.ts";
import { type Model, type Outputs, type Tensor, toFloat32 } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { Executor, SessionOptions } from "../../runtime/executor.ts";
import type { RunOptions } from "../../util/progress.ts";

/** Outputs of a model, run by run. */
export async function outputsOf(
  model: Model,
  feeds: readonly Feeds[],
  executor: Executor,
  session: SessionOptions = {},
  { signal }: RunOptions = {},
): Promise<Outputs[]> {
  const loaded = await executor.load(encodeOnnx(model), session);
  try {
    const outputs: Outputs[] = [];
    for (const one of feeds) {
      signal?.throwIfAborted();
      outputs.push(await loaded.run(one));
    }
    return outputs;
  } finally {
    await loaded.release();
  }
}

/**
 * How far outputs are from the reference's, run by run; 0 is equality. Class scores: Kullback-Leibler divergence in nats, the mean over
 * rows along the last axis (softmax is taken first unless the rows are distributions already). Else: relative error of the outputs.
 */
export function divergences(reference: readonly Outputs[], outputs: readonly Outputs[], classScores: boolean): number[] {
  return reference.map((expected, i) => {
    const parts = Object.entries(expected).flatMap(([name, tensor]) => {
      const other = outputs[i]?.[name];
      if (!other || tensor.dtype !== "float32" || other.size !== tensor.size) return [];
      return [classScores ? rowsKl(tensor, other) : relativeError(tensor, other)];
    });
    return parts.reduce((sum, part) => sum + part, 0) / Math.max(1, parts.length);
  });
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** A channel's error counts relative to at least this share of the mean energy of all channels. */
const leastEnergy = 1e-4;
/** Last axes longer than this are no channels. */
const mostChannels = 4096;
/** With fewer rows a channel's energy is that of a few numbers, one of which may be all but zero. */
const leastRows = 8;

/**
 * Squared error over squared signal, channel by channel, the mean over channels: box coordinates must not drown the
 * scores that stand beside them in one tensor.
 */
function relativeError(reference: Tensor, tensor: Tensor): number {
  const a = toFloat32(reference);
  const b = toFloat32(tensor);
  // maps [N, C, H, W] count channels by their second axis, rows of numbers by their last
  const maps = reference.shape.length >= 4;
  const width = (maps ? reference.shape[1] : reference.shape.at(-1)) ?? 1;
  const inner = maps ? reference.shape.slice(2).reduce((product, dim) => product * dim, 1) : 1;
  const channels = width > 0 && width <= mostChannels && a.length >= leastRows * width ? width : 1;
  const signal = new Float64Array(channels);
  const noise = new Float64Array(channels);
  for (let i = 0; i < a.length; i++) {
    const c = Math.floor(i / inner) % channels;
    signal[c] = (signal[c] as number) + (a[i] as number) ** 2;
    noise[c] = (noise[c] as number) + ((a[i] as number) - (b[i] as number)) ** 2;
  }
  const energy = signal.reduce((sum, x) => sum + x, 0) / channels;
  if (energy === 0) return noise.reduce((sum, x) => sum + x, 0) / Math.max(1, a.length);
  const ratio = (x: number, c: number): number => x / Math.max(signal[c] as number, leastEnergy * energy);
  const error = noise.reduce((sum, x, c) => sum + ratio(x, c), 0) / channels;
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

function rowsKl(reference: Tensor, tensor: Tensor): number {
  const width = reference.shape.at(-1) ?? 1;
  const a = toFloat32(reference);
  const b = toFloat32(tensor);
  const rows = a.length / Math.max(1, width);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const p = distribution(a.subarray(row * width, (row + 1) * width));
    const q = distribution(b.subarray(row * width, (row + 1) * width));
    for (let i = 0; i < width; i++) {
      const x = p[i] as number;
      if (x > 0) sum += x * Math.log(x / Math.max(q[i] as number, 1e-12));
    }
  }
  return Number.isNaN(sum) ? Number.POSITIVE_INFINITY : sum / Math.max(1, rows);
}

/** Softmax, unless the row is a distribution already. */
function distribution(row: Float32Array): Float64Array {
  let sum = 0;
  let least = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (const value of row) {
    sum += value;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least >= 0 && Math.abs(sum - 1) < 0.02) return Float64Array.from(row, (value) => value / sum);
  const powers = Float64Array.from(row, (value) => Math.exp(value - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}
