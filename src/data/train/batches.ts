import {
  arrayConstructor,
  fromTypedArray,
  type PreparedSample,
  type Target,
  type Tensor,
  type TypedArray,
  typedArray,
} from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import { mapAhead } from "../loader.ts";
import { type AugmentInput, type AugmentPlan, planAugmentation } from "./augment/index.ts";
import { randomOrder, uniformAt } from "./random.ts";
import type { SampleStore } from "./store.ts";
import { planTargets, type TargetOptions, type TargetPlan, type TargetTensor, targetArrays } from "./targets.ts";

/** What one training step takes. Every tensor owns its ArrayBuffer, so that all can be transferred to a worker. */
export interface TrainingBatch {
  /** Model input → tensor [B, ...]. */
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** Target name → tensor [B, ...]. */
  readonly targets: Readonly<Record<string, Tensor>>;
  /** Rows that count: always B in training; an evaluation's last batch may hold fewer. */
  readonly count: number;
  /** Position in the data set of each row. */
  readonly sampleIndices: Uint32Array;
  readonly epoch: number;
  readonly step: number;
}

export interface BatchOptions {
  /** Rows of every batch, B. */
  readonly batch: number;
  readonly targets?: TargetOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TrainingBatchOptions extends BatchOptions {
  /** Decides order and augmentation; default 0. */
  readonly seed?: number | undefined;
  /** false: stored order in every epoch. */
  readonly shuffle?: boolean | undefined;
  /** An incomplete last batch is left out, or filled with samples of a reshuffled pass. Default "drop". */
  readonly lastBatch?: "drop" | "fill" | undefined;
  readonly augment?: AugmentInput | undefined;
}

/**
 * The batches of an epoch from a step on. A batch depends on (data, options, epoch, step) alone: starting at step k gives the same bytes as
 * the full epoch from its step k on.
 */
export interface EpochSource {
  (epoch: number, startStep?: number): AsyncIterable<TrainingBatch>;
  readonly batch: number;
  readonly stepsPerEpoch: number;
  /** Set when an epoch repeats samples, because the data hold fewer than one batch. */
  readonly note: string | undefined;
  /** The targets of a batch, without the batch axis. */
  readonly targets: readonly TargetTensor[];
}

/** A row of a batch: a position of the store, and how often that sample came before in the epoch. */
interface Row {
  readonly position: number;
  readonly pass: number;
}

const zeros = (store: SampleStore, batch: number): Record<string, TypedArray> =>
  Object.fromEntries(store.inputs.map(({ name, dtype, size }) => [name, new (arrayConstructor(dtype))(batch * size)]));

function copyRead(sample: PreparedSample, store: SampleStore, feeds: Readonly<Record<string, TypedArray>>, row: number): void {
  for (const { name, size } of store.inputs)
    (feeds[name] as Float32Array).set(typedArray(sample.feeds[name] as Tensor) as Float32Array, row * size);
}

/** Fills feeds and targets with the rows' samples; what is not in memory is read, a few at a time. */
async function collect(
  store: SampleStore,
  plan: TargetPlan,
  rows: readonly Row[],
  batch: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly feeds: Record<string, TypedArray>; readonly targets: Record<string, TypedArray> }> {
  const feeds = zeros(store, batch);
  const targets = targetArrays(plan, batch);
  const known = new Map<number, Target | undefined>();
  const missing: number[] = [];
  for (const [row, { position }] of rows.entries())
    if (position < store.resident) {
      store.fill(position, feeds, row);
      known.set(row, store.target(position));
    } else missing.push(row);
  const read = async (row: number): Promise<readonly [number, PreparedSample]> => [
    row,
    await store.read((rows[row] as Row).position),
  ];
  for await (const [row, sample] of mapAhead(missing, read, { ahead: 4, signal })) {
    copyRead(sample, store, feeds, row);
    known.set(row, sample.target);
  }
  for (const [row, { position }] of rows.entries()) plan.write(known.get(row), store.origin(position), targets, row, feeds);
  return { feeds, targets };
}

const named = (
  arrays: Readonly<Record<string, TypedArray>>,
  batch: number,
  parts: readonly { name: string; dtype: Tensor["dtype"]; shape: readonly number[] }[],
) =>
  Object.fromEntries(
    parts.map(({ name, dtype, shape }) => [name, fromTypedArray(dtype, [batch, ...shape], arrays[name] as TypedArray)]),
  );

function checkBatch(batch: number, store: SampleStore): void {
  if (!Number.isInteger(batch) || batch < 1)
    fail("DATA_BATCH", `A batch must hold a whole number of samples from 1, not ${batch}.`);
  if (store.length === 0) fail("DATA_EMPTY", "There are no samples to make batches of.");
}

/** Deterministic batches of one part of the data; see EpochSource. Labels and augmentations are checked here, before the first batch. */
export function trainingBatches(store: SampleStore, options: TrainingBatchOptions): EpochSource {
  const { batch, seed = 0, shuffle = true, lastBatch = "drop", signal } = options;
  checkBatch(batch, store);
  const plan = planTargets(store, options.targets);
  const augment = planAugmentation(options.augment ?? [], store, plan);
  const { length } = store;
  const stepsPerEpoch = lastBatch === "fill" || length < batch ? Math.ceil(length / batch) : Math.floor(length / batch);
  const rowsOf = rowsInOrder(length, shuffle, seed);

  async function* epochBatches(epoch: number, startStep = 0): AsyncGenerator<TrainingBatch, void, undefined> {
    const rowAt = rowsOf(epoch);
    for (let step = startStep; step < stepsPerEpoch; step++) {
      signal?.throwIfAborted();
      const rows = Array.from({ length: batch }, (_, i) => rowAt(step * batch + i));
      const arrays = await collect(store, plan, rows, batch, signal);
      vary(arrays, rows, augment, [seed, epoch, step]);
      yield {
        feeds: named(arrays.feeds, batch, store.inputs),
        targets: named(arrays.targets, batch, plan.tensors),
        count: batch,
        sampleIndices: Uint32Array.from(rows, ({ position }) => store.index(position)),
        epoch,
        step,
      };
    }
  }
  const note =
    length < batch
      ? `The training data hold ${length} samples, less than one batch of ${batch}: samples are repeated until each batch is full.`
      : undefined;
  return Object.assign(epochBatches, { batch, stepsPerEpoch, note, targets: plan.tensors });
}

function vary(
  { feeds, targets }: { readonly feeds: Record<string, TypedArray>; readonly targets: Record<string, TypedArray> },
  rows: readonly Row[],
  augment: AugmentPlan,
  [seed, epoch, step]: readonly [number, number, number],
): void {
  for (const [row, { position, pass }] of rows.entries())
    augment.row(feeds, row, uniformAt("sample", seed, epoch, position, pass));
  augment.batch(feeds, targets, rows.length, uniformAt("batch", seed, epoch, step));
}

/** For an epoch: the sample at each place of a sequence without end, one shuffled pass over the data after another. */
function rowsInOrder(length: number, shuffle: boolean, seed: number): (epoch: number) => (place: number) => Row {
  return (epoch) => {
    const passes: Uint32Array[] = [];
    return (place) => {
      const pass = Math.floor(place / length);
      if (!shuffle) return { position: place % length, pass };
      passes[pass] ??= randomOrder(length, uniformAt("order", seed, epoch, pass));
      return { position: passes[pass][place % length] as number, pass };
    };
  };
}

/**
 * Every sample once, in stored order, without augmentation. All batches have B rows; rows beyond `count` repeat the first sample and have
 * zero targets, so that sums of cross-entropies need no correction.
 */
export async function* evaluationBatches(
  store: SampleStore,
  options: BatchOptions,
): AsyncGenerator<TrainingBatch, void, undefined> {
  const { batch, signal } = options;
  checkBatch(batch, store);
  const plan = planTargets(store, options.targets);
  for (let step = 0; step * batch < store.length; step++) {
    signal?.throwIfAborted();
    const count = Math.min(batch, store.length - step * batch);
    const rows = Array.from({ length: batch }, (_, i) => ({ position: i < count ? step * batch + i : 0, pass: 0 }));
    const { feeds, targets } = await collect(store, plan, rows, batch, signal);
    for (const values of Object.values(targets))
      (values as Float32Array).fill((values instanceof BigInt64Array ? 0n : 0) as number, (values.length / batch) * count);
    yield {
      feeds: named(feeds, batch, store.inputs),
      targets: named(targets, batch, plan.tensors),
      count,
      sampleIndices: Uint32Array.from(rows, ({ position }) => store.index(position)),
      epoch: 0,
      step,
    };
  }
}
