import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verify } from "../../src/ir/index.ts";
import { inferShapes } from "../../src/ops/index.ts";
import { loadModel } from "../../src/runtime/model-file.ts";
import { EdgewrightError } from "../../src/util/errors.ts";

/** A change to the corpus' small model: cut it off, or flip one bit. */
export type Edit = { readonly cut: number } | { readonly flip: number; readonly bit: number };
export interface CorpusEntry {
  readonly name: string;
  /** The file itself, or how it comes from the small model. */
  readonly base64?: string;
  readonly edit?: Edit;
  /** The error's code, or "loads". */
  readonly expect: string;
}
export interface Corpus {
  readonly small: string;
  readonly entries: readonly CorpusEntry[];
}

export function entryBytes(corpus: Corpus, entry: CorpusEntry): Uint8Array {
  const source = Buffer.from(entry.base64 ?? corpus.small, "base64");
  const { edit } = entry;
  if (!edit) return source;
  if ("cut" in edit) return source.subarray(0, edit.cut);
  source[edit.flip] = (source[edit.flip] as number) ^ (1 << edit.bit);
  return source;
}

export interface Outcome {
  /** "loads", or the code of the EdgewrightError. */
  readonly code: string;
  readonly message: string;
  readonly milliseconds: number;
}

/** Loads a file from a folder of its own, verifies it and infers its shapes. Errors other than EdgewrightError are let through. */
export async function outcomeOf(bytes: Uint8Array): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "edgewright-corpus-"));
  const path = join(folder, "model.onnx");
  await writeFile(path, bytes);
  const start = performance.now();
  const done = (code: string, message = ""): Outcome => ({ code, message, milliseconds: performance.now() - start });
  try {
    const model = await loadModel(path);
    verify(model);
    inferShapes(model, { invalid: "warn" });
    return done("loads");
  } catch (error) {
    if (error instanceof EdgewrightError) return done(error.code, error.message);
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
