import { basename } from "node:path";
import { z } from "zod";
import { formatShape, type Model, type TensorType } from "../ir/index.ts";
import { staticShapes } from "../ops/static-shapes.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import { type ExecutorName, loadExecutor } from "../runtime/executors.ts";
import { fileBytes, fileDigest, loadModel } from "../runtime/model-file.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { fusedActivationMemory } from "./activations.ts";
import { thisDevice } from "./device.ts";
import { energyCounters, energySchema, estimateEnergy, measureEnergy } from "./energy.ts";
import { externalFiles } from "./external-files.ts";
import {
  compareLatency,
  type Feeds,
  latencyRatioSchema,
  latencyResultSchema,
  measurementFrame,
  type SubjectFacts,
} from "./latency.ts";
import { type Measurement, measurementSchema } from "./measurement.ts";
import { measureProcess, processMeasurementsSchema } from "./memory.ts";
import { opProfileSchema, profileModel } from "./profile.ts";
import { randomInputs, shapeOverrides } from "./random-inputs.ts";
import type { RoundOptions } from "./rounds.ts";
import { inferenceWork } from "./work.ts";
import { atWorkingOpset } from "./working-opset.ts";

export const benchModelSchema = z.object({
  name: z.string(),
  path: z.string(),
  digest: z.string(),
  /** Of the file and its external data. */
  bytes: z.number(),
  inputs: z.array(z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.number()) })),
  latency: latencyResultSchema,
  process: processMeasurementsSchema.optional(),
  /** Activation memory by liveness: what an ideal arena would need; an estimate. */
  activations: measurementSchema.optional(),
  energy: energySchema.optional(),
  profile: opProfileSchema.optional(),
});
export type BenchModel = z.infer<typeof benchModelSchema>;

export const benchSchema = z.object({
  executor: z.object({ name: z.string(), version: z.string() }),
  threads: z.number(),
  device: z.string(),
  models: z.array(benchModelSchema),
  /** Every model after the first against the first. */
  ratios: z.array(latencyRatioSchema),
  /** What a reader should know: open dims that became 1, parts that could not be measured. */
  notes: z.array(z.string()),
});
export type BenchReport = z.infer<typeof benchSchema>;

export interface BenchOptions extends RunOptions, Pick<RoundOptions, "rounds" | "timeMs" | "warmupMs" | "seed"> {
  /** Default "ort-node". */
  readonly executor?: ExecutorName | undefined;
  /** Default 1. */
  readonly threads?: number | undefined;
  /** By input name, or one number by symbolic dim. */
  readonly shapes?: Readonly<Record<string, readonly number[]>> | undefined;
  /** What to feed a model; default: random numbers of its declared types. */
  readonly inputs?: ((session: Session) => Promise<readonly Feeds[]>) | undefined;
  /** Memory and cold start in fresh processes; default true. */
  readonly process?: boolean | undefined;
  /** Default true. */
  readonly energy?: boolean | undefined;
  readonly profile?: boolean | undefined;
}

interface Subject extends SubjectFacts {
  readonly name: string;
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
  readonly model: Model | undefined;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[] | undefined;
  readonly session: Session;
  readonly feeds: readonly Feeds[];
}

/** File names where they tell the models apart, else paths; a model against itself gets a number. */
function namesOf(paths: readonly string[]): string[] {
  const different = [...new Set(paths)];
  const short = new Set(different.map((path) => basename(path))).size === different.length;
  const names = paths.map((path) => (short ? basename(path) : path));
  return names.map((name, i) => {
    const before = names.slice(0, i).filter((other) => other === name).length;
    return before > 0 ? `${name} #${before + 1}` : name;
  });
}

/** The model as we read it, for what is counted rather than run; a model that only the runtime understands is still timed. */
async function readModel(path: string, notes: string[]): Promise<Model | undefined> {
  try {
    return await atWorkingOpset(await loadModel(path));
  } catch (error) {
    if (!(error instanceof EdgewrightError)) throw error;
    notes.push(`${basename(path)}: no estimates of energy and activations: ${error.message}`);
    return undefined;
  }
}

