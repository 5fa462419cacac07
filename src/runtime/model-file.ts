import { createHash, randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, realpathSync } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, resolve, sep } from "node:path";
import {
  type Chunk,
  chunkBytes,
  type ExternalReader,
  type FileChunks,
  readOnnx,
  wantsExternalData,
  writeOnnx,
} from "../formats/index.ts";
import type { Model } from "../ir/index.ts";
import { EdgewrightError, fail } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";

/** One read or write call moves at most this much: systems cap a call near 2 GiB, and progress wants steps. */
const batchBytes = 1 << 28;

/** Descriptors of external data files stay open while a tensor may still read from them; a renamed file keeps its bytes. */
const descriptors = new FinalizationRegistry<number>((fd) => closeSync(fd));

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "may not be opened by this user",
  EPERM: "may not be opened by this user",
  ENOTDIR: "does not exist",
  ENOSPC: "does not fit on the disk",
  EISDIR: "is a folder",
  EROFS: "is on a disk that cannot be written",
};

function fileError(code: string, path: string, cause: unknown): never {
  const system = (cause as NodeJS.ErrnoException).code ?? "";
  if (cause instanceof EdgewrightError || !system) throw cause;
  fail(code, `"${path}" ${reasons[system] ?? `cannot be used (${system})`}.`, { subject: path, cause });
}

/** Loads an ONNX model. Its weights are views on the file's bytes; external data is read in ranges when it is asked for. */
export async function loadModel(path: string, { signal }: RunOptions = {}): Promise<Model> {
  const bytes = await readWhole(path, signal);
  const readers = new Map<string, ExternalReader>();
  try {
    return readOnnx(bytes, { open: (location) => openExternal(dirname(path), location, readers) });
  } catch (error) {
    if (!(error instanceof EdgewrightError)) throw error;
    const { code, message, subject, hint, cause } = error;
    fail(code, `${basename(path)}: ${message}`, { subject: subject ?? path, ...(hint ? { hint } : {}), cause: cause ?? error });
  }
}

async function readWhole(path: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path);
    const { size, isFile } = await handle.stat().then((s) => ({ size: s.size, isFile: s.isFile() }));
    if (!isFile) fail("MODEL_NOT_A_FILE", `"${path}" is not a file.`, { subject: path, hint: "Give the path of an .onnx file." });
    const bytes = allocate(size, path);
    let at = 0;
    while (at < size) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(bytes, at, Math.min(batchBytes, size - at), at);
      if (bytesRead === 0) fail("ONNX_TRUNCATED", `"${path}" became shorter while it was read.`, { subject: path });
      at += bytesRead;
    }
    return bytes;
  } catch (cause) {
    return fileError("MODEL_NOT_FOUND", path, cause);
  } finally {
    await handle?.close();
  }
}

function allocate(size: number, path: string): Uint8Array {
  try {
    // memory of its own, not of the pool: tensors are aligned like the file, and the file goes when they do
    return Buffer.allocUnsafeSlow(size);
  } catch (cause) {
    fail("MODEL_TOO_LARGE", `"${path}" has ${size} bytes, more than this process can hold.`, {
      subject: path,
      hint: "Store its weights as external data: they are then read in ranges.",
      cause,
    });
  }
}

/** Opens external data of a model in `folder`; links that lead out of the folder are refused. */
function openExternal(folder: string, location: string, readers: Map<string, ExternalReader>): ExternalReader {
  const known = readers.get(location);
  if (known) return known;
  const path = resolve(folder, location);
  try {
    const home = realpathSync(folder);
    const real = realpathSync(path);
    if (!real.startsWith(home.endsWith(sep) ? home : home + sep))
      fail("ONNX_EXTERNAL_ESCAPE", `External data "${location}" is a link out of the model's folder.`, { subject: location });
    const reader = rangeReader(openSync(real, "r"), location);
    readers.set(location, reader);
    return reader;
  } catch (cause) {
    return fileError("ONNX_EXTERNAL_MISSING", path, cause);
  }
}

