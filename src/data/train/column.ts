import { arrayConstructor, type DataType, numel, type Tensor, type TypedArray, typedArray } from "../../ir/index.ts";
import type { InputForm } from "./form.ts";

const chunkBytes = 2 ** 20;
const paletteSize = 256;
const slots = 1024;

/** The distinct values of one channel, numbered as they come; at most 256. */
class Palette {
  readonly values = new Float32Array(paletteSize);
  readonly #bits = new Int32Array(this.values.buffer);
  readonly #codes = new Int16Array(slots).fill(-1);
  #size = 0;

  /** The number of a value, by its bits (so that −0 stays −0); −1 when there is no room for it. */
  code(bits: number): number {
    let slot = (Math.imul(bits, 0x9e3779b1) >>> 22) & (slots - 1);
    for (;;) {
      const code = this.#codes[slot] as number;
      if (code >= 0) {
        if (this.#bits[code] === bits) return code;
        slot = (slot + 1) & (slots - 1);
        continue;
      }
      if (this.#size === paletteSize) return -1;
      this.#bits[this.#size] = bits;
      this.#codes[slot] = this.#size;
      return this.#size++;
    }
  }
}

/** Some samples one after another: palette codes, or the elements themselves. */
interface Chunk {
  readonly data: TypedArray;
  readonly coded: boolean;
}

/**
 * One input of many samples, packed without loss. Pictures hold at most 256 different values a channel, so a float32 shrinks to one byte;
 * a column that turns out to hold more goes on with the elements themselves.
 */
export class Column {
  readonly dtype: DataType;
  /** Without the batch axis. */
  readonly shape: readonly number[];
  readonly size: number;
  readonly form: InputForm;
  readonly #perChunk: number;
  readonly #chunks: Chunk[] = [];
  readonly #palettes: readonly Palette[];
  #coding: boolean;
  #count = 0;

  constructor(first: Tensor, form: InputForm) {
    this.dtype = first.dtype;
    this.shape = first.shape.slice(1);
    this.size = numel(this.shape);
    this.form = form;
    this.#perChunk = Math.max(1, Math.floor(chunkBytes / Math.max(1, first.byteLength)));
    this.#palettes = Array.from({ length: form.kind === "image" ? form.channels : 1 }, () => new Palette());
    this.#coding = this.dtype === "float32";
  }

  /** Bytes that one more sample takes. */
  get sampleBytes(): number {
    return this.#coding ? this.size : this.size * arrayConstructor(this.dtype).BYTES_PER_ELEMENT;
  }

  append(tensor: Tensor): void {
    const row = this.#count % this.#perChunk;
    if (row === 0) this.#chunks.push(this.#emptyChunk(this.#coding));
    const values = typedArray(tensor);
    const last = this.#chunks.length - 1;
    const chunk = this.#chunks[last] as Chunk;
    if (!chunk.coded) (chunk.data as Float32Array).set(values as Float32Array, row * this.size);
    else if (!this.#encode(values as Float32Array, chunk.data as Uint8Array, row * this.size)) {
      this.#coding = false;
      const plain = this.#emptyChunk(false);
      for (let before = 0; before < row; before++)
        this.#decode(chunk.data as Uint8Array, before * this.size, plain.data as Float32Array, before * this.size);
      (plain.data as Float32Array).set(values as Float32Array, row * this.size);
      this.#chunks[last] = plain;
    }
    this.#count++;
  }

  #emptyChunk(coded: boolean): Chunk {
    const length = this.#perChunk * this.size;
    return { data: coded ? new Uint8Array(length) : new (arrayConstructor(this.dtype))(length), coded };
  }

  /** Start, step and count of a channel's elements. */
  #channel(channel: number): readonly [number, number, number] {
    const channels = this.#palettes.length;
    const count = this.size / channels;
    return this.form.kind === "image" && this.form.layout === "nhwc" ? [channel, channels, count] : [channel * count, 1, count];
  }

  #encode(values: Float32Array, into: Uint8Array, at: number): boolean {
    const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
    for (const [channel, palette] of this.#palettes.entries()) {
      const [start, step, count] = this.#channel(channel);
      for (let i = 0, from = start; i < count; i++, from += step) {
        const code = palette.code(bits[from] as number);
        if (code < 0) return false;
        into[at + from] = code;
      }
    }
    return true;
  }

  #decode(codes: Uint8Array, from: number, into: Float32Array, at: number): void {
    for (const [channel, { values }] of this.#palettes.entries()) {
      const [start, step, count] = this.#channel(channel);
      for (let i = 0, offset = start; i < count; i++, offset += step)
        into[at + offset] = values[codes[from + offset] as number] as number;
    }
  }

  /** Writes a sample's elements into an array of the column's element type. */
  copyTo(sample: number, into: TypedArray, at: number): void {
    const { data, coded } = this.#chunks[Math.floor(sample / this.#perChunk)] as Chunk;
    const from = (sample % this.#perChunk) * this.size;
    if (coded) this.#decode(data as Uint8Array, from, into as Float32Array, at);
    else (into as Float32Array).set((data as Float32Array).subarray(from, from + this.size), at);
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.#chunks.reduce((sum, { data }) => sum + data.byteLength, 0);
  }
}
