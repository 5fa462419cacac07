import { fail } from "../errors.ts";

const TWO_28 = 2 ** 28;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** What a wire type means: how many bytes follow a tag. */
export const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/**
 * Reads protobuf wire primitives from one buffer, by position; byte fields come as views. Every length is checked against the end
 * of the enclosing message, so a broken file is an error (`<prefix>_TRUNCATED`, `<prefix>_CORRUPT`), never a wild read.
 */
export class ProtoReader {
  position = 0;
  /** End of the message being read. */
  end: number;
  readonly buffer: Uint8Array;
  readonly #view: DataView;
  readonly #prefix: string;
  #low = 0;
  #middle = 0;
  #high = 0;

  constructor(buffer: Uint8Array, prefix: string) {
    this.buffer = buffer;
    this.end = buffer.byteLength;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.#prefix = prefix;
  }

  #truncated(): never {
    fail(`${this.#prefix}_TRUNCATED`, `The file breaks off at byte ${this.position}: a field needs more bytes than there are.`, {
      hint: "Copy or download the file again; it is not complete.",
    });
  }

  corrupt(reason: string): never {
    fail(`${this.#prefix}_CORRUPT`, `The file is damaged at byte ${this.position}: ${reason}.`, {
      hint: "Copy or download the file again.",
    });
  }

  tooDeep(limit: number): never {
    fail(`${this.#prefix}_NESTING`, `Messages nest deeper than ${limit} levels at byte ${this.position}; real models do not.`);
  }

  /** Seven bits a byte, low bits first, into three parts of 28, 28 and 8 bits. */
  #varint(): void {
    let low = 0;
    let middle = 0;
    let high = 0;
    let position = this.position;
    for (let i = 0; i < 10; i++) {
      if (position >= this.end) this.#truncated();
      const byte = this.buffer[position++] as number;
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i < 8) middle |= bits << (7 * (i - 4));
      else high |= bits << (7 * (i - 8));
      if (byte < 0x80) {
        this.position = position;
        this.#low = low;
        this.#middle = middle;
        this.#high = high & 0xff;
        return;
      }
    }
    this.corrupt("a number is longer than ten bytes");
  }

  /** An unsigned number; above 2^53 it is rounded (lengths that large fail the bounds check anyway). */
  unsigned(): number {
    const byte = this.buffer[this.position] as number;
    if (byte < 0x80 && this.position < this.end) {
      this.position++;
      return byte;
    }
    this.#varint();
    return this.#low + this.#middle * TWO_28 + this.#high * TWO_28 * TWO_28;
  }

  /** A signed 64-bit number; bigint where a number would lose digits. */
  int64(): number | bigint {
    const byte = this.buffer[this.position] as number;
    if (byte < 0x80 && this.position < this.end) {
      this.position++;
      return byte;
    }
    this.#varint();
    if (this.#high === 0 && this.#middle < 1 << 25) return this.#low + this.#middle * TWO_28;
    const value = BigInt.asIntN(64, this.bigint());
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  private bigint(): bigint {
    return BigInt(this.#low) | (BigInt(this.#middle) << 28n) | (BigInt(this.#high) << 56n);
  }

  /** The next varint's 64 bits, unsigned. */
  bits64(): bigint {
    this.#varint();
    return this.bigint();
  }

  /** The low 32 bits of the next varint. */
  bits32(): number {
    this.#varint();
    return this.#low | (this.#middle << 28) | 0;
  }

  /** Field number times eight plus wire type. */
  tag(): number {
    const tag = this.unsigned();
    if (tag < 8 || tag > 0xffffffff) this.corrupt(`${tag} is no field tag`);
    return tag;
  }

  float(): number {
    if (this.end - this.position < 4) this.#truncated();
    const value = this.#view.getFloat32(this.position, true);
    this.position += 4;
    return value;
  }

  /** A length and its end position, checked. */
  delimited(): number {
    const length = this.unsigned();
    if (length > this.end - this.position) this.#truncated();
    return this.position + length;
  }

  bytes(): Uint8Array {
    const end = this.delimited();
    const bytes = this.buffer.subarray(this.position, end);
    this.position = end;
    return bytes;
  }

  string(): string {
    const end = this.delimited();
    const start = this.position;
    this.position = end;
    if (end - start > 64) return decoder.decode(this.buffer.subarray(start, end));
    let text = "";
    for (let i = start; i < end; i++) {
      const byte = this.buffer[i] as number;
      if (byte >= 0x80) return decoder.decode(this.buffer.subarray(start, end));
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** Passes over the value of a field; returns nothing but leaves `position` behind it. */
  skip(wireType: number): void {
    if (wireType === wire.varint) this.#varint();
    else if (wireType === wire.bytes) this.position = this.delimited();
    else if (wireType === wire.fixed64 || wireType === wire.fixed32) {
      const size = wireType === wire.fixed64 ? 8 : 4;
      if (this.end - this.position < size) this.#truncated();
      this.position += size;
    } else this.corrupt(`wire type ${wireType} is not in use`);
  }
}
