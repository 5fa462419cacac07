import { numel, type PreparedSample, type Target, Tensor, tensorOf } from "../ir/index.ts";
import { EdgewrightError, fail } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { bindInputs } from "./bind.ts";
import { SampleCache } from "./cache.ts";
import { isSkippable } from "./corrupt.ts";
import type { Dataset } from "./dataset.ts";
import type { RawSample } from "./define.ts";
import type { Convert, ModelInput } from "./features/define.ts";
import { featureKinds } from "./features/index.ts";
import { mapAhead, sampleOrder } from "./loader.ts";
import { type Preprocess, type PreprocessInput, resolvePreprocess } from "./preprocess.ts";
import { defaultFractions, type Split, type SplitFractions, sampleDigest, splitOf } from "./split.ts";

export interface PrepareOptions extends RunOptions {
  /** Only the samples of this split; default: all. */
  readonly split?: Split | undefined;
  readonly fractions?: SplitFractions | undefined;
  /** Decides splits and order; default 0. */
  readonly seed?: number | undefined;
  /** false: in stored order. Default true, so that `limit` takes a fair part. */
  readonly shuffle?: boolean | undefined;
  /** At most this many samples. */
  readonly limit?: number | undefined;
  /** Keeps only samples for which this is true; applied before `limit`. */
  readonly filter?: ((sample: RawSample) => boolean) | undefined;
  /** Number of classes that the model tells apart: a label beyond it stops with an error. */
  readonly classCount?: number | undefined;
  /** Hears of each corrupt sample that was left out (data opened with onCorrupt: "skip"). */
  readonly onSkipped?: ((error: EdgewrightError) => void) | undefined;
  /** Re-used between sweeps over the same data set, preprocessing and filter. */
  readonly cache?: SampleCache | undefined;
  /** Samples under way at once; default 2. */
  readonly ahead?: number | undefined;
}

/** Turns raw samples into a model's inputs. */
export interface Preparer {
  prepare(sample: RawSample, id: string): Promise<PreparedSample>;
}

function checkBatch(input: ModelInput): void {
  const batch = input.type.shape?.[0];
  if (typeof batch === "number" && batch !== 1)
    fail("PREPROCESS_BATCH", `The model's input "${input.name}" has a fixed batch of ${batch}; samples are run one at a time.`, {
      hint: "Export the model with a free batch axis or a batch of 1.",
    });
}

function constantFeed(input: ModelInput, value: number): Tensor {
  const shape = (input.type.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 1));
  return tensorOf(input.type.dtype, shape, new Array<number>(numel(shape)).fill(value));
}

/** Checks data against model inputs and makes ready to convert: vocabulary read, tables built. Throws before the first sample. */
export async function createPreparer(
  dataset: Dataset,
  spec: string | PreprocessInput | Preprocess,
  inputs: readonly ModelInput[],
): Promise<Preparer> {
  const preprocess = resolvePreprocess(spec);
  inputs.forEach(checkBatch);
  const named = dataset.features.map((feature) => {
    const { names, companions = [] } = featureKinds[feature.kind];
    return { feature, names: names(feature), companions };
  });
  const binding = bindInputs(named, inputs, preprocess.inputs, preprocess.constants);
  const converters: Convert[] = [];
  for (const { feature, names, companions } of named)
    if ([...names, ...companions].some((name) => binding.inputs.has(name)))
      converters.push(await featureKinds[feature.kind].prepare(feature, binding.inputs, preprocess, dataset));
  const constants = Object.fromEntries(binding.constants.map(({ input, value }) => [input.name, constantFeed(input, value)]));
  return {
    async prepare(sample, id) {
      const converted = await Promise.all(converters.map((convert) => convert(sample, id)));
      return {
        id,
        origin: sample.origin,
        feeds: Object.assign({ ...constants }, ...converted.map((part) => part.feeds)),
        target: converted.find((part) => part.target)?.target ?? plainTarget(sample),
        geometry: Object.assign({}, ...converted.map((part) => part.geometry ?? {})),
      };
    },
  };
}

/** The label as it is stored, where no feature decides it. */
export function plainTarget(sample: RawSample): Target | undefined {
  const { label } = sample;
  return label?.kind === "class" || label?.kind === "tensor" || label?.kind === "tokens" ? label : undefined;
}

function checkClass(target: Target | undefined, classCount: number | undefined, origin: string): void {
  if (classCount === undefined || target === undefined) return;
  const indices =
    target.kind === "class" ? [target.index] : target.kind === "boxes" ? target.boxes.map((box) => box.classIndex) : [];
  const bad = indices.find((index) => index < 0 || index >= classCount);
  if (bad === undefined) return;
  fail(
    "DATA_LABEL_RANGE",
    `"${origin}" has the class ${bad}, but the model tells ${classCount} classes apart (0 to ${classCount - 1}).`,
    {
      subject: origin,
      hint: "Check that data and model belong together; `labelOffset` shifts labels by a constant (1 for models with a background class).",
    },
  );
}

