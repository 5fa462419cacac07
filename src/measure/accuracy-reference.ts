import { isFloat, isInteger, type Outputs, Tensor } from "../ir/index.ts";
import { rowLength } from "../metrics/outputs.ts";

export interface ReferenceLimits {
  /** Elements kept of one output of one sample; larger outputs keep whole rows of their last axis, evenly spaced. Default 65536. */
  readonly maxElements?: number;
  /** Bytes kept in all; samples beyond are not compared. Default 256 MiB. */
  readonly maxBytes?: number;
}

/** The part of a tensor that is kept: itself when small, else evenly spaced rows, at least one. The same rows for the same shape. */
export function keptRows(tensor: Tensor, maxElements: number): Tensor {
  if (tensor.size <= maxElements) return tensor;
  const width = rowLength(tensor.shape);
  const rows = tensor.size / width;
  const keep = Math.max(1, Math.floor(maxElements / width));
  const each = tensor.byteLength / rows;
  const source = tensor.bytes();
  const bytes = new Uint8Array(keep * each);
  for (let i = 0; i < keep; i++) {
    const row = Math.floor(((i + 0.5) * rows) / keep);
    bytes.set(source.subarray(row * each, (row + 1) * each), i * each);
  }
  return new Tensor(tensor.dtype, [keep, width], bytes);
}

/** The original model's outputs on samples, kept compactly, so that comparing candidates needs no second run of it. */
export class Reference {
  readonly #maxElements: number;
  readonly #maxBytes: number;
  readonly #bySample = new Map<string, Outputs>();
  #bytes = 0;
  #full = false;

  constructor({ maxElements = 65536, maxBytes = 2 ** 28 }: ReferenceLimits = {}) {
    this.#maxElements = maxElements;
    this.#maxBytes = maxBytes;
  }

  /** Samples whose outputs are kept. */
  get size(): number {
    return this.#bySample.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The part of a candidate's outputs that was kept of the original's. */
  reduce(outputs: Outputs): Outputs {
    const numeric = Object.entries(outputs).filter(([, { dtype }]) => isFloat(dtype) || isInteger(dtype) || dtype === "bool");
    return Object.fromEntries(numeric.map(([name, tensor]) => [name, keptRows(tensor, this.#maxElements)]));
  }

  keep(id: string, outputs: Outputs): void {
    if (this.#full || this.#bySample.has(id)) return;
    const reduced = this.reduce(outputs);
    const bytes = Object.values(reduced).reduce((sum, tensor) => sum + tensor.byteLength, 0);
    // no gaps: what is compared stays a prefix of the samples, whatever the candidate
    this.#full = this.#bytes + bytes > this.#maxBytes;
    if (this.#full) return;
    this.#bytes += bytes;
    this.#bySample.set(id, reduced);
  }

  get(id: string): Outputs | undefined {
    return this.#bySample.get(id);
  }
}
