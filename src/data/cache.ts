import type { PreparedSample } from "../ir/index.ts";

const bytesOf = (sample: PreparedSample): number => {
  const feeds = Object.values(sample.feeds).reduce((sum, tensor) => sum + tensor.byteLength, 0);
  return feeds + (sample.target?.kind === "tensor" ? sample.target.tensor.byteLength : 0) + 512;
};

/**
 * Prepared samples of one data set under one preprocessing, kept up to a byte limit. Candidates sweep the data in the same order again
 * and again; evicting the least recently used would then throw out each sample just before it is needed, so what is in stays in and the
 * rest is prepared anew. Digests are kept for all samples that were read: a later sweep need not read what another split owns.
 */
export class SampleCache {
  readonly maxBytes: number;
  readonly #samples = new Map<number, PreparedSample>();
  readonly #ids = new Map<number, string>();
  #bytes = 0;

  constructor(maxBytes = 2 ** 29) {
    this.maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }
  get size(): number {
    return this.#samples.size;
  }

  sample(index: number): PreparedSample | undefined {
    return this.#samples.get(index);
  }
  id(index: number): string | undefined {
    return this.#ids.get(index);
  }
  keepId(index: number, id: string): void {
    this.#ids.set(index, id);
  }
  keep(index: number, sample: PreparedSample): void {
    const bytes = bytesOf(sample);
    if (this.#samples.has(index) || this.#bytes + bytes > this.maxBytes) return;
    this.#samples.set(index, sample);
    this.#bytes += bytes;
  }
}
