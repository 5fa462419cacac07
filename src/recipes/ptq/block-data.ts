import { encodeOnnx } from "../../formats/onnx/index.ts";
import { type Model, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { cutModel } from "../../passes/cut.ts";
import type { Block } from "../../passes/quantize/blocks.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import type { TrainerBatch } from "../../train/trainer.ts";
import { seededRandom, shuffled } from "../../util/random.ts";
import { imitate } from "../imitation.ts";
import { cutImitation } from "./block-part.ts";
import { type BlockData, type Part, passOptions, type ReconstructOptions, type Subject } from "./block-types.ts";
import type { PtqContext } from "./context.ts";
import { quantized } from "./quantized.ts";

/** Bytes of a block's cached inputs and targets; fewer samples where one takes more. */
const cacheBytes = 768 * 2 ** 20;

/** One sample in four is held apart and decides whether a block has learned something. */
export function split({ inputs, targets }: BlockData): { data: BlockData; held: BlockData } {
  if (inputs.length < 8) return { data: { inputs, targets }, held: { inputs, targets } };
  const pick = <T>(list: readonly T[], apart: boolean): T[] => list.filter((_, i) => (i % 4 === 3) === apart);
  return {
    data: { inputs: pick(inputs, false), targets: pick(targets, false) },
    held: { inputs: pick(inputs, true), targets: pick(targets, true) },
  };
}

async function runOn(
  model: Model,
  feeds: readonly Feeds[],
  { executor, threads, options }: PtqContext,
  keep: (outputs: Readonly<Record<string, Tensor>>) => boolean,
): Promise<void> {
  const session = await executor.load(encodeOnnx(model), { threads });
  try {
    for (const one of feeds) {
      options.signal?.throwIfAborted();
      if (!keep(await session.run(one))) return;
    }
  } finally {
    await session.release();
  }
}

/** What the block is fed for the given inputs of the model when everything before it is quantized, and what the float model makes of them. */
export async function collect(
  { simplified, context, options }: Subject,
  block: Block,
  part: Part,
  present: QuantizationChoices,
  all: readonly Feeds[] = context.feeds,
): Promise<BlockData> {
  const targets: Record<string, Tensor>[] = [];
  let bytes = 0;
  await runOn(cutModel(simplified, { outputs: block.outputs }), all, context, (outputs) => {
    targets.push(outputs);
    bytes += 2 * Object.values(outputs).reduce((sum, tensor) => sum + tensor.size * 4, 0);
    return bytes < cacheBytes;
  });
  const names = part.model.graph.inputs.map(({ name }) => name);
  const own = new Set(simplified.graph.inputs.map(({ name }) => name));
  const inner = names.filter((name) => !own.has(name));
  const inputs: Record<string, Tensor>[] = [];
  const feeds = all.slice(0, targets.length);
  const given = feeds.map((one) => Object.fromEntries(names.flatMap((name) => (one[name] ? [[name, one[name]]] : []))));
  if (inner.length === 0) return { inputs: given, targets };
  const model = await quantized(simplified, context, present, passOptions(options));
  await runOn(cutModel(model, { outputs: inner }), feeds, context, (outputs) => {
    inputs.push({ ...given[inputs.length], ...outputs });
    return true;
  });
  return { inputs, targets };
}

/** Relative squared error of the block's results when it runs in integers with the given choices, on what it is fed now. */
export async function errorOf(
  { simplified, context, options }: Subject,
  block: Block,
  choices: QuantizationChoices,
  data: BlockData,
): Promise<number> {
  const imitation = await imitate(simplified, { ...context, ...choices, ...passOptions(options) });
  const part = cutImitation(imitation, block);
  const model = await quantized(simplified, context, choices, passOptions(options));
  const integer = cutModel(model, {
    inputs: part.model.graph.inputs.map(({ name, type }) => ({ name, ...(type ? { type } : {}) })),
    outputs: part.outputs,
  });
  let noise = 0;
  let signal = 0;
  let i = 0;
  await runOn(integer, data.inputs, context, (outputs) => {
    block.outputs.forEach((name, k) => {
      const wanted = toFloat32(data.targets[i]?.[name] as Tensor);
      const got = toFloat32(outputs[part.outputs[k] as string] as Tensor);
      for (let j = 0; j < wanted.length; j++) {
        noise += ((got[j] as number) - (wanted[j] as number)) ** 2;
        signal += (wanted[j] as number) ** 2;
      }
    });
    i++;
    return true;
  });
  return signal === 0 ? noise : noise / signal;
}

export const energyOf = (targets: BlockData["targets"], name: string): number => {
  let sum = 0;
  let count = 0;
  for (const target of targets) {
    const values = toFloat32(target[name] as Tensor);
    for (const value of values) sum += value * value;
    count += values.length;
  }
  return Math.max(1e-12, sum / Math.max(1, count));
};

/** Samples' leading extents put together. */
export function batchShapes({ inputs }: BlockData, batch: number): Record<string, readonly number[]> {
  const first = inputs[0] ?? {};
  return Object.fromEntries(
    Object.entries(first).map(([name, tensor]) => [name, [batch * (tensor.shape[0] ?? 1), ...tensor.shape.slice(1)]]),
  );
}

function stacked(tensors: readonly Tensor[]): Tensor {
  const first = tensors[0] as Tensor;
  const shape = [tensors.length * (first.shape[0] ?? 1), ...first.shape.slice(1)];
  if (first.dtype !== "float32") {
    const parts = tensors.map((tensor) => tensor.bytes());
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return new (first.constructor as new (dtype: Tensor["dtype"], shape: readonly number[], bytes: Uint8Array) => Tensor)(
      first.dtype,
      shape,
      bytes,
    );
  }
  const values = new Float32Array(first.size * tensors.length);
  for (const [i, tensor] of tensors.entries()) values.set(toFloat32(tensor), i * first.size);
  return tensorOf("float32", shape, values);
}

/** Endless batches in a seeded order, each sample once a round. */
export async function* batches(
  { inputs, targets }: BlockData,
  batch: number,
  { steps, seed }: ReconstructOptions,
): AsyncGenerator<TrainerBatch> {
  let order: number[] = [];
  for (let step = 0, round = 0; step < steps; step++) {
    if (order.length < batch)
      order = shuffled(
        inputs.map((_, i) => i),
        seededRandom(seed * 1009 + round++),
      );
    const picked = order.splice(0, batch);
    const stack = (from: readonly Readonly<Record<string, Tensor>>[], prefix: string): Record<string, Tensor> =>
      Object.fromEntries(
        Object.keys(from[0] ?? {}).map((name) => [`${prefix}${name}`, stacked(picked.map((i) => from[i]?.[name] as Tensor))]),
      );
    yield { feeds: stack(inputs, ""), targets: stack(targets, "target:") };
  }
}
