import { readFile } from "node:fs/promises";
import { evaluationBatches, type SampleStore } from "../../data/train/index.ts";
import { encodeSafetensors, readSafetensors } from "../../formats/index.ts";
import { numel, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { writeWhole } from "../workspace.ts";
import { type Teacher, teacherLogits } from "./teacher.ts";

/** Logits of a whole data set: taught once, read in every epoch. */
export class CachedLogits {
  readonly #logits: Float32Array;
  readonly #shape: readonly number[];
  readonly #rows: ReadonlyMap<number, number>;

  private constructor(logits: Tensor, store: SampleStore) {
    this.#logits = toFloat32(logits);
    this.#shape = logits.shape.slice(1);
    this.#rows = new Map(Array.from({ length: store.length }, (_, position) => [store.index(position), position]));
  }

  /** Reads the file where it belongs to this teacher and these samples, else asks the teacher and writes it. */
  static async open(
    path: string,
    store: SampleStore,
    source: { readonly teacher: Teacher; readonly digest: string; readonly batch: number },
    options: RunOptions,
  ): Promise<CachedLogits> {
    const known = await readFile(path).catch(() => undefined);
    if (known) return new CachedLogits(checked(path, new Uint8Array(known), source.digest, store), store);
    const logits = await ask(store, source, options);
    const metadata = { teacher: source.digest, samples: String(store.length) };
    await writeWhole(path, encodeSafetensors({ tensors: { logits }, metadata }));
    return new CachedLogits(logits, store);
  }

  /** Rows of a batch, by the samples' positions in the data set. */
  rows(indices: Uint32Array): Tensor {
    const width = numel(this.#shape);
    const rows = new Float32Array(indices.length * width);
    indices.forEach((index, i) => {
      const row = this.#rows.get(index) as number;
      rows.set(this.#logits.subarray(row * width, (row + 1) * width), i * width);
    });
    return tensorOf("float32", [indices.length, ...this.#shape], rows);
  }
}

function checked(path: string, bytes: Uint8Array, digest: string, store: SampleStore): Tensor {
  const { tensors, metadata } = readSafetensors(bytes);
  const { logits } = tensors;
  if (metadata.teacher === digest && metadata.samples === String(store.length) && logits?.shape[0] === store.length)
    return logits;
  throw new EdgewrightError("DISTILL_CACHE", `The cached logits in "${path}" belong to another teacher or other samples.`, {
    subject: path,
    hint: "Delete the file, or name another one.",
  });
}

async function ask(
  store: SampleStore,
  { teacher, batch }: { readonly teacher: Teacher; readonly batch: number },
  options: RunOptions,
): Promise<Tensor> {
  let all: Float32Array | undefined;
  let shape: readonly number[] = [];
  let done = 0;
  for await (const one of evaluationBatches(store, { batch, targets: { form: "none" }, signal: options.signal })) {
    const logits = (await teacher.teach(one.feeds))[teacherLogits] as Tensor;
    shape = logits.shape.slice(1);
    const width = numel(shape);
    all ??= new Float32Array(store.length * width);
    all.set(toFloat32(logits).subarray(0, one.count * width), done * width);
    done += one.count;
    options.onProgress?.({ step: "ask the teacher", done, total: store.length });
  }
  return tensorOf("float32", [store.length, ...shape], all ?? []);
}
