/** Bytes that may be fetched when they are written; a Tensor is one. */
export interface LazyBytes {
  readonly byteLength: number;
  bytes(): Uint8Array;
}
export type Chunk = Uint8Array | LazyBytes;

export const chunkBytes = (chunk: Chunk): Uint8Array => (chunk instanceof Uint8Array ? chunk : chunk.bytes());

/** From this size on bytes are passed through by reference instead of copied. */
const byReference = 4096;
const maxBlock = 1 << 18;
const encoder = new TextEncoder();

/**
 * Writes protobuf back to front, so that the length of a message is known when its prefix is due: one pass, no sizes kept.
 * The result is a list of chunks; large byte fields stay references to the caller's memory.
 */
export class ReverseWriter {
  /** Bytes written so far. */
  length = 0;
  #block = new Uint8Array(1024);
  #at = 1024;
  #chunks: Chunk[] = [];

  #flush(): void {
    if (this.#at < this.#block.length) this.#chunks.push(this.#block.subarray(this.#at));
    this.#block = this.#block.subarray(0, this.#at);
  }

  /** Makes room for `count` bytes and returns where they begin. */
  #take(count: number): number {
    if (this.#at < count) {
      this.#flush();
      const size = Math.max(count, 1024, Math.min(maxBlock, this.length * 2));
      this.#block = new Uint8Array(size);
      this.#at = size;
    }
    this.#at -= count;
    this.length += count;
    return this.#at;
  }

  /** An unsigned safe integer. */
  varint(value: number): void {
    if (value < 0x80) {
      const at = this.#take(1); // first: it may replace the block
      this.#block[at] = value;
      return;
    }
    let count = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) count++;
    let at = this.#take(count);
    let rest = value;
    while (rest >= 0x80) {
      this.#block[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#block[at] = rest;
  }

  /** A signed 64-bit integer. */
  int64(value: number | bigint): void {
    if (typeof value === "number" && value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.copy(Uint8Array.from(bytes));
  }

  float(value: number): void {
    const at = this.#take(4);
    new DataView(this.#block.buffer, this.#block.byteOffset + at, 4).setFloat32(0, value, true);
  }

  copy(bytes: Uint8Array): void {
    const at = this.#take(bytes.byteLength);
    this.#block.set(bytes, at);
  }

  /** Bytes without a prefix; large or lazy ones by reference. */
  raw(chunk: Chunk): void {
    if (chunk.byteLength < byReference) {
      this.copy(chunkBytes(chunk));
      return;
    }
    this.#flush();
    this.#chunks.push(chunk);
    this.length += chunk.byteLength;
  }

  /** A string's UTF-8 bytes, without a prefix. */
  string(text: string): void {
    const length = text.length;
    const at = this.#take(length);
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) {
        this.#at += length; // undo: not ASCII
        this.length -= length;
        this.raw(encoder.encode(text));
        return;
      }
      this.#block[at + i] = code;
    }
  }

  /** The chunks in reading order. The writer must not be used afterwards. */
  finish(): Chunk[] {
    this.#flush();
    return this.#chunks.reverse();
  }
}

/** All chunks in one array; for small messages only. */
export function joinChunks(chunks: readonly Chunk[]): Uint8Array {
  const first = chunks[0];
  if (chunks.length === 1 && first) return chunkBytes(first);
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunkBytes(chunk), at);
    at += chunk.byteLength;
  }
  return joined;
}
