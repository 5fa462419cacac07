import type { Dataset } from "./dataset.ts";
import { unitHash } from "./split.ts";

/**
 * Positions in the order of a seeded shuffle. Each sample's rank depends on its own name and the seed only, so adding files
 * keeps the others in their order. `seed` undefined: as stored.
 */
export function sampleOrder(dataset: Pick<Dataset, "length" | "origin">, seed: number | undefined): Uint32Array {
  const order = Uint32Array.from({ length: dataset.length }, (_, i) => i);
  if (seed === undefined) return order;
  const rank = Float64Array.from(order, (i) => unitHash(`${seed}:${dataset.origin(i)}`));
  return order.sort((a, b) => (rank[a] as number) - (rank[b] as number) || a - b);
}

/**
 * Maps items in order while up to `ahead` of them are under way. Stops taking new items when the consumer stops, an item fails, or
 * `signal` aborts; never leaves a promise rejection unobserved.
 */
export async function* mapAhead<A, B>(
  items: Iterable<A>,
  map: (item: A) => Promise<B>,
  options: { readonly ahead?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<B> {
  const { ahead = 2, signal } = options;
  const iterator = items[Symbol.iterator]();
  const pending: Promise<B>[] = [];
  const fill = (): void => {
    while (pending.length < ahead) {
      const next = iterator.next();
      if (next.done) return;
      const promise = map(next.value);
      promise.catch(() => {});
      pending.push(promise);
    }
  };
  for (;;) {
    signal?.throwIfAborted();
    fill();
    const first = pending.shift();
    if (!first) return;
    yield await first;
  }
}

/** Groups items; the last group may be shorter. */
export async function* batches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
