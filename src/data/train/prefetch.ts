export interface PrefetchOptions {
  /** Items under way beyond the one that the consumer holds; default 2. */
  readonly ahead?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A promise that rejects when the signal aborts, and the way to stop listening. */
function abortOf(signal: AbortSignal | undefined): { readonly aborted: Promise<never> | undefined; release(): void } {
  if (!signal) return { aborted: undefined, release() {} };
  let listener = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    listener = () => reject(signal.reason);
    signal.addEventListener("abort", listener, { once: true });
  });
  aborted.catch(() => {});
  return { aborted, release: () => signal.removeEventListener("abort", listener) };
}

/**
 * Takes items from a source ahead of their use: while the consumer works on one (training runs in a worker thread), the next are prepared.
 * They are asked for in a later turn of the event loop, so that preparing never delays handing an item over. Errors of the source come in
 * order, where the item would have been; what is still under way when the consumer stops, or `signal` aborts, is awaited by nobody and
 * cannot reject unobserved.
 */
export async function* prefetch<T>(source: AsyncIterable<T>, options: PrefetchOptions = {}): AsyncGenerator<T, void, undefined> {
  const { ahead = 2, signal } = options;
  signal?.throwIfAborted();
  const iterator = source[Symbol.asyncIterator]();
  const pending: Promise<IteratorResult<T>>[] = [];
  const { aborted, release } = abortOf(signal);
  let stopped = false;
  const ask = (): void => {
    const next = iterator.next();
    next.then(
      ({ done }) => {
        stopped ||= done === true;
      },
      () => {
        stopped = true;
      },
    );
    pending.push(next);
  };
  const refill = (): void => {
    while (!stopped && pending.length < ahead) ask();
  };
  try {
    for (;;) {
      signal?.throwIfAborted();
      if (pending.length === 0) ask();
      const next = pending.shift() as Promise<IteratorResult<T>>;
      const { done, value } = await (aborted ? Promise.race([next, aborted]) : next);
      if (done) return;
      setImmediate(refill);
      yield value;
    }
  } finally {
    stopped = true;
    release();
    const closed = Promise.resolve(iterator.return?.()).catch(() => {});
    // an aborted source may be stuck in a read: its end is not waited for
    if (!signal?.aborted) await closed;
  }
}