/** What one position gave: a sample, or nothing because another split owns it, the filter refused it, or it is corrupt. */
type Prepared = PreparedSample | "other" | EdgewrightError;

/**
 * Streams prepared samples. Order, split and limit depend on names, contents and the seed alone; memory holds `ahead` samples beside
 * the cache. Throws DATA_EMPTY when nothing is left, so that no number is ever computed on no data.
 */
export async function* prepareSamples(
  dataset: Dataset,
  preprocess: string | PreprocessInput | Preprocess,
  inputs: readonly ModelInput[],
  options: PrepareOptions = {},
): AsyncGenerator<PreparedSample, void, undefined> {
  const preparer = await createPreparer(dataset, preprocess, inputs);
  const { seed = 0, limit = Number.POSITIVE_INFINITY } = options;
  const order = sampleOrder(dataset, options.shuffle === false ? undefined : seed);
  const total = Math.min(limit, dataset.length);
  let done = 0;
  let skipped = 0;
  if (limit > 0)
    for await (const prepared of mapAhead(order, (index: number) => prepareAt(dataset, preparer, index, options), options)) {
      if (prepared === "other") continue;
      if (prepared instanceof EdgewrightError) {
        skipped++;
        options.onSkipped?.(prepared);
        continue;
      }
      yield prepared;
      done++;
      options.onProgress?.({ step: "samples", done, total: options.split ? undefined : total });
      if (done >= limit) break;
    }
  if (done === 0) nothingLeft(dataset, options, skipped);
}

async function prepareAt(dataset: Dataset, preparer: Preparer, index: number, options: PrepareOptions): Promise<Prepared> {
  const { cache, split, seed = 0, fractions = defaultFractions } = options;
  const elsewhere = (id: string): boolean => split !== undefined && splitOf(id, seed, fractions) !== split;
  const known = cache?.id(index);
  if (known !== undefined && elsewhere(known)) return "other";
  const kept = cache?.sample(index);
  if (kept) return kept;
  try {
    const raw = await dataset.sample(index);
    const id = known ?? sampleDigest(raw);
    cache?.keepId(index, id);
    if (elsewhere(id) || (options.filter && !options.filter(raw))) return "other";
    const sample = await preparer.prepare(raw, id);
    checkClass(sample.target, options.classCount, sample.origin);
    cache?.keep(index, sample);
    return sample;
  } catch (error) {
    if (isSkippable(error, dataset)) return error;
    throw error;
  }
}

function nothingLeft(dataset: Dataset, options: PrepareOptions, skipped: number): never {
  const where = options.split ? ` in the ${options.split} split` : "";
  const why = skipped > 0 ? `: ${skipped} samples were corrupt and left out` : "";
  fail("DATA_EMPTY", `"${dataset.path}" has no samples${where}${why}.`, {
    subject: dataset.path,
    hint: options.split
      ? "Add data, raise that split's fraction, or use another seed: small data sets may leave a split empty."
      : "Check the path, the filter and the limit.",
  });
}

/** The same sweep as often as needed, with decoded samples kept in memory up to `maxBytes` (default 512 MiB). */
export function cachedSamples(
  dataset: Dataset,
  preprocess: string | PreprocessInput | Preprocess,
  inputs: readonly ModelInput[],
  options: PrepareOptions & { readonly maxBytes?: number } = {},
): { readonly cache: SampleCache; samples(more?: PrepareOptions): AsyncGenerator<PreparedSample, void, undefined> } {
  const cache = options.cache ?? new SampleCache(options.maxBytes);
  return { cache, samples: (more = {}) => prepareSamples(dataset, preprocess, inputs, { ...options, ...more, cache }) };
}

/** Joins samples along the batch axis, for models whose batch is free. Shapes must agree. */
export function joinFeeds(samples: readonly PreparedSample[]): Readonly<Record<string, Tensor>> {
  const [first] = samples;
  if (!first) fail("DATA_EMPTY", "A batch needs at least one sample.");
  return Object.fromEntries(Object.keys(first.feeds).map((name) => [name, joinTensors(samples, name)]));
}

function joinTensors(samples: readonly PreparedSample[], name: string): Tensor {
  const tensors = samples.map((sample) => sample.feeds[name] as Tensor);
  const [first] = tensors as [Tensor];
  const different = tensors.findIndex((tensor) => `${tensor.shape}` !== `${first.shape}`);
  if (different >= 0)
    fail("DATA_BATCH", `Samples of different shapes cannot share a batch: [${first.shape}] and [${tensors[different]?.shape}].`);
  const joined = new Uint8Array(first.byteLength * tensors.length);
  for (const [i, tensor] of tensors.entries()) joined.set(tensor.bytes(), i * first.byteLength);
  const shape = [tensors.length, ...first.shape.slice(1)];
  return new Tensor(first.dtype, shape, joined);
}
