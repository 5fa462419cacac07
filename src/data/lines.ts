import type { ByteSource } from "./files.ts";
import { chunks } from "./files.ts";

/** Numbers that grow in number, 8 bytes each: offsets into files of any size. */
export class OffsetList {
  #values = new Float64Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const grown = new Float64Array(this.length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.length++] = value;
  }
  at(index: number): number {
    return this.#values[index] as number;
  }
}

const newline = 10;
/** A line beyond this is no line of text. */
const maxLineBytes = 2 ** 24;

export interface LineIndex {
  readonly length: number;
  line(index: number): Promise<string>;
}

/** Positions of the lines that are not blank; the text itself stays in the file. */
export async function indexLines(source: ByteSource): Promise<LineIndex> {
  const starts = new OffsetList();
  const ends = new OffsetList();
  let start = 0;
  let blank = true;
  let offset = 0;
  const close = (end: number): void => {
    if (!blank) {
      starts.push(start);
      ends.push(end);
    }
    start = end + 1;
    blank = true;
  };
  for await (const chunk of chunks(source)) {
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (byte === newline) close(offset + i);
      else if (byte > 32) blank = false;
    }
    offset += chunk.length;
  }
  close(offset);
  const decoder = new TextDecoder();
  return {
    length: starts.length,
    async line(index) {
      const from = starts.at(index);
      const bytes = await source.slice(from, Math.min(maxLineBytes, ends.at(index) - from));
      return decoder
        .decode(bytes)
        .replace(/^\uFEFF/, "")
        .replace(/\r$/, "");
    },
  };
}