function rangeReader(fd: number, location: string): ExternalReader {
  const stats = fstatSync(fd);
  if (!stats.isFile()) {
    closeSync(fd);
    fail("ONNX_EXTERNAL_MISSING", `External data "${location}" is not a file.`, { subject: location });
  }
  const reader: ExternalReader = {
    size: stats.size,
    read(offset, length) {
      const bytes = Buffer.allocUnsafeSlow(length);
      for (let at = 0; at < length; ) {
        const count = readSync(fd, bytes, at, Math.min(batchBytes, length - at), offset + at);
        if (count === 0) fail("ONNX_EXTERNAL_RANGE", `External data "${location}" became shorter.`, { subject: location });
        at += count;
      }
      return bytes;
    },
  };
  descriptors.register(reader, fd);
  return reader;
}

export interface SaveOptions extends RunOptions {
  /** Weights in a file of their own beside the model. Default: when they were so, or when one file would pass 1.9 GB. */
  readonly externalData?: boolean;
}
export interface SavedModel {
  /** Of all files together. */
  readonly bytes: number;
  /** SHA-256 of the model file, hex. */
  readonly digest: string;
  /** Paths written, the model first. */
  readonly files: string[];
}

/** Writes a model; each file goes to a temporary name and is renamed when complete, so that nothing half-written is ever seen. */
export async function saveModel(model: Model, path: string, options: SaveOptions = {}): Promise<SavedModel> {
  const location = `${basename(path)}.data`;
  const external = (options.externalData ?? wantsExternalData(model)) ? { location } : undefined;
  const file = writeOnnx(model, { external });
  const dataPath = resolve(dirname(path), location);
  const written: { temporary: string; path: string }[] = [];
  try {
    const weights = file.external && file.external.byteLength > 0 ? file.external : undefined;
    if (weights) written.push({ temporary: (await writeChunks(dataPath, weights, options)).temporary, path: dataPath });
    const main = await writeChunks(path, file, options);
    written.push({ temporary: main.temporary, path });
    for (const { temporary, path: final } of written) await rename(temporary, final);
    const files = weights ? [path, dataPath] : [path];
    return { bytes: file.byteLength + (weights?.byteLength ?? 0), digest: main.digest, files };
  } catch (cause) {
    for (const { temporary } of written) await rm(temporary, { force: true });
    return fileError("MODEL_WRITE", path, cause);
  }
}

/** Streams chunks to a temporary file beside `path`. The digest is computed while the system writes. */
async function writeChunks(path: string, file: FileChunks, { signal, onProgress }: RunOptions) {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  const hash = createHash("sha256");
  const handle = await open(temporary, "wx");
  try {
    let done = 0;
    for (const batch of batches(file.chunks)) {
      signal?.throwIfAborted();
      const buffers = batch.map(chunkBytes);
      const writing = writeAll(handle, buffers);
      for (const buffer of buffers) hash.update(buffer);
      done += await writing;
      onProgress?.({ step: "write", done, total: file.byteLength });
    }
    await handle.close();
    return { temporary, digest: hash.digest("hex") };
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Groups of chunks for one system call each: at most 512 chunks, and about 32 MB so that hashing and writing overlap. */
function* batches(chunks: readonly Chunk[]): Generator<Chunk[]> {
  let batch: Chunk[] = [];
  let bytes = 0;
  for (const chunk of chunks) {
    batch.push(chunk);
    bytes += chunk.byteLength;
    if (batch.length < 512 && bytes < 1 << 25) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** One gathered write; what the system did not take at once follows. */
async function writeAll(handle: FileHandle, buffers: readonly Uint8Array[]): Promise<number> {
  const total = buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0);
  if (total === 0) return 0;
  let skip = total <= batchBytes ? (await handle.writev(buffers as Uint8Array[])).bytesWritten : 0;
  for (const buffer of buffers) {
    if (skip >= buffer.byteLength) {
      skip -= buffer.byteLength;
      continue;
    }
    for (let at = skip; at < buffer.byteLength; )
      at += (await handle.write(buffer, at, Math.min(batchBytes, buffer.byteLength - at))).bytesWritten;
    skip = 0;
  }
  return total;
}

/** SHA-256 of a file's bytes, hex; the file is streamed. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  const handle = await open(path).catch((cause) => fileError("FILE_NOT_FOUND", path, cause));
  try {
    const block = Buffer.allocUnsafeSlow(1 << 20);
    for (;;) {
      const { bytesRead } = await handle.read(block, 0, block.byteLength, null);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(block.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** Bytes of a model on disk, its external data not included. */
export const fileBytes = async (path: string): Promise<number> =>
  (await stat(path).catch((cause) => fileError("FILE_NOT_FOUND", path, cause))).size;