async function feedsOf(name: string, session: Session, options: BenchOptions, notes: string[]): Promise<readonly Feeds[]> {
  if (options.inputs) return options.inputs(session);
  const overrides = shapeOverrides(options.shapes ?? {}, session.inputs);
  const { feeds, assumed } = randomInputs(session.inputs, { seed: options.seed, ...overrides });
  const open = [...new Set(assumed.map(({ input, dim }) => (dim === "?" ? `a dim of ${input}` : `${dim} of ${input}`)))];
  if (open.length > 0) {
    const input = assumed[0]?.input ?? "";
    notes.push(`${name}: ${open.join(", ")} became 1; --shape ${input}=… sets another size.`);
  }
  return [feeds];
}

async function openSubject(
  path: string,
  name: string,
  executor: Executor,
  options: BenchOptions,
  notes: string[],
): Promise<Subject> {
  options.signal?.throwIfAborted();
  const digest = await fileDigest(path);
  const model = await readModel(path, notes);
  const external = model ? await externalFiles(model, path) : [];
  const bytes = (await fileBytes(path)) + external.reduce((sum, file) => sum + file.bytes, 0);
  const threads = options.threads ?? 1;
  // the native runtime finds external data beside a path by itself
  const externalData =
    executor.name === "ort-web" && external.length > 0
      ? await Promise.all(external.map(async (file) => ({ path: file.location, data: await file.read() })))
      : undefined;
  const session = await executor.load(path, { threads, ...(externalData ? { externalData } : {}) });
  const feeds = await feedsOf(name, session, options, notes);
  return { name, path, digest, bytes, model, externalData, session, feeds, threads, executor };
}

function activationsOf(subject: Subject, model: Model): Measurement {
  const { peakBytes, unsized } = fusedActivationMemory(model, inputShapesOf(subject));
  return {
    metric: "peak activations (estimate)",
    unit: "bytes",
    value: peakBytes,
    ...measurementFrame(subject.name, subject),
    protocol: `estimate by liveness in the file's order of nodes, nothing in place, quantize and dequantize nodes fused into their neighbours${unsized.length > 0 ? `; ${unsized.length} values of unknown size left out` : ""}`,
  };
}

const inputShapesOf = (subject: Subject): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(subject.feeds[0] ?? {}).map(([name, tensor]) => [name, tensor.shape]));
async function energyOf(subject: Subject, options: BenchOptions, notes: string[]): Promise<BenchModel["energy"]> {
  const { counters } = energyCounters();
  const feeds = subject.feeds[0] ?? {};
  if (counters.length > 0)
    return {
      kind: "measured",
      perInference: await measureEnergy(subject.session, feeds, { ...subject, counters, signal: options.signal }),
    };
  if (!subject.model) return undefined;
  const work = inferenceWork(subject.model, staticShapes(subject.model, inputShapesOf(subject)));
  if (work.unknownNodes > 0) {
    notes.push(`${subject.name}: no energy estimate: it is not known what ${work.unknownNodes} of its nodes cost.`);
    return undefined;
  }
  return { kind: "estimate", perInference: estimateEnergy(subject.name, work, { ...subject, executor: undefined }) };
}

