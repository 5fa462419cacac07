/**
 * Which samples calibrate and which evaluate, and the figures of one quantized file: shared by everything that compares post-training
 * quantizers, so that all of them see the same draws.
 */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { float32Tensor, type Outputs, type PreparedSample, type Tensor, toFloat32 } from "../../src/ir/index.ts";
import { type AccuracyResult, collectReference, evaluateAccuracy } from "../../src/measure/accuracy.ts";
import { type EvalConfig, parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import type { Feeds } from "../../src/measure/latency.ts";
import { mainMetric } from "../../src/recipes/accuracy.ts";
import { listening } from "../../src/recipes/drive.ts";
import { circumstances } from "../../src/recipes/measure-candidate.ts";
import { openSetup, type Setup } from "../../src/recipes/setup.ts";
import type { Session } from "../../src/runtime/executor.ts";
import { fileBytes } from "../../src/runtime/model-file.ts";
import { seededRandom, shuffled } from "../../src/util/random.ts";

const evalFolder = fileURLToPath(new URL("../eval/", import.meta.url));

/** Where peers' files of one draw are kept: "<tool>-<variant>.onnx". Outside of the repository. */
export const drawFolder = (name: string, draw: number): string =>
  join(process.env.EDGEWRIGHT_PTQ ?? join(tmpdir(), "edgewright-ptq"), name, String(draw));

/** Every model, the quick ones first. */
export const ptqModels: readonly string[] = [
  "mnist",
  "gpt-nano-sort",
  "resnet8",
  "super-resolution",
  "vww",
  "resnet20",
  "sst2",
  "ultraface",
  "nsnet2",
  "proxyless",
  "squeezenet",
  "mobilenetv2",
  "yolox",
];

const evaluationLimit = 1900;
const calibrationLimit = 100;
/** Samples that the draws of a large set are taken from. */
const poolLimit = 1000;

/** Data sets whose training part calibrates: evaluation keeps its own file. Relative to the evaluation's data path. */
const trainingFiles: Readonly<Record<string, readonly [test: string, train: string]>> = {
  resnet8: ["test_2000.bin.gz", "train_5000.bin.gz"],
  resnet20: ["test_2000.bin.gz", "train_5000.bin.gz"],
  sst2: ["dev.tsv", "train.tsv"],
};

export interface Draws {
  readonly setup: Setup;
  /** The same for every draw; none of them is ever in a draw. */
  readonly evaluation: readonly PreparedSample[];
  /** One list of calibration samples a draw. */
  readonly calibration: readonly (readonly PreparedSample[])[];
}

/** The model `name` (a file of bench/eval) with its fixed evaluation samples and `count` seeded choices of calibration samples. */
export async function draws(name: string, count = 3): Promise<Draws> {
  const config = await configOf(name);
  const setup = await openSetup({ evaluation: config });
  const { evaluation, pool, size } = await poolOf(name, config, setup);
  return { setup, evaluation, calibration: chooseOf(pool, size, count) };
}

/** `count` different choices of `size` samples, by seed 1, 2, …; of a pool of four, two seeds may well choose the same ones. */
function chooseOf(pool: readonly PreparedSample[], size: number, count: number): PreparedSample[][] {
  const choices = new Map<string, PreparedSample[]>();
  for (let seed = 1; choices.size < count; seed++) {
    if (seed > 100 * count) throw new Error(`There are no ${count} different choices of ${size} out of ${pool.length} samples.`);
    const chosen = shuffled(pool, seededRandom(seed)).slice(0, size);
    const key = chosen.map(({ id }) => id).sort();
    if (!choices.has(key.join())) choices.set(key.join(), chosen);
  }
  return [...choices.values()];
}

const configOf = async (name: string): Promise<EvalConfig> =>
  parseEvalConfig({ ...(await readEvalConfig(resolve(evalFolder, `${name}.json`))), check: false }, evalFolder);

interface Pool {
  readonly evaluation: readonly PreparedSample[];
  readonly pool: readonly PreparedSample[];
  /** Samples of one draw. */
  readonly size: number;
}

async function poolOf(name: string, config: EvalConfig, setup: Setup): Promise<Pool> {
  const training = trainingFiles[name];
  if (training && typeof config.data === "string") {
    const other = await openSetup({ evaluation: { ...config, data: config.data.replace(...training) } });
    return { evaluation: await take(setup, evaluationLimit), pool: await take(other, poolLimit), size: calibrationLimit };
  }
  if (name === "nsnet2") return recordingPool(config, setup);
  const all = await take(setup, evaluationLimit + poolLimit);
  // small sets: a quarter of all samples a draw, out of half of them, so that draws differ
  const size = Math.min(calibrationLimit, Math.floor(all.length / 4));
  const held = Math.max(2 * size, Math.min(poolLimit, all.length - evaluationLimit));
  return { evaluation: all.slice(held), pool: all.slice(0, held), size };
}

/** One recording: its first 20 s evaluate; of the other 40 s, cut into pieces of 2 s, a draw takes half. */
async function recordingPool(config: EvalConfig, setup: Setup): Promise<Pool> {
  const { data } = config;
  if (typeof data !== "object") throw new Error("The recording's length is an option of its data.");
  const { first, ...options } = data.options;
  const whole = await openSetup({ evaluation: { ...config, data: { ...data, options } } });
  const recording = (await take(whole, 1))[0] as PreparedSample;
  const values = toFloat32(recording.feeds.audio as Tensor);
  const rate = 16000;
  const piece = 2 * rate;
  const pool: PreparedSample[] = [];
  for (let start = Number(first) * rate; start + piece <= values.length; start += piece) {
    const own = float32Tensor([1, piece], values.slice(start, start + piece));
    pool.push({ ...recording, id: `${recording.id}:${start}`, feeds: { audio: own }, target: undefined });
  }
  return { evaluation: await take(setup, 1), pool, size: Math.floor(pool.length / 2) };
}

async function take(setup: Setup, limit: number): Promise<PreparedSample[]> {
  const samples: PreparedSample[] = [];
  for await (const sample of setup.samples(undefined, { limit })) samples.push(sample);
  return samples;
}

/** What the model itself is fed, all runs of all samples: the samples' own tensors, or what the plug-in makes of them. */
export async function modelFeeds(setup: Setup, samples: readonly PreparedSample[]): Promise<Feeds[]> {
  const run = setup.task.run;
  if (!run) return samples.map(({ feeds }) => feeds);
  const session = await setup.executor.load(setup.modelPath, { threads: 1 });
  const feeds: Feeds[] = [];
  const ears = listening(session, (made) => void feeds.push(made));
  for (const sample of samples) await run({ session: ears, sample, signal: undefined });
  await session.release();
  return feeds;
}

export interface FileFigures {
  readonly bytes: number;
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
  /** The metric minus FP32's, negative is worse; with the 95 % interval of the paired bootstrap. */
  readonly change: number;
  readonly changeInterval: readonly number[] | null;
  /** Predictions equal to FP32's, %; null where the outputs are no class scores. */
  readonly agreement: number | null;
  /** Kullback-Leibler divergence from FP32's distribution, nat; null as above. */
  readonly kl: number | null;
  readonly klInterval: readonly number[] | null;
  /** Of the model's float outputs against FP32's, dB. */
  readonly sqnr: number;
  readonly sqnrInterval: readonly number[] | null;
  readonly samples: number;
  /** Per-sample scores, to pair two quantized files (compareAccuracy). Not for JSON. */
  readonly result: AccuracyResult;
}

/** FP32's results on one list of evaluation samples: measured once. */
interface Float {
  readonly result: AccuracyResult & { readonly reference: NonNullable<AccuracyResult["reference"]> };
  /** Where a plug-in runs the model: what FP32 was fed last for each sample, and its outputs. */
  readonly raw?: { readonly samples: readonly PreparedSample[]; readonly reference: AccuracyResult["reference"] };
}
const floats = new WeakMap<readonly PreparedSample[], Promise<Float>>();

const wide = { maxElements: 2 ** 20, maxBytes: 2 ** 30 };

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

const commonOf = (setup: Setup) => ({ ...circumstances(setup, setup.digest), task: setup.task });

/** Only closeness to FP32, on plain runs of the model: a plug-in's own outputs are tokens or waveforms, not scores. */
const rawOf = (setup: Setup) => ({
  ...commonOf(setup),
  task: { ...setup.task, metrics: [], postprocess: [], run: ({ session, sample }: RawRun) => scoredRun(session, sample) },
});
interface RawRun {
  readonly session: Session;
  readonly sample: PreparedSample;
}

/** Of a token model, only the positions that are read: the last ones, as many as there are target tokens. */
async function scoredRun(session: Session, sample: PreparedSample): Promise<Outputs> {
  const outputs = await session.run(sample.feeds);
  if (sample.target?.kind !== "tokens") return outputs;
  const rows = sample.target.tokens.length;
  return Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => {
      const width = tensor.shape.at(-1) as number;
      return [name, float32Tensor([1, rows, width], toFloat32(tensor).slice(-rows * width))];
    }),
  );
}

