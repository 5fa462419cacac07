import { z } from "zod";
import { encodeOnnx } from "../formats/onnx/index.ts";
import {
  type Graph,
  int64Tensor,
  type Model,
  type Outputs,
  type PreparedSample,
  toFloat32,
  toNumbers,
  type Value,
} from "../ir/index.ts";
import type { RunSample } from "../measure/task.ts";
import type { Note } from "../passes/define.ts";
import { runPass } from "../passes/manager.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { quantizeWeightChannels } from "../passes/quantize/weight-channels.ts";
import {
  InputMoments,
  type MeasureMoments,
  quantizeWeightsOnly,
  type WeightAlgorithm,
  type WeightReport,
} from "../passes/quantize/weight-only/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";

/** What weight-only quantization can be told; the pass's parameters say more (`edgewright/passes`, weightOnlyParams). */
export interface WeightOnlyRequest {
  /** 4 (default) or 8. */
  readonly bits?: number | undefined;
  /** Weights that share a scale: 16, 32 (default), 64, 128 or 256. */
  readonly block?: number | undefined;
  readonly asymmetric?: boolean | undefined;
  /** Default "auto"; without data, "rtn" and "hqq" take part in it. */
  readonly algorithm?: WeightAlgorithm | undefined;
  readonly scales?: "float32" | "float16" | undefined;
  /** Bits of embedding tables that are no head too; default 8. */
  readonly tableBits?: number | undefined;
  /** Bits of the last matrices before the outputs. */
  readonly headBits?: number | undefined;
  /** Squared output error, relative, above which a matrix gets 8 bits. */
  readonly threshold?: number | undefined;
  readonly averageBits?: number | undefined;
}

export const weightReportSchema = z.object({
  name: z.string(),
  nodes: z.array(z.string()),
  kind: z.enum(["product", "table", "convolution"]),
  shape: z.array(z.number()),
  algorithm: z.string(),
  bits: z.number(),
  block: z.number(),
  error: z.number(),
  bytesBefore: z.number(),
  bytesAfter: z.number(),
});

export interface MomentsSource extends RunOptions {
  readonly executor: Executor;
  readonly threads?: number | undefined;
  /** Drives the session where a plain run does not do. */
  readonly run?: RunSample | undefined;
  /** How many samples are expected, for progress. */
  readonly expected?: number | undefined;
  /** A fresh sweep over the calibration samples. */
  readonly samples: () => AsyncIterable<PreparedSample>;
}

/**
 * Streams calibration samples through a model and sums X^T X and |X| of named values: the runtime multiplies, only [columns, columns]
 * leave it, so that memory is the same for any number of samples. One sample in four is held apart for judging solutions.
 */
export const measureMoments =
  (model: Model, source: MomentsSource): MeasureMoments =>
  async (inputs) => {
    const moments = new Map([...inputs].map(([name, columns]) => [name, new InputMoments(columns)]));
    const session = await source.executor.load(encodeOnnx(withMoments(model, inputs)), { threads: source.threads ?? 1 });
    let done = 0;
    try {
      const heard = hearing(session, (outputs) => {
        [...moments.values()].forEach((one, i) => {
          const [size, gram, magnitudes] = momentNames(i).map((name) => outputs[name]);
          if (!size || !gram || !magnitudes) return;
          if (isHeld(done)) one.held ??= new InputMoments(one.columns);
          const to = (isHeld(done) ? one.held : one) as InputMoments;
          to.addSums(Number(toNumbers(size)[0]) / one.columns, toFloat32(gram), toFloat32(magnitudes));
        });
      });
      for await (const sample of source.samples()) {
        source.signal?.throwIfAborted();
        if (source.run) await source.run({ session: heard, sample, signal: source.signal });
        else await heard.run(sample.feeds);
        done++;
        source.onProgress?.({ step: "calibrate", done, total: source.expected });
      }
    } finally {
      await session.release();
    }
    if (done === 0)
      throw new EdgewrightError("CALIBRATION_EMPTY", "There are no calibration samples.", {
        hint: "Give more data, or leave data out: weights are then rounded without them.",
      });
    return moments;
  };

/** One sample in four is for judging. */
const isHeld = (sample: number): boolean => sample % 4 === 3;

const momentNames = (i: number): string[] => ["size", "gram", "magnitudes"].map((what) => `moments_${what}_${i}`);