async function reportOf(
  subject: Subject,
  latency: BenchModel["latency"],
  options: BenchOptions,
  notes: string[],
): Promise<BenchModel> {
  const { name, path, digest, bytes, model } = subject;
  const feeds = subject.feeds[0] ?? {};
  const common = {
    digest,
    threads: subject.threads,
    executor: subject.executor,
    signal: options.signal,
    onProgress: options.onProgress,
  };
  const executorName = options.executor ?? "ort-node";
  return {
    name,
    path,
    digest,
    bytes,
    inputs: Object.entries(feeds).map(([input, { dtype, shape }]) => ({ name: input, dtype, shape: [...shape] })),
    latency,
    ...(options.process === false
      ? {}
      : { process: await measureProcess(path, feeds, { ...common, executorName, externalData: subject.externalData }) }),
    ...(model ? { activations: activationsOf(subject, model) } : {}),
    ...(options.energy === false ? {} : { energy: await energyOf(subject, options, notes) }),
    ...(options.profile ? { profile: await profileModel(path, feeds, common) } : {}),
  };
}

/** Inputs of the second model that the first does not have would make the comparison one of two different things. */
function checkAlike(subjects: readonly Subject[], notes: string[]): void {
  const describe = (subject: Subject) =>
    subject.session.inputs.map(({ name }) => `${name} ${formatShape(subject.feeds[0]?.[name]?.shape)}`).join(", ");
  const [first, ...rest] = subjects;
  for (const other of rest)
    if (first && describe(first) !== describe(other))
      notes.push(`The inputs differ: ${first.name} takes ${describe(first)}; ${other.name} takes ${describe(other)}.`);
}

/**
 * Times models against each other in this process, and measures memory, cold start, energy and a profile of each by itself. The first
 * is the baseline.
 */
export async function benchModels(paths: readonly string[], options: BenchOptions = {}): Promise<BenchReport> {
  if (options.profile && (options.executor ?? "ort-node") !== "ort-node")
    throw new EdgewrightError("BENCH_PROFILE", "A per-op profile needs the executor ort-node.", {
      hint: "Leave --profile or --executor out.",
    });
  const executor = await loadExecutor(options.executor ?? "ort-node");
  const notes: string[] = [];
  const subjects: Subject[] = [];
  try {
    for (const [i, name] of namesOf(paths).entries())
      subjects.push(await openSubject(paths[i] as string, name, executor, options, notes));
    checkAlike(subjects, notes);
    const compared = await compareLatency(Object.fromEntries(subjects.map((subject) => [subject.name, subject])), options);
    const models: BenchModel[] = [];
    for (const [i, subject] of subjects.entries())
      models.push(await reportOf(subject, compared.results[i] as BenchModel["latency"], options, notes));
    return {
      executor: { name: executor.name, version: executor.version },
      threads: options.threads ?? 1,
      device: thisDevice().summary,
      models,
      ratios: compared.ratios,
      notes: [...new Set(notes)],
    };
  } finally {
    await Promise.all(subjects.map((subject) => subject.session.release()));
  }
}

/** Fits given feeds to a session: by name, or the only tensor to the only input; dtype and shape must fit. */
export function bindFeeds(session: Session, given: Feeds): Feeds {
  const entries = Object.entries(given);
  const [only] = session.inputs;
  const named =
    entries.length === 1 && session.inputs.length === 1 && only && !(only.name in given)
      ? { [only.name]: (entries[0] as (typeof entries)[number])[1] }
      : given;
  for (const { name, type } of session.inputs) {
    const tensor = named[name];
    if (!tensor)
      throw new EdgewrightError("INPUT_MISSING", `Nothing was given for the model's input "${name}" (${describeType(type)}).`, {
        subject: name,
      });
    if (tensor.dtype !== type.dtype || !fits(type, tensor.shape))
      throw new EdgewrightError(
        "INPUT_SHAPE",
        `Input "${name}" wants ${describeType(type)}, but what was given is ${tensor.dtype}${formatShape(tensor.shape)}.`,
        { subject: name },
      );
  }
  return named;
}

const describeType = (type: TensorType): string => `${type.dtype}${formatShape(type.shape)}`;
const fits = (type: TensorType, shape: readonly number[]): boolean =>
  !type.shape ||
  (type.shape.length === shape.length && type.shape.every((dim, i) => typeof dim !== "number" || dim === shape[i]));
