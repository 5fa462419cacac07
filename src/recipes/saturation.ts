import { encodeOnnx } from "../formats/onnx/index.ts";
import type { Model, Outputs, PreparedSample, Tensor } from "../ir/index.ts";
import type { RunSample } from "../measure/task.ts";
import { inferShapes } from "../ops/infer.ts";
import { canSaturateLayer, findIntegerLayers, type IntegerLayer } from "../passes/quantize/saturation/find-layers.ts";
import { emptyTally, type SaturationTally, simulateLayer } from "../passes/quantize/saturation/simulate-layer.ts";
import { type Stage, stagesOf } from "../passes/quantize/saturation/stages.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import type { RunOptions } from "../util/progress.ts";

/** What saturation did to one layer, over all samples that were run. */
export interface LayerSaturation {
  /** `nodeKey` of the node. */
  readonly node: string;
  /** Share of sums of two products that saturated, 0 … 1. */
  readonly share: number;
  /** Largest change of a result, as a share of the largest result. */
  readonly maxLoss: number;
  /** Squared change over squared result, summed over all results: 1e-3 is a signal-to-noise ratio of 30 dB. */
  readonly noise: number;
  /** Sums of two products that were computed. */
  readonly pairs: number;
}

/** A session that computes what the model gives on x86-64 without VNNI, and says what saturated so far. */
export interface SaturatingSession extends Session {
  saturation(): LayerSaturation[];
}

export interface SimulationOptions extends RunOptions {
  readonly executor: Executor;
  readonly threads?: number | undefined;
  /** Computes every integer layer here, those too that cannot saturate. */
  readonly everyLayer?: boolean | undefined;
  /** Layers give what they would give with VNNI, so that no layer hides what saturates in another; only the tallies tell. */
  readonly unsaturated?: boolean | undefined;
}

interface LoadedStage extends Stage {
  readonly session: Session | undefined;
}

/**
 * Loads a model in QDQ form so that it runs as onnxruntime runs it on x86-64 without VNNI (AVX2, AVX-512 without VNNI), whatever machine
 * this is: layers whose weights let a sum of two products leave 16 bits are computed here, everything else by the executor.
 */
export async function loadWithoutVnni(
  model: Model,
  { executor, threads = 1, everyLayer = false, unsaturated = false }: SimulationOptions,
): Promise<SaturatingSession> {
  const copy = model.clone();
  inferShapes(copy);
  const layers = findIntegerLayers(copy).filter((layer) => everyLayer || canSaturateLayer(layer));
  const tallies = new Map(layers.map((layer) => [layer, emptyTally()]));
  const stages: LoadedStage[] = [];
  for (const stage of stagesOf(copy, layers))
    stages.push({ ...stage, session: stage.model && (await executor.load(encodeOnnx(stage.model), { threads })) });
  const outputNames = copy.graph.outputs.map(({ name }) => name);
  return {
    inputs: copy.graph.inputs.flatMap(({ name, type, constant }) => (type && !constant ? [{ name, type }] : [])),
    outputNames,
    async run(feeds, outputs = outputNames) {
      const values = await runStages({ stages, tallies, unsaturated }, feeds);
      return Object.fromEntries(outputs.map((name) => [name, values[name] as Tensor]));
    },
    saturation: () => [...tallies].map(([layer, tally]) => summary(layer, tally)),
    async release() {
      for (const { session } of stages) await session?.release();
    },
  };
}

interface Simulation {
  readonly stages: readonly LoadedStage[];
  readonly tallies: ReadonlyMap<IntegerLayer, SaturationTally>;
  readonly unsaturated: boolean;
}

async function runStages({ stages, tallies, unsaturated }: Simulation, feeds: Outputs): Promise<Outputs> {
  const values: Record<string, Tensor> = { ...feeds };
  for (const { session, inputs, layers } of stages) {
    if (session) {
      const read = Object.fromEntries(inputs.map((name) => [name, values[name] as Tensor]));
      Object.assign(values, await session.run(read));
    }
    for (const layer of layers) {
      const tally = tallies.get(layer) as SaturationTally;
      values[layer.output.name] = simulateLayer(layer, values[layer.input.name] as Tensor, tally, unsaturated);
    }
  }
  return values;
}

const summary = (layer: IntegerLayer, tally: SaturationTally): LayerSaturation => ({
  node: layer.key,
  share: tally.pairs === 0 ? 0 : tally.saturated / tally.pairs,
  maxLoss: tally.largestResult === 0 ? 0 : tally.largestChange / tally.largestResult,
  noise: tally.signal === 0 ? 0 : tally.noise / tally.signal,
  pairs: tally.pairs,
});

export interface SaturationOptions extends SimulationOptions {
  /** Drives the session where a plain run does not do. */
  readonly run?: RunSample | undefined;
}

/** Outputs of every sample as x86-64 without VNNI gives them, and what saturated on the way. */
export async function simulateWithoutVnni(
  model: Model,
  samples: AsyncIterable<PreparedSample> | Iterable<PreparedSample>,
  options: SaturationOptions,
): Promise<{ outputs: Outputs[]; layers: LayerSaturation[] }> {
  const session = await loadWithoutVnni(model, options);
  try {
    const outputs: Outputs[] = [];
    for await (const sample of samples) {
      options.signal?.throwIfAborted();
      outputs.push(
        options.run ? await options.run({ session, sample, signal: options.signal }) : await session.run(sample.feeds),
      );
      options.onProgress?.({ step: "simulate", done: outputs.length });
    }
    return { outputs, layers: session.saturation() };
  } finally {
    await session.release();
  }
}

export interface SaturatingNodesOptions extends SaturationOptions {
  /** Layers whose noise stays below this are left out; default 1e-3, about what rounding weights to 8 bits makes. */
  readonly leastNoise?: number | undefined;
}

/**
 * Nodes of a statically quantized model whose results saturation changes noticeably, worst first: those whose weights may have to give
 * way (`weightsWithoutSaturation`, `weightsAround128`) where the model is to run on x86-64 without VNNI. A dozen samples tell.
 */
export async function saturatingNodes(
  model: Model,
  samples: AsyncIterable<PreparedSample> | Iterable<PreparedSample>,
  { leastNoise = 1e-3, ...options }: SaturatingNodesOptions,
): Promise<LayerSaturation[]> {
  const { layers } = await simulateWithoutVnni(model, samples, options);
  return layers.filter(({ noise }) => noise > leastNoise).sort((a, b) => b.noise - a.noise);
}