async function measureFloat(setup: Setup, evaluation: readonly PreparedSample[]): Promise<Float> {
  const session = await setup.executor.load(setup.modelPath, { threads: 1 });
  try {
    const result = await collectReference({ ...commonOf(setup), session, samples: from(evaluation), keep: wide });
    const run = setup.task.run;
    if (!run) return { result };
    const samples: PreparedSample[] = [];
    for (const sample of evaluation) {
      let last: Feeds = {};
      const ears = listening(session, (made) => {
        last = made;
      });
      await run({ session: ears, sample, signal: undefined });
      samples.push({ ...sample, feeds: last });
    }
    const { reference } = await collectReference({ ...rawOf(setup), session, samples: from(samples), keep: wide });
    return { result, raw: { samples, reference } };
  } finally {
    await session.release();
  }
}

/** FP32's results, measured at the first call for a list of samples. */
function floatOf(setup: Setup, evaluation: readonly PreparedSample[]): Promise<Float> {
  let found = floats.get(evaluation);
  if (!found) {
    found = measureFloat(setup, evaluation);
    floats.set(evaluation, found);
  }
  return found;
}

/** Accuracy of the file at `path` on the evaluation samples in onnxruntime, one thread, and its closeness to FP32. */
export async function evaluateFile(setup: Setup, path: string, evaluation: readonly PreparedSample[]): Promise<FileFigures> {
  const float = await floatOf(setup, evaluation);
  const session = await setup.executor.load(path, { threads: 1 });
  try {
    const { reference } = float.result;
    const result = await evaluateAccuracy({ ...commonOf(setup), session, samples: from(evaluation), reference });
    const close = float.raw
      ? await evaluateAccuracy({
          ...rawOf(setup),
          session,
          samples: from(float.raw.samples),
          reference: float.raw.reference,
        })
      : result;
    return { bytes: await fileBytes(path), ...figuresOf(float.result, result, close) };
  } finally {
    await session.release();
  }
}

function figuresOf(before: AccuracyResult, result: AccuracyResult, close: AccuracyResult): Omit<FileFigures, "bytes"> {
  const main = mainMetric(before, result, 0);
  const fidelity = (name: string) => close.scores.find(({ metric, against }) => metric === name && against === "reference");
  const kl = fidelity("kl");
  const sqnr = fidelity("sqnr");
  return {
    metric: main.accuracy?.metric ?? "",
    unit: main.accuracy?.unit ?? "",
    value: main.accuracy?.value ?? Number.NaN,
    change: main.change?.value ?? Number.NaN,
    changeInterval: main.change?.interval ?? null,
    agreement: fidelity("agreement")?.value ?? null,
    kl: kl?.value ?? null,
    klInterval: kl?.interval ?? null,
    sqnr: sqnr?.value ?? Number.NaN,
    sqnrInterval: sqnr?.interval ?? null,
    samples: result.n,
    result,
  };
}
