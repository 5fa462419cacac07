import { formatShape, isStatic, type Outputs, type PreparedSample, Tensor } from "../ir/index.ts";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import type { RunSample } from "./task.ts";

/** A sample with what the model made of it; batch axis 1. */
export interface Ran {
  readonly sample: PreparedSample;
  readonly outputs: Outputs;
}

/** Compares a sample's tensors with what the model declares: every mistake here is the data's or the preprocessing's. */
export function checkFeeds(session: Session, sample: PreparedSample): void {
  const names = session.inputs.map((input) => input.name);
  for (const name of Object.keys(sample.feeds))
    if (!names.includes(name))
      throw new EdgewrightError("INPUT_UNKNOWN", `The model has no input "${name}".`, {
        subject: sample.origin,
        hint: `Its inputs: ${names.join(", ")}. Name the right one in the preprocessing.`,
      });
  for (const { name, type } of session.inputs) {
    const tensor = sample.feeds[name];
    if (!tensor)
      throw new EdgewrightError(
        "INPUT_MISSING",
        `The data give nothing for the model's input "${name}" (${type.dtype}${formatShape(type.shape)}).`,
        {
          subject: sample.origin,
          hint: `The samples have: ${Object.keys(sample.feeds).join(", ") || "nothing"}.`,
        },
      );
    const fits =
      type.shape === undefined ||
      (type.shape.length === tensor.shape.length &&
        type.shape.every((dim, axis) => typeof dim !== "number" || dim === tensor.shape[axis] || axis === 0));
    if (!fits || tensor.dtype !== type.dtype)
      throw new EdgewrightError(
        "INPUT_SHAPE",
        `Input "${name}" wants ${type.dtype}${formatShape(type.shape)}, but the preprocessing makes ${tensor.dtype}${formatShape(tensor.shape)}.`,
        { subject: sample.origin, hint: "Change size, layout or element type in the preprocessing (--preprocess)." },
      );
  }
}

/** How many samples go into one run: the model's own batch when it is fixed, else what was asked for where it is free. */
export function batchSize(session: Session, asked: number): number {
  const first = session.inputs.map((input) => input.type.shape?.[0]);
  const fixed = first.find((dim) => typeof dim === "number");
  if (typeof fixed === "number") return first.every((dim) => dim === fixed) ? Math.max(1, fixed) : 1;
  return session.inputs.every((input) => (input.type.shape?.length ?? 0) > 0) ? asked : 1;
}

const sameShapes = (a: PreparedSample, b: PreparedSample): boolean =>
  Object.entries(a.feeds).every(([name, tensor]) => String(tensor.shape) === String(b.feeds[name]?.shape));

/** Samples in groups of `size`, shorter where shapes change and at the end. Reading ahead is the loader's. */
async function* groups(samples: AsyncIterable<PreparedSample>, size: number): AsyncGenerator<PreparedSample[]> {
  let group: PreparedSample[] = [];
  for await (const sample of samples) {
    if (group[0] && !sameShapes(group[0], sample)) {
      yield group;
      group = [];
    }
    group.push(sample);
    if (group.length === size) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}

/** Tensors of batch 1 stacked along axis 0; the last one repeats where a fixed batch is not filled. */
export function stack(tensors: readonly Tensor[], count = tensors.length): Tensor {
  const first = tensors[0] as Tensor;
  if (tensors.length === 1 && count === 1) return first;
  const each = first.byteLength;
  const bytes = new Uint8Array(each * count);
  for (let i = 0; i < count; i++) bytes.set((tensors[Math.min(i, tensors.length - 1)] as Tensor).bytes(), i * each);
  return new Tensor(first.dtype, [count * (first.shape[0] ?? 1), ...first.shape.slice(1)], bytes);
}

/** One sample's part of a batch; undefined when axis 0 is not the batch. Copies, so that a kept part does not keep the batch. */
function part(tensor: Tensor, index: number, count: number): Tensor | undefined {
  if (tensor.shape[0] !== count || tensor.dtype === "string") return undefined;
  const each = tensor.byteLength / count;
  return new Tensor(tensor.dtype, [1, ...tensor.shape.slice(1)], tensor.bytes().slice(index * each, (index + 1) * each));
}

async function runGroup(session: Session, group: readonly PreparedSample[], count: number): Promise<Outputs[] | undefined> {
  const first = group[0] as PreparedSample;
  const feeds = Object.fromEntries(
    Object.keys(first.feeds).map((name) => [
      name,
      stack(
        group.map((sample) => sample.feeds[name] as Tensor),
        count,
      ),
    ]),
  );
  const outputs = await session.run(feeds);
  if (count === 1) return [outputs];
  const parts = group.map((_, i) => Object.entries(outputs).map(([name, tensor]) => [name, part(tensor, i, count)] as const));
  if (parts.some((entries) => entries.some(([, tensor]) => tensor === undefined))) return undefined;
  return parts.map((entries) => Object.fromEntries(entries as [string, Tensor][]));
}

/** Runs every sample once and gives the outputs in order; holds no more than one batch. */
export async function* runSamples(
  session: Session,
  samples: AsyncIterable<PreparedSample>,
  { run, batch = 1 }: { readonly run?: RunSample | undefined; readonly batch?: number | undefined },
  { signal }: RunOptions = {},
): AsyncGenerator<Ran> {
  const size = run ? 1 : batchSize(session, batch);
  const fixed = session.inputs.some((input) => isStatic(input.type.shape?.slice(0, 1)));
  let together = true;
  let checked = false;
  for await (const group of groups(samples, size)) {
    signal?.throwIfAborted();
    if (!run && !checked) checkFeeds(session, group[0] as PreparedSample);
    checked = true;
    if (run) {
      for (const sample of group) yield { sample, outputs: await run({ session, sample, signal }) };
      continue;
    }
    const outputs = together ? await runGroup(session, group, fixed ? size : group.length) : undefined;
    if (outputs) for (const [i, sample] of group.entries()) yield { sample, outputs: outputs[i] as Outputs };
    else {
      // an output without a batch axis: from here on one by one
      together = false;
      for (const sample of group) yield { sample, outputs: ((await runGroup(session, [sample], 1)) as Outputs[])[0] as Outputs };
    }
  }
}
