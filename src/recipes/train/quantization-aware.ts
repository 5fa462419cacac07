import type { SampleStore } from "../../data/train/index.ts";
import { type Model, type PreparedSample, type Tensor, toFloat32, type Value } from "../../ir/index.ts";
import { thisDevice } from "../../measure/device.ts";
import { inferShapes } from "../../ops/infer.ts";
import { quantizeLinear } from "../../ops/quantize-linear.ts";
import { lookupOp } from "../../ops/registry.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { quantizeStatic, valuesToObserve } from "../../passes/quantize/static.ts";
import { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import type { WeightChoice } from "../../passes/quantize/weights.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { loadExecutor } from "../../runtime/executors.ts";
import { findTarget } from "../../targets/index.ts";
import type { CompiledTraining } from "../../train/compile.ts";
import { exportTrained } from "../../train/export.ts";
import { type FakeQuantizedWeight, fakeQuantize, observeInput, weightScaleName } from "../../train/fake-quantize.ts";
import { pieceOf } from "../../train/program.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { imitate } from "../imitation.ts";
import { observe } from "../observe.ts";
import type { TrainConfig } from "./config.ts";
import type { TrainingPlan } from "./plan.ts";
import type { QuantizeConfig } from "./quantize-config.ts";

/** The quantized graph that training imitates, and where its parts come from. */
interface Quantized {
  /** The float model with quantize–dequantize pairs around activations; weights and biases float. */
  readonly model: Model;
  readonly weights: readonly FakeQuantizedWeight[];
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
  /** A quantize node that replaced a Relu reads the value before it; the pass asks for the value behind. First → second. */
  readonly points: ReadonlyMap<string, string>;
}

/**
 * Quantization-aware training as a plan: the static pass decides what is quantized and how, training imitates its rounding, and the same
 * pass, given the trained ranges and scales, writes the integer model. Both sides agree by construction.
 */
export async function quantizationAwarePlan(
  prepared: Model,
  training: SampleStore,
  config: TrainConfig,
  options: RunOptions,
): Promise<TrainingPlan> {
  const settings = config.quantize as QuantizeConfig;
  const row = rowOf(settings);
  nameNodes(prepared);
  const statistics = await calibrate(prepared, training, row, config, options);
  const { model, weights, points } = await imitate(prepared, parametersOf(row, settings, statistics));
  const quantized: Quantized = { model, statistics, points, weights };
  return {
    model: quantized.model,
    transforms: [
      (graph) =>
        fakeQuantize(graph, {
          weights: quantized.weights,
          weightScale: settings.weightScale,
          activationRange: settings.activationRange,
        }),
    ],
    hyperparameters: (step, total) => ({ [observeInput]: step < settings.freezeAfter * total ? 1 : 0 }),
    exportModel: (compiled, states, weights) => exportInteger({ prepared, quantized, row, settings }, compiled, states, weights),
  };
}

function rowOf({ target }: QuantizeConfig): QuantizationRow {
  const { arch, instructionSets } = thisDevice();
  const { quantization } = findTarget(target, { arch, instructionSets: instructionSets ?? [] });
  if (quantization) return quantization;
  throw new EdgewrightError("QAT_TARGET", `The target "${target}" has no integer kernels to train for.`, { subject: target });
}

/** Nodes are found again in the quantized copy by name. */
function nameNodes({ graph }: Model): void {
  const seen = new Set<string>();
  for (const node of graph.nodes) {
    if (!node.name || seen.has(node.name)) node.name = graph.freshName(`${node.opType}_node`);
    seen.add(node.name);
  }
}

async function calibrate(
  model: Model,
  store: SampleStore,
  row: QuantizationRow,
  config: TrainConfig,
  options: RunOptions,
): Promise<Map<string, ActivationStatistics>> {
  const count = Math.min(store.length, config.quantize?.calibrationSamples ?? 256);
  const samples = async function* (): AsyncGenerator<PreparedSample> {
    // spread over the whole store, whatever its order
    for (let i = 0; i < count; i++) yield await store.sample(Math.floor((i * store.length) / count));
  };
  const executor = await loadExecutor("ort-node");
  return observe(model, valuesToObserve(model, row), samples(), {
    ...options,
    executor,
    threads: config.threads,
    expected: count,
  });
}

const parametersOf = (row: QuantizationRow, settings: QuantizeConfig, statistics: ReadonlyMap<string, ActivationStatistics>) => ({
  row,
  statistics,
  exclude: settings.exclude,
  weightBits: settings.weightBits,
});

/** Where trained ranges and scales go: the float model with trained weights, quantized by the same pass with these ranges. */
function exportInteger(
  {
    prepared,
    quantized,
    row,
    settings,
  }: { prepared: Model; quantized: Quantized; row: QuantizationRow; settings: QuantizeConfig },
  compiled: CompiledTraining,
  states: Readonly<Record<string, Tensor>>,
  weights: string,
): Model {
  const model = exportTrained(prepared, compiled, states, weights);
  const tensors = new Map<string, Tensor>();
  for (const slot of compiled.parameters) tensors.set(slot.name, pieceOf(states[weights] as Tensor, slot));
  for (const slot of compiled.statistics) tensors.set(slot.name, pieceOf(states.statistics as Tensor, slot));
  const choices = new Map<string, WeightChoice>();
  for (const { name } of quantized.weights) {
    const scale = tensors.get(weightScaleName(name));
    if (scale) choices.set(name, { scales: toFloat32(scale) });
  }
  const parameters = { ...parametersOf(row, settings, trainedRanges(quantized, tensors)), weights: choices };
  const notes: string[] = [];
  inferShapes(model);
  quantizeStatic.run({
    model,
    params: quantizeStatic.params.parse(parameters),
    evaluate: ortEvaluate,
    note: (_, __, message) => void notes.push(message),
  });
  return model;
}

/** Ranges as training left them, by value name; where a pair had a range known beforehand, the calibrated one stays. */
function trainedRanges(
  { model, statistics, points }: Quantized,
  tensors: ReadonlyMap<string, Tensor>,
): Map<string, ActivationStatistics> {
  const number = (name: string): number | undefined => {
    const tensor = tensors.get(name);
    return tensor && toFloat32(tensor)[0];
  };
  const ranges = new Map(statistics);
  for (const [name, { min, max }] of pairRanges(model, number)) {
    for (const alias of [name, points.get(name) ?? name]) {
      const range = new ActivationStatistics(alias);
      range.update(Float32Array.of(min, max));
      ranges.set(alias, range);
    }
  }
  return ranges;
}

/** The trained range of every pair, under the names that its value and the pass know it by. */
function* pairRanges(
  model: Model,
  number: (name: string) => number | undefined,
): Generator<[string, { min: number; max: number }]> {
  const groups = new Map<string, string>();
  for (const node of model.graph.nodes) {
    if (lookupOp(node, model.opsets) !== quantizeLinear) continue;
    const [input, scale, zero] = node.inputs as readonly Value[];
    if (!input || !scale?.constant || !zero?.constant) continue;
    const key = `${scale.constant.bytes()}:${zero.constant.bytes()}:${zero.constant.dtype}`;
    const group = groups.get(key) ?? input.name;
    groups.set(key, group);
    const point = Number(zero.constant.bytes()[0]);
    const learned = number(`${group}/scale`);
    const [low, high] = zero.constant.dtype === "uint8" ? [0, 255] : [-128, 127];
    const signedPoint = zero.constant.dtype === "int8" && point > 127 ? point - 256 : point;
    const max = learned === undefined ? number(`${group}/max`) : (high - signedPoint) * learned;
    const lowest = learned === undefined ? number(`${group}/min`) : (low - signedPoint) * learned;
    if (max === undefined) continue;
    const symmetric = zero.constant.dtype === "int8" || signedPoint === 128;
    yield [input.name, { min: lowest ?? (symmetric ? -max : 0), max }];
  }
}
