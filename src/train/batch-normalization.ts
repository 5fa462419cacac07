import type { Node, Value } from "../ir/index.ts";
import type { GraphBuilder } from "../ops/builder.ts";
import { recordOf } from "../ops/infer-node.ts";
import { batchNormalization } from "../ops/normalization.ts";
import type { TrainingGraph } from "./training-graph.ts";

export interface BatchStatistics {
  readonly mean: Value;
  /** Biased variance over batch and positions. */
  readonly variance: Value;
}

/** Batch, then every position: all axes but the channel's. */
const reducedAxes = (rank: number): number[] => Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 1);

/**
 * y = γ·(x − mean)/√(variance + ε) + β with the batch's own statistics, by primitives, with the closed-form gradient
 * dx = A·dy + B·(x − mean) + C (A, B, C per channel; Ioffe and Szegedy, "Batch Normalization", 2015). x [N, C, …], γ and β [C].
 * onnxruntime's own training kernel is not used: it writes into its inputs' buffers.
 */
export function normalizeByBatch(
  b: GraphBuilder,
  { x, scale, shift, epsilon }: { x: Value; scale: Value; shift: Value; epsilon: number },
): { readonly y: Value } & BatchStatistics {
  const shape = b.shape(x);
  const channels = shape[1] as number;
  const axes = reducedAxes(shape.length);
  const perChannel = shape.map((_, i) => (i === 1 ? channels : 1));
  const count = b.size(x) / channels;
  const mean = b.reduceMean(x, axes);
  const centred = b.sub(x, mean);
  const variance = b.reduceMean(b.square(centred), axes);
  const inverse = b.reciprocal(b.sqrt(b.add(variance, epsilon)));
  const factor = b.mul(inverse, b.reshape(scale, perChannel));
  const y = b.add(b.mul(centred, factor), b.reshape(shift, perChannel));
  b.customGradient(y, [x, scale, shift], (_, dy) => {
    const sum = b.reduceSum(dy, axes);
    const product = b.reduceSum(b.mul(dy, centred), axes);
    const slope = b.neg(b.mul(b.mul(factor, b.square(inverse)), b.mul(product, 1 / count)));
    const offset = b.neg(b.mul(factor, b.mul(sum, 1 / count)));
    const dx = b.add(b.mul(dy, factor), perChannelMap(b, centred, slope, offset));
    b.zeroChannelSums.add(dx);
    return [dx, b.reshape(b.mul(product, inverse), [channels]), b.reshape(sum, [channels])];
  });
  return { y, mean: b.reshape(mean, [channels]), variance: b.reshape(variance, [channels]) };
}

/** running' = momentum·running + (1 − momentum)·batch; the variance is unbiased, as trainers store it. */
export function moveStatistics(
  training: TrainingGraph,
  running: { readonly mean: Value; readonly variance: Value },
  batch: BatchStatistics,
  { momentum, count }: { momentum: number; count: number },
): void {
  const { b } = training;
  const move = (value: Value, towards: Value): Value => b.add(b.mul(value, momentum), b.mul(towards, 1 - momentum));
  for (const [value, next] of [
    [running.mean, batch.mean],
    [running.variance, b.mul(batch.variance, count / Math.max(1, count - 1))],
  ] as const) {
    const statistic = training.statistics.find((one) => one.value === value);
    if (statistic) statistic.next = move(value, next);
  }
}

/** x·slope + offset per channel in one pass over x: the inference kernel with statistics that change nothing. */
function perChannelMap(b: GraphBuilder, x: Value, slope: Value, offset: Value): Value {
  const channels = [b.shape(x)[1] as number];
  const vector = (v: Value): Value => b.reshape(v, channels);
  const [zero, one] = [0, 1].map((value) => b.floats(channels, new Float32Array(channels[0] as number).fill(value)));
  return b.op("BatchNormalization", [x, vector(slope), vector(offset), zero, one], { epsilon: 0 });
}

/** Every BatchNormalization node of the graph whose statistics are stored constants. */
export const batchNormalizations = ({ graph, b }: TrainingGraph): readonly Node[] =>
  [...graph.nodes].filter((node) => recordOf(node, b.opsets) === batchNormalization && node.int("training_mode", 0) === 0);

/**
 * Makes every BatchNormalization of the graph train: in mode "train" it normalizes by the batch's statistics and moves the running
 * ones, in mode "evaluate" it uses the running ones, which are states in both.
 */
export function trainBatchNormalization(training: TrainingGraph): void {
  const { b, graph } = training;
  for (const node of batchNormalizations(training)) {
    const [x, scale, shift, mean, variance] = node.inputs as readonly Value[];
    if (!x || !scale || !shift || !mean?.constant || !variance?.constant) continue;
    const running = {
      mean: training.statistic(freeName(training, mean), mean.constant).value,
      variance: training.statistic(freeName(training, variance), variance.constant).value,
    };
    node.setInput(3, running.mean);
    node.setInput(4, running.variance);
    for (const old of [mean, variance]) if (old.uses.size === 0) graph.removeInitializer(old);
    if (training.mode === "evaluate") continue;
    const epsilon = node.float("epsilon", 1e-5);
    const momentum = node.float("momentum", 0.9);
    const count = b.size(x) / (b.shape(x)[1] as number);
    b.before(node, () => {
      const batch = normalizeByBatch(b, { x, scale, shift, epsilon });
      graph.replaceAllUses(node.output, batch.y);
      moveStatistics(training, running, batch, { momentum, count });
    });
    graph.remove(node);
  }
}

/** The initializer's own name for its state, so that trained statistics find their way back into the model. */
function freeName({ graph }: TrainingGraph, value: Value): string {
  const { name } = value;
  graph.rename(value, graph.freshName(`${name}/initial`));
  return name;
}
