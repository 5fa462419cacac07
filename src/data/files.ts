import type { Dirent } from "node:fs";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { EdgewrightError, fail } from "../util/errors.ts";

const inflate = promisify(gunzip);

/** A gzip file may not grow beyond this in memory: a few bytes can claim gigabytes. */
const maxDecompressedBytes = 2 ** 30;
/** Files up to this size are kept in memory while their data set is open; larger ones are read piece by piece. */
const maxResidentBytes = 2 ** 26;
/** A single file that is read whole (an image, a recording). */
const maxWholeFileBytes = 2 ** 30;
/** How much of a file is looked at to tell its kind. */
export const headBytes = 4096;
const maxListedFiles = 5_000_000;

export const imageExtensions = /\.(jpe?g|png|webp|gif|tiff?|avif|bmp)$/i;
export const audioExtensions = /\.wav$/i;

/** Plain code-point order: the same on every machine, and the order in which training frameworks number class folders. */
export const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const readError = (path: string, cause: unknown): EdgewrightError =>
  new EdgewrightError("DATA_READ", `"${path}" cannot be read: ${(cause as Error).message.split("\n")[0]}.`, {
    subject: path,
    hint: "Check that the path exists and that you may read it.",
    cause,
  });

/** What is at `path`; a clear error when nothing is. */
export async function pathKind(path: string): Promise<"directory" | "file"> {
  const found = await stat(path).catch((cause) => {
    throw cause.code === "ENOENT"
      ? new EdgewrightError("DATA_MISSING", `There is nothing at "${path}".`, {
          subject: path,
          hint: "Give the path of a data file or of a folder with data.",
          cause,
        })
      : readError(path, cause);
  });
  return found.isDirectory() ? "directory" : "file";
}

/** What a folder holds, hidden names left out, in plain order; a clear error when it is no folder. */
async function entriesOf(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause) => {
    throw cause.code === "ENOTDIR"
      ? new EdgewrightError("DATA_READ", `"${folder}" is a file; this kind of data needs a folder.`, {
          subject: folder,
          hint: "Give the folder, or leave `kind` out.",
          cause,
        })
      : readError(folder, cause);
  });
  return entries.filter((entry) => !entry.name.startsWith(".")).sort((a, b) => byName(a.name, b.name));
}

/** Sorted names in a folder, hidden ones left out. */
export const namesIn = async (folder: string): Promise<string[]> => (await entriesOf(folder)).map((entry) => entry.name);

/** Files below `folder` whose names match, as sorted relative paths with "/". Hidden names are left out; links to folders are not followed. */
export async function listFiles(folder: string, match: RegExp, depth = 8): Promise<string[]> {
  const found: string[] = [];
  const visit = async (relative: string, left: number): Promise<void> => {
    for (const entry of await entriesOf(join(folder, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory() && left > 0) await visit(path, left - 1);
      else if (!entry.isDirectory() && match.test(entry.name)) found.push(path);
    }
    if (found.length > maxListedFiles) fail("DATA_TOO_MANY_FILES", `"${folder}" holds more than ${maxListedFiles} files.`);
  };
  await visit("", depth);
  return found.sort(byName);
}

/** Sorted names of the sub-folders that are not hidden. */
export const subfolders = async (folder: string): Promise<string[]> =>
  (await entriesOf(folder)).filter((entry) => entry.isDirectory()).map((entry) => entry.name);

/** Node's Buffer as what it extends: Buffer.slice gives a view where Uint8Array.slice copies, which callers rely on. */
export const plainBytes = (buffer: Uint8Array): Uint8Array => new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** A whole file; refuses sizes that no single sample has. */
export async function readWhole(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > maxWholeFileBytes)
      fail("DATA_TOO_LARGE", `"${path}" has ${size} bytes; one sample may have at most ${maxWholeFileBytes}.`, { subject: path });
    return plainBytes(await readFile(path));
  } catch (cause) {
    throw cause instanceof EdgewrightError ? cause : readError(path, cause);
  }
}

/** A text file that belongs to a data set (labels, class names), without a byte-order mark. */
export const readText = async (path: string): Promise<string> =>
  new TextDecoder().decode(await readWhole(path)).replace(/^\uFEFF/, "");

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** Bytes that are read by position. */
export interface ByteSource {
  readonly path: string;
  readonly size: number;
  slice(offset: number, length: number): Promise<Uint8Array>;
}

const resident = (path: string, bytes: Uint8Array): ByteSource => ({
  path,
  size: bytes.byteLength,
  slice: async (offset, length) => bytes.subarray(offset, offset + length),
});

async function readRange(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const bytes = new Uint8Array(length);
    const { bytesRead } = await file.read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Opens a file for reading by position; gzip is unpacked into memory first. */
export async function openBytes(path: string): Promise<ByteSource> {
  try {
    const { size } = await stat(path);
    const gzip = isGzip(await readRange(path, 0, 2));
    if (!gzip && size > maxResidentBytes) return { path, size, slice: (offset, length) => readRange(path, offset, length) };
    const bytes = plainBytes(await readFile(path));
    return resident(path, gzip ? await decompress(path, bytes) : bytes);
  } catch (cause) {
    throw cause instanceof EdgewrightError ? cause : readError(path, cause);
  }
}

async function decompress(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return plainBytes(await inflate(bytes, { maxOutputLength: maxDecompressedBytes }));
  } catch (cause) {
    throw new EdgewrightError("DATA_GZIP", `"${path}" is not a complete gzip file: ${(cause as Error).message}.`, {
      subject: path,
      hint: "Fetch or pack the file again.",
      cause,
    });
  }
}

/** Reads a source from start to end in pieces. */
export async function* chunks(source: ByteSource, size = 2 ** 20): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < source.size; offset += size)
    yield await source.slice(offset, Math.min(size, source.size - offset));
}

/** The first bytes of a file, unpacked when it is gzip; empty when it cannot be told. */
export async function headOf(path: string, length = headBytes): Promise<Uint8Array> {
  const head = await readRange(path, 0, length).catch((cause) => {
    throw readError(path, cause);
  });
  if (!isGzip(head)) return head;
  const { constants } = await import("node:zlib");
  // a cut stream is expected here: only its first piece was read
  return inflate(head, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 24 }).then(
    (bytes) => plainBytes(bytes.subarray(0, length)),
    () => new Uint8Array(),
  );
}

/** Opens a file of text for reading by position; stops when it is none. */
export async function openTextBytes(path: string): Promise<ByteSource> {
  if ((await headOf(path)).includes(0))
    throw new EdgewrightError("DATA_CORRUPT", `"${path}" is not text: it holds zero bytes.`, {
      subject: path,
      hint: "Save it as UTF-8, or give another `kind`.",
    });
  return openBytes(path);
}

export const plainName = (path: string): string => basename(path).toLowerCase().replace(/\.gz$/, "");
