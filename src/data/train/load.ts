import type { PreparedSample } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { isSkippable } from "../corrupt.ts";
import type { Dataset } from "../dataset.ts";
import type { RawSample } from "../define.ts";
import type { ModelInput } from "../features/define.ts";
import { mapAhead, sampleOrder } from "../loader.ts";
import { type OpenOptions, openDataset } from "../open.ts";
import { createPreparer, plainTarget } from "../prepare.ts";
import { type Preprocess, type PreprocessInput, resolvePreprocess } from "../preprocess.ts";
import { sampleDigest, splitOf } from "../split.ts";
import { type FormOfShape, inputForms } from "./form.ts";
import { type MemoryBudget, SampleStore } from "./store.ts";

export interface TrainingDataOptions extends RunOptions {
  /** A data set, or the path of one. */
  readonly train: string | Dataset;
  /** Data of its own for validation. Samples of the training data with the same content are left out of training. */
  readonly validation?: string | Dataset | undefined;
  /** Without `validation`: the share of the training data, by content digest, that validates instead; default 0.1, 0 for none. */
  readonly validationFraction?: number | undefined;
  readonly preprocess: string | PreprocessInput | Preprocess;
  /** The model's inputs. */
  readonly inputs: readonly ModelInput[];
  /** How paths are opened. */
  readonly open?: OpenOptions | undefined;
  /** Decides the split, and which samples `limit` takes; default 0. */
  readonly seed?: number | undefined;
  /** At most this many training samples, and as many for validation. */
  readonly limit?: number | undefined;
  readonly validationLimit?: number | undefined;
  /** Memory for decoded samples; default 1 GiB. What does not fit is read again whenever it is needed. */
  readonly maxBytes?: number | undefined;
  /** Hears of each corrupt sample that was left out (data opened with onCorrupt: "skip"). */
  readonly onSkipped?: ((error: EdgewrightError) => void) | undefined;
}

export interface TrainingData {
  readonly training: SampleStore;
  readonly validation: SampleStore | undefined;
  /** Training samples left out because validation holds the same content. */
  readonly leftOut: number;
  /** Names of the classes, where the data state them. */
  readonly classes: readonly string[] | undefined;
}

type Shared = Omit<TrainingDataOptions, "train" | "validation"> & { readonly budget: MemoryBudget };
/** Which store takes a sample; undefined: none. Asked more than once for the same sample. */
type Choose = (id: string, index: number) => SampleStore | undefined;

async function storeMaker(dataset: Dataset, options: Shared): Promise<{ make(): SampleStore; prepare: Prepare }> {
  const preparer = await createPreparer(dataset, options.preprocess, options.inputs);
  const forms = await inputForms(dataset, options.preprocess, options.inputs);
  const prepare: Prepare = (raw, id) => preparer.prepare(raw, id);
  const picture = dataset.label === "image" || Boolean(resolvePreprocess(options.preprocess).image?.downscale && !dataset.label);
  const again = async (index: number): Promise<PreparedSample> => {
    // a sample that turns out to be broken gives way to the next whole one: the same one each time
    for (let step = 0; ; step++) {
      try {
        const raw = await dataset.sample((index + step) % dataset.length);
        return await prepare(raw, sampleDigest(raw));
      } catch (error) {
        if (!isSkippable(error, dataset) || step + 1 >= dataset.length) throw error;
        options.onSkipped?.(error);
      }
    }
  };
  const make = (): SampleStore =>
    new SampleStore({ budget: options.budget, forms, prepare: again, targetOnGrid: picture, targetBatched: picture });
  return { make, prepare };
}

type Prepare = (raw: RawSample, id: string) => Promise<PreparedSample>;
interface Found {
  readonly raw: RawSample;
  readonly id: string;
  readonly index: number;
  /** undefined: no store wants it decoded. */
  readonly sample: PreparedSample | undefined;
}

const wantsDecoded = (store: SampleStore | undefined): boolean => store !== undefined && (store.length === 0 || store.hasRoom);

/** Reads all samples once and hands each to its store, decoding a few at a time. `full`: nothing more is wanted. */
async function sweep(dataset: Dataset, prepare: Prepare, choose: Choose, full: () => boolean, options: Shared): Promise<void> {
  const limited = options.limit !== undefined || options.validationLimit !== undefined;
  const order = sampleOrder(dataset, limited ? (options.seed ?? 0) : undefined);
  const find = async (index: number): Promise<Found | EdgewrightError> => {
    try {
      const raw = await dataset.sample(index);
      const id = sampleDigest(raw);
      return { raw, id, index, sample: wantsDecoded(choose(id, index)) ? await prepare(raw, id) : undefined };
    } catch (error) {
      if (isSkippable(error, dataset)) return error;
      throw error;
    }
  };
  let done = 0;
  for await (const found of mapAhead(order, find, { ahead: 4, signal: options.signal })) {
    if (found instanceof EdgewrightError) options.onSkipped?.(found);
    else place(found, choose(found.id, found.index));
    options.onProgress?.({ step: "loading samples", done: ++done, total: dataset.length });
    if (full()) return;
  }
}