/** Every run computes all outputs and reports them. */
const hearing = (session: Session, heard: (outputs: Outputs) => void): Session => ({
  ...session,
  async run(feeds) {
    const outputs = await session.run(feeds);
    heard(outputs);
    return outputs;
  },
});

function withMoments(model: Model, inputs: ReadonlyMap<string, number>): Model {
  const watched = model.clone();
  const { graph } = watched;
  const values = new Map<string, Value>(graph.inputs.map((value) => [value.name, value]));
  for (const node of graph.nodes) for (const output of node.outputs) values.set(output.name, output);
  [...inputs].forEach(([name, columns], i) => {
    const value = values.get(name);
    if (!value) throw new EdgewrightError("OBSERVE_UNKNOWN", `There is no value "${name}" to observe.`, { subject: name });
    addMoments(graph, value, columns, momentNames(i));
  });
  return watched;
}

function addMoments(graph: Graph, value: Value, columns: number, names: readonly string[]): void {
  const constant = (hint: string, numbers: readonly number[]): Value =>
    graph.addInitializer(graph.freshName(hint), int64Tensor(numbers));
  const node = (opType: string, of: readonly Value[], name?: string, attributes = {}): Value =>
    graph.node(opType, of, { ...(name ? { outputs: [name] } : {}), attributes }).output;
  const rows = node("Reshape", [value, constant("moments_shape", [-1, columns])]);
  const turned = node("Transpose", [rows], undefined, { perm: [1, 0] });
  const axes = constant("moments_axes", [0]);
  const results = [
    [node("Size", [rows], names[0]), "int64", []],
    [node("MatMul", [turned, rows], names[1]), "float32", [columns, columns]],
    [node("ReduceSum", [node("Abs", [rows]), axes], names[2], { keepdims: 0 }), "float32", [columns]],
  ] as const;
  for (const [result, dtype, shape] of results) {
    result.type = { dtype, shape };
    graph.addOutput(result);
  }
}

export interface WeightOnlyResult {
  readonly notes: readonly Note[];
  readonly weights: readonly WeightReport[];
  /** Calibration samples that were read. */
  readonly samples: number;
}

/** Counts what one sweep gives; the last sweep's count stays. */
function counted(source: MomentsSource): MomentsSource & { count: number } {
  const result = {
    ...source,
    count: 0,
    async *samples() {
      result.count = 0;
      for await (const sample of source.samples()) {
        result.count++;
        yield sample;
      }
    },
  };
  return result;
}

/** Runs the pass on a simplified model, in place; with `source`, algorithms that need calibration rows take part. */
export async function quantizeWeights(
  model: Model,
  row: QuantizationRow,
  params: WeightOnlyRequest & { readonly exclude?: readonly string[]; readonly convolutions?: boolean | undefined },
  source?: MomentsSource,
): Promise<WeightOnlyResult> {
  const weights: WeightReport[] = [];
  // without integer kernels blocks would only be unpacked: int8 with a scale per channel is what every runtime reads
  if (row.quantizable === false && params.bits === 8 && params.block === undefined) {
    const onWeight = ({ channels: _, ...report }: WeightReport & { channels?: number }) => weights.push(report);
    const { notes } = await runPass(quantizeWeightChannels, model, { exclude: params.exclude, onWeight }, ortEvaluate);
    return { notes, weights, samples: 0 };
  }
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
  const counting = source && counted(source);
  const moments = counting ? { moments: measureMoments(model.clone(), counting) } : {};
  const { notes } = await runPass(
    quantizeWeightsOnly,
    model,
    { ...given, row, ...moments, onWeight: (report: WeightReport) => weights.push(report) },
    ortEvaluate,
  );
  return { notes, weights, samples: counting?.count ?? 0 };
}

/** How many times smaller the matrices of products became, scales and zero points included; undefined where there are none. */
export function productRatio(weights: readonly Pick<WeightReport, "kind" | "bytesBefore" | "bytesAfter">[]): number | undefined {
  const products = weights.filter(({ kind }) => kind === "product");
  const sum = (key: "bytesBefore" | "bytesAfter"): number => products.reduce((total, one) => total + one[key], 0);
  return products.length > 0 ? sum("bytesBefore") / sum("bytesAfter") : undefined;
}
