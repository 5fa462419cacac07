import { promisify } from "node:util";
import { inflateRaw } from "node:zlib";
import { EdgewrightError, fail } from "../util/errors.ts";
import { type ByteSource, plainBytes } from "./files.ts";

const inflate = promisify(inflateRaw);
/** An entry may not unpack to more than this. */
const maxEntryBytes = 2 ** 30;
const maxEntries = 100_000;

export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  read(): Promise<Uint8Array>;
}

const corrupt = (path: string, what: string): EdgewrightError =>
  new EdgewrightError("DATA_CORRUPT", `"${path}" is not a readable zip file: ${what}.`, {
    subject: path,
    hint: "Write the file again; it may be cut short.",
  });

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

/** The end-of-central-directory record, plain or zip64 (PKWARE APPNOTE 4.3.14 to 4.3.16). */
async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailSize = Math.min(source.size, 65_557);
  const tail = await source.slice(source.size - tailSize, tailSize);
  const view = viewOf(tail);
  let at = tail.length - 22;
  while (at >= 0 && view.getUint32(at, true) !== 0x06054b50) at--;
  if (at < 0) throw corrupt(source.path, "its directory is missing");
  const plain = {
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
  };
  if (plain.offset !== 0xffffffff && plain.count !== 0xffff && plain.size !== 0xffffffff) return plain;
  if (at < 20 || view.getUint32(at - 20, true) !== 0x07064b50) throw corrupt(source.path, "its zip64 directory is missing");
  const record = viewOf(await source.slice(Number(view.getBigUint64(at - 12, true)), 56));
  if (record.byteLength < 56 || record.getUint32(0, true) !== 0x06064b50)
    throw corrupt(source.path, "its zip64 directory is broken");
  return {
    count: Number(record.getBigUint64(32, true)),
    size: Number(record.getBigUint64(40, true)),
    offset: Number(record.getBigUint64(48, true)),
  };
}

interface Header {
  name: string;
  method: number;
  packed: number;
  size: number;
  offset: number;
}

/** Sizes that do not fit 32 bits stand in the zip64 extra field, in this order. */
function widen(header: Header, extra: Uint8Array): Header {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    let next = at + 4;
    for (const field of ["size", "packed", "offset"] as const)
      if (header[field] === 0xffffffff && next + 8 <= extra.length) {
        header[field] = Number(view.getBigUint64(next, true));
        next += 8;
      }
  }
  return header;
}

function parseHeader(bytes: Uint8Array, at: number, path: string): { header: Header; next: number } {
  const view = viewOf(bytes);
  if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50) throw corrupt(path, "its directory is broken");
  const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true)) as [
    number,
    number,
    number,
  ];
  const start = at + 46;
  const header = {
    name: new TextDecoder().decode(bytes.subarray(start, start + nameLength)),
    method: view.getUint16(at + 10, true),
    packed: view.getUint32(at + 20, true),
    size: view.getUint32(at + 24, true),
    offset: view.getUint32(at + 42, true),
  };
  const extra = bytes.subarray(start + nameLength, start + nameLength + extraLength);
  return { header: widen(header, extra), next: start + nameLength + extraLength + commentLength };
}

async function readEntry(source: ByteSource, header: Header): Promise<Uint8Array> {
  if (header.size > maxEntryBytes)
    fail(
      "DATA_TOO_LARGE",
      `"${header.name}" in "${source.path}" unpacks to ${header.size} bytes; at most ${maxEntryBytes} are read.`,
    );
  const local = viewOf(await source.slice(header.offset, 30));
  if (local.byteLength < 30 || local.getUint32(0, true) !== 0x04034b50)
    throw corrupt(source.path, `entry "${header.name}" is broken`);
  const start = header.offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const packed = await source.slice(start, header.packed);
  if (header.method !== 0 && header.method !== 8)
    throw corrupt(source.path, `entry "${header.name}" is packed in method ${header.method}`);
  const bytes =
    header.method === 0
      ? packed
      : await inflate(packed, { maxOutputLength: Math.max(1, header.size) }).then(plainBytes, (cause) => {
          throw corrupt(source.path, `entry "${header.name}" does not unpack (${(cause as Error).message})`);
        });
  if (bytes.length !== header.size)
    throw corrupt(source.path, `entry "${header.name}" has ${bytes.length} bytes instead of ${header.size}`);
  return bytes;
}

/** The files in a zip archive; stored or deflated, zip64 too. Contents are unpacked when read. */
export async function zipEntries(source: ByteSource): Promise<ZipEntry[]> {
  const directory = await findDirectory(source);
  if (directory.count > maxEntries || directory.offset + directory.size > source.size)
    throw corrupt(source.path, "its directory is broken");
  const bytes = await source.slice(directory.offset, directory.size);
  const entries: ZipEntry[] = [];
  for (let at = 0, i = 0; i < directory.count; i++) {
    const { header, next } = parseHeader(bytes, at, source.path);
    entries.push({ name: header.name, size: header.size, read: () => readEntry(source, header) });
    at = next;
  }
  return entries;
}
