import { Readable } from "node:stream";
import { type Options, parse } from "csv-parse";
import { parse as parseSync } from "csv-parse/sync";
import { EdgewrightError } from "../util/errors.ts";
import { type ByteSource, chunks } from "./files.ts";
import { OffsetList } from "./lines.ts";

/** Rows of a CSV or TSV file by position; only their offsets are in memory. */
export interface Table {
  readonly length: number;
  row(index: number): Promise<string[]>;
}

const options = (delimiter: string): Options => ({
  delimiter,
  bom: true,
  relax_column_count: true,
  relax_quotes: true,
  skip_empty_lines: true,
  max_record_size: 2 ** 24,
});

const broken = (path: string, cause: unknown): EdgewrightError =>
  new EdgewrightError("DATA_CORRUPT", `"${path}" is not a readable table: ${(cause as Error).message.split("\n")[0]}.`, {
    subject: path,
    hint: "Check quotes and delimiters near that line.",
    cause,
  });

interface IndexedRecord {
  readonly record: string[];
  readonly info: { readonly bytes: number };
}

/** Goes through the file once, handing every row to `visit`, and remembers where rows end. */
export async function indexTable(
  source: ByteSource,
  delimiter: string,
  visit: (row: string[], index: number) => void,
): Promise<Table> {
  const ends = new OffsetList();
  const parser = Readable.from(chunks(source)).pipe(parse({ ...options(delimiter), info: true }));
  try {
    for await (const { record, info } of parser as AsyncIterable<IndexedRecord>) {
      visit(record, ends.length);
      ends.push(info.bytes);
    }
  } catch (cause) {
    throw cause instanceof EdgewrightError ? cause : broken(source.path, cause);
  }
  return {
    length: ends.length,
    async row(index) {
      const start = index === 0 ? 0 : ends.at(index - 1);
      const bytes = await source.slice(start, ends.at(index) - start);
      return (parseSync(bytes, options(delimiter)) as string[][])[0] ?? [];
    },
  };
}

/** The first complete rows of a file, from its first bytes; `path` names it in errors. */
export function firstRows(head: Uint8Array, complete: boolean, delimiter: string, path: string): string[][] {
  let text = new TextDecoder().decode(head);
  for (;;) {
    // the end of the piece may cut a row, or a quoted field with line breaks: then one line less is tried
    if (!complete) text = text.slice(0, text.trimEnd().lastIndexOf("\n") + 1);
    try {
      return parseSync(text, { ...options(delimiter), to: 100 }) as string[][];
    } catch (cause) {
      if (complete || text === "") throw broken(path, cause);
    }
  }
}
