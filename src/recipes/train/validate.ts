import { evaluationBatches, type SampleStore, type TargetOptions } from "../../data/train/index.ts";
import { encodeOnnx } from "../../formats/index.ts";
import { type Model, type Tensor, toFloat32 } from "../../ir/index.ts";
import type { Executor } from "../../runtime/executor.ts";

export interface Validation {
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly higherIsBetter: boolean;
  readonly samples: number;
}

export interface ValidateOptions {
  readonly executor: Executor;
  readonly threads: number;
  readonly batch: number;
  readonly targets: TargetOptions;
  /** Which output is judged; default: the first. */
  readonly output?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Rows of a tensor [B, …]. */
function* rowsOf(tensor: Tensor, count: number): Generator<Float32Array> {
  const values = toFloat32(tensor);
  const size = tensor.size / (tensor.shape[0] as number);
  for (let row = 0; row < count; row++) yield values.subarray(row * size, (row + 1) * size);
}

export const argMax = (row: Float32Array): number =>
  row.reduce((best, value, i) => (value > (row[best] as number) ? i : best), 0);

/** Judges one sample: what it adds to the sum. */
type Judge = (output: Float32Array, target: Float32Array) => number;

const judges = {
  accuracy: { metric: "top-1", unit: "%", higherIsBetter: true, judge: (o, t) => 100 * Number(argMax(o) === argMax(t)) },
  binary: {
    metric: "accuracy",
    unit: "%",
    higherIsBetter: true,
    judge: (o, t) => 100 * Number((o[0] as number) > 0 === (t[0] as number) > 0.5),
  },
  error: {
    metric: "mean squared error",
    unit: "",
    higherIsBetter: false,
    judge: (o, t) => o.reduce((sum, value, i) => sum + (value - (t[i] as number)) ** 2, 0) / o.length,
  },
} as const satisfies Record<string, { metric: string; unit: string; higherIsBetter: boolean; judge: Judge }>;
export type Judgement = keyof typeof judges;

/** Runs the model that would ship on every validation sample: a mean of what its first output earns. */
export async function validateModel(
  model: Model,
  store: SampleStore,
  judgement: Judgement,
  options: ValidateOptions,
): Promise<Validation> {
  const { judge, ...metric } = judges[judgement];
  const fixed = model.graph.inputs[0]?.type?.shape?.[0];
  const batch = typeof fixed === "number" ? fixed : Math.min(options.batch, store.length);
  const session = await options.executor.load(encodeOnnx(model), {
    threads: options.threads,
    config: { "session.intra_op.allow_spinning": "0" },
  });
  const output = options.output ?? (session.outputNames[0] as string);
  let sum = 0;
  let samples = 0;
  try {
    for await (const { feeds, targets, count } of evaluationBatches(store, {
      batch,
      targets: options.targets,
      signal: options.signal,
    })) {
      const results = await session.run(feeds, [output]);
      const truth = [...rowsOf(Object.values(targets)[0] as Tensor, count)];
      let row = 0;
      for (const result of rowsOf(results[output] as Tensor, count)) sum += judge(result, truth[row++] as Float32Array);
      samples += count;
    }
  } finally {
    await session.release();
  }
  return { ...metric, value: sum / samples, samples };
}
