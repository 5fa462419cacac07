import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { isFloat, type Model, type Outputs, type Tensor, tensorOf, toFloat32 } from "../ir/index.ts";
import { randomInputs } from "../measure/random-inputs.ts";
import { runOutputs } from "../measure/run-outputs.ts";
import type { Session } from "../runtime/executor.ts";
import type { ExecutorName } from "../runtime/executors.ts";
import { saveModel } from "../runtime/model-file.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import type { MomentsSource } from "./quantize-weights.ts";
import { modelInputs } from "./setup.ts";

/** What the float model gives on a few inputs. */
export interface Reference {
  readonly feeds: readonly Outputs[];
  readonly outputs: readonly Outputs[];
  readonly inputs: "calibration" | "random";
}

/** Calls of the runtime that are compared, and the bytes that they may take. */
const maxRuns = 16;
const maxBytes = 2 ** 28;
const randomRuns = 3;

/**
 * Runs the float model on calibration samples, or on random inputs where there are none. A sample that takes several calls (a generated
 * sequence) counts each. Undefined where the model does not run on random inputs.
 */
export async function referenceOf(model: Model, source: MomentsSource | undefined): Promise<Reference | undefined> {
  const session = await ortNode.load(encodeOnnx(model), { threads: source?.threads ?? 1 });
  const feeds: Outputs[] = [];
  const outputs: Outputs[] = [];
  let bytes = 0;
  const full = (): boolean => feeds.length >= maxRuns || bytes > maxBytes;
  const recording = {
    ...session,
    async run(given: Outputs): Promise<Outputs> {
      const result = await session.run(given);
      if (full()) return result;
      feeds.push(given);
      outputs.push(result);
      for (const tensor of [...Object.values(given), ...Object.values(result)]) bytes += tensor.byteLength;
      return result;
    },
  };
  try {
    if (source) await recordSamples(recording, source, full);
    else await recordRandom(recording, model);
  } finally {
    await session.release();
  }
  return feeds.length > 0 ? { feeds, outputs, inputs: source ? "calibration" : "random" } : undefined;
}

async function recordSamples(session: Session, source: MomentsSource, full: () => boolean): Promise<void> {
  for await (const sample of source.samples()) {
    source.signal?.throwIfAborted();
    if (source.run) await source.run({ session, sample, signal: source.signal });
    else await session.run(sample.feeds);
    if (full()) return;
  }
}

async function recordRandom(session: Session, model: Model): Promise<void> {
  try {
    for (let seed = 1; seed <= randomRuns; seed++) await session.run(randomInputs(modelInputs(model), { seed }).feeds);
  } catch (error) {
    if (!(error instanceof EdgewrightError)) throw error;
  }
}

export interface Comparison {
  /** Of the output that moved most: root of the squared error over the root of the squared signal. */
  readonly relativeError: number;
  /** Of all float outputs together, dB; 200 stands for equality. */
  readonly sqnr: number;
  /** An output with NaN or infinity where the float model has a number. */
  readonly notFinite: string | undefined;
  /** Share of elements of integer and boolean outputs that changed. */
  readonly changed: number;
}

export function compareOutputs(reference: Reference, outputs: readonly Outputs[]): Comparison {
  const sums = new Map<string, { signal: number; noise: number }>();
  let notFinite: string | undefined;
  let [whole, changed] = [0, 0];
  reference.outputs.forEach((expected, i) => {
    for (const [name, tensor] of Object.entries(expected)) {
      const other = outputs[i]?.[name];
      if (!other || tensor.dtype === "string") continue;
      const [a, b] = [toFloat32(tensor), toFloat32(other)];
      if (!isFloat(tensor.dtype)) {
        whole += a.length;
        for (let j = 0; j < a.length; j++) if (a[j] !== b[j]) changed++;
        continue;
      }
      const sum = sums.get(name) ?? { signal: 0, noise: 0 };
      sums.set(name, sum);
      if (a.length !== b.length || addErrors(a, b, sum)) notFinite ??= name;
    }
  });
  const all = [...sums.values()];
  const total = all.reduce((x, y) => ({ signal: x.signal + y.signal, noise: x.noise + y.noise }), { signal: 0, noise: 0 });
  const sqnr = total.noise === 0 || total.signal === 0 ? 200 : Math.min(200, 10 * Math.log10(total.signal / total.noise));
  return { relativeError: Math.max(0, ...all.map(relative)), sqnr, notFinite, changed: whole === 0 ? 0 : changed / whole };
}

/** Adds up what is finite in the reference; true where it alone is. */
function addErrors(a: Float32Array, b: Float32Array, sum: { signal: number; noise: number }): boolean {
  let broken = false;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    if (!Number.isFinite(x)) continue;
    if (!Number.isFinite(y)) broken = true;
    else {
      sum.signal += x * x;
      sum.noise += (x - y) ** 2;
    }
  }
  return broken;
}

const relative = ({ signal, noise }: { signal: number; noise: number }): number =>
  noise === 0 ? 0 : Math.sqrt(noise / Math.max(signal, Number.MIN_VALUE));

/** Runs a converted model in a process of its own and compares. Throws an EdgewrightError where the runtime refuses it or dies. */
export async function compareModel(
  model: Model,
  reference: Reference,
  executorName: ExecutorName,
  { signal, threads }: RunOptions & { readonly threads?: number | undefined },
): Promise<Comparison> {
  const folder = await mkdtemp(join(tmpdir(), "edgewright-"));
  try {
    const path = join(folder, "half.onnx");
    await saveModel(model, path, { signal });
    const types = new Map(modelInputs(model).map(({ name, type }) => [name, type.dtype]));
    const feeds = reference.feeds.map((given) =>
      Object.fromEntries(Object.entries(given).map(([name, tensor]) => [name, typed(tensor, types.get(name))])),
    );
    return compareOutputs(reference, await runOutputs(path, feeds, { signal, executorName, threads }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Inputs in the type that the converted model declares. */
const typed = (tensor: Tensor, dtype: Tensor["dtype"] | undefined): Tensor =>
  dtype === undefined || dtype === tensor.dtype ? tensor : tensorOf(dtype, tensor.shape, toFloat32(tensor));