/** What was decoded ahead may find its store full by now. */
function place({ raw, id, index, sample }: Found, store: SampleStore | undefined): void {
  if (sample && store && wantsDecoded(store)) store.add(index, sample);
  else store?.addUnread(index, id, raw.origin, sample ? sample.target : plainTarget(raw));
}

async function opened(source: string | Dataset, options: OpenOptions | undefined): Promise<Dataset> {
  return typeof source === "string" ? openDataset(source, options) : source;
}

const empty = (dataset: Dataset, why: string, hint: string): never =>
  fail("DATA_EMPTY", `"${dataset.path}" has no samples for ${why}.`, { subject: dataset.path, hint });

/**
 * Reads the data of a training run: decoded, packed, and parted so that no content is in both parts. With a fraction, content digests
 * decide, by the same rule and seed as the calibration, selection and final splits: training lies at the low end, so that a calibration
 * split of at most 1 − fraction is part of it.
 */
export async function openTrainingData(options: TrainingDataOptions): Promise<TrainingData> {
  const budget = { left: options.maxBytes ?? 2 ** 30 };
  const shared: Shared = { ...options, budget };
  const train = await opened(options.train, options.open);
  const classes = train.classes;
  if (options.validation === undefined) return { ...(await parted(train, shared)), leftOut: 0, classes };
  const own = await opened(options.validation, options.open);
  const validation = await whole(own, shared, options.validationLimit, () => true);
  if (validation.length === 0) empty(own, "validation", "Check the path and the limit.");
  const held = new Set(Array.from({ length: validation.length }, (_, i) => validation.id(i)));
  const leftOut = new Set<number>();
  const training = await whole(train, shared, options.limit, (id, index) => {
    if (held.has(id)) leftOut.add(index);
    return !held.has(id);
  });
  if (training.length === 0)
    empty(train, "training that validation does not hold too", "Give different data for validation, or a validation fraction.");
  return { training, validation, leftOut: leftOut.size, classes };
}

async function whole(
  dataset: Dataset,
  options: Shared,
  limit: number | undefined,
  keep: (id: string, index: number) => boolean,
): Promise<SampleStore> {
  const { make, prepare } = await storeMaker(dataset, options);
  const store = make();
  await sweep(
    dataset,
    prepare,
    (id, index) => (keep(id, index) ? store : undefined),
    () => store.length >= (limit ?? Number.POSITIVE_INFINITY),
    options,
  );
  return store;
}

async function parted(dataset: Dataset, options: Shared): Promise<Pick<TrainingData, "training" | "validation">> {
  const { validationFraction: share = 0.1, seed = 0, limit = Number.POSITIVE_INFINITY } = options;
  const validationLimit = options.validationLimit ?? Number.POSITIVE_INFINITY;
  if (!(share >= 0 && share < 1)) fail("DATA_FRACTIONS", `The validation fraction must be at least 0 and below 1, not ${share}.`);
  const { make, prepare } = await storeMaker(dataset, options);
  const [training, validation] = [make(), make()];
  const fractions = { calibration: 1 - share, selection: share, final: 0 };
  const choose: Choose = (id) => {
    const store = splitOf(id, seed, fractions) === "calibration" ? training : validation;
    return store.length < (store === training ? limit : validationLimit) ? store : undefined;
  };
  const full = (): boolean => training.length >= limit && (share === 0 || validation.length >= validationLimit);
  await sweep(dataset, prepare, choose, full, options);
  if (training.length === 0) empty(dataset, "training", "Add data, or lower the validation fraction.");
  if (share > 0 && validation.length === 0)
    empty(dataset, "validation", "Add data, raise the validation fraction, or set it to 0 to train without.");
  return { training, validation: share > 0 ? validation : undefined };
}

export interface PreparedSourceOptions extends RunOptions {
  /** Input name → what it holds, given the shape of a sample; augmentation needs it. Default: plain tensors. */
  readonly forms?: Readonly<Record<string, FormOfShape>> | undefined;
  /** Memory for the samples; default 1 GiB. More is an error, since an iterator cannot be read again. */
  readonly maxBytes?: number | undefined;
  /** Targets are pictures on the input's grid. */
  readonly targetOnGrid?: boolean | undefined;
}

/** Samples that are prepared already: an array, or whatever a plug-in yields. */
export async function storeSamples(
  samples: Iterable<PreparedSample> | AsyncIterable<PreparedSample>,
  options: PreparedSourceOptions = {},
): Promise<SampleStore> {
  const maxBytes = options.maxBytes ?? 2 ** 30;
  const forms = new Map(Object.entries(options.forms ?? {}));
  const store = new SampleStore({ budget: { left: maxBytes }, forms, targetOnGrid: options.targetOnGrid });
  for await (const sample of samples) {
    options.signal?.throwIfAborted();
    if (store.length > 0 && !store.hasRoom)
      fail("DATA_MEMORY", `${store.length} samples fill the ${maxBytes} bytes that may be used for them, and there are more.`, {
        hint: "Raise maxBytes, or give the samples as a data set, which can be read again.",
      });
    store.add(store.length, sample);
    options.onProgress?.({ step: "loading samples", done: store.length });
  }
  if (store.length === 0) fail("DATA_EMPTY", "The source gave no samples to train on.");
  return store;
}
