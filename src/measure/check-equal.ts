import { z } from "zod";
import { numel, type Outputs, type Tensor, type TensorType, toNumbers } from "../ir/index.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { randomInputs } from "./random-inputs.ts";

export const equalityReportSchema = z.object({
  /** Inputs that both models were run on. */
  runs: z.number(),
  /** Largest difference over all outputs, absolute and relative to the largest magnitude of its output. */
  maxAbsolute: z.number(),
  maxRelative: z.number(),
  /** Bound on `maxRelative`. */
  tolerance: z.number(),
  equal: z.boolean(),
  outputs: z.array(z.object({ name: z.string(), maxAbsolute: z.number(), maxRelative: z.number() })),
  executor: z.string(),
});
export type EqualityReport = z.infer<typeof equalityReportSchema>;

type Feeds = Readonly<Record<string, Tensor>>;

export interface CheckOptions extends RunOptions {
  readonly executor?: Executor;
  /** Inputs to compare on; default: two seeded random ones, the second with larger extents where the model leaves them open. */
  readonly samples?: readonly Feeds[];
  readonly seed?: number;
  /** Shapes of inputs by name, where open extents should not be chosen here. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly tolerance?: number;
}

/**
 * Folding and fusing change the order of float32 operations. That costs about 1e-7 of an output's magnitude a layer and grows with
 * depth; real networks of a hundred layers stay below 1e-5. A wrong rewrite is off by far more than this.
 */
export const defaultTolerance = 1e-4;

/** Runs two models (bytes or paths) on the same inputs and compares every output of the first with its namesake in the second. */
export async function checkEqual(
  original: Uint8Array | string,
  changed: Uint8Array | string,
  options: CheckOptions = {},
): Promise<EqualityReport> {
  const { executor = ortNode, tolerance = defaultTolerance, signal, onProgress } = options;
  const before = await executor.load(original);
  try {
    const after = await executor.load(changed);
    try {
      const differences = new Map<string, Difference>(before.outputNames.map((name) => [name, { absolute: 0, relative: 0 }]));
      const inputs = options.samples ?? (await usableInputs(before, options));
      for (const [i, feeds] of inputs.entries()) {
        signal?.throwIfAborted();
        compareRun(await before.run(feeds), await after.run(accepted(after, feeds)), differences);
        onProgress?.({ step: "compare", done: i + 1, total: inputs.length });
      }
      return report(differences, inputs.length, tolerance, executor.name);
    } finally {
      await after.release();
    }
  } finally {
    await before.release();
  }
}

interface Difference {
  absolute: number;
  relative: number;
}

const accepted = (session: Session, feeds: Feeds): Feeds =>
  Object.fromEntries(session.inputs.flatMap(({ name }) => (feeds[name] ? [[name, feeds[name]]] : [])));

/** Random inputs with open extents 1, and with larger ones where the original model runs on those. */
async function usableInputs(session: Session, options: CheckOptions): Promise<Feeds[]> {
  const seed = options.seed ?? 1;
  const shapes = options.shapes ?? {};
  const large = Object.fromEntries(session.inputs.map(({ name, type }) => [name, shapes[name] ?? enlarged(type)]));
  const candidates = [
    randomInputs(session.inputs, { seed, shapes }).feeds,
    randomInputs(session.inputs, { seed: seed + 1, shapes: large }).feeds,
  ];
  const usable: Feeds[] = [];
  let failure: unknown;
  for (const feeds of candidates) {
    try {
      await session.run(feeds);
      usable.push(feeds);
    } catch (error) {
      failure ??= error;
    }
  }
  if (usable.length === 0)
    throw new EdgewrightError(
      "CHECK_INPUTS",
      "The original model does not run on random inputs, so there is nothing to compare.",
      {
        hint: "Give the shapes of its inputs with --shape name=1,3,224,224, or leave the comparison out with --no-check.",
        cause: failure,
      },
    );
  return usable;
}

/** Open extents become 2, 3, 4, ... by name, so that none equals another by chance. */
function enlarged(type: TensorType): number[] {
  const names: string[] = [];
  return (type.shape ?? []).map((dim) => {
    if (typeof dim === "number") return dim;
    if (!names.includes(dim)) names.push(dim);
    return 2 + names.indexOf(dim);
  });
}

function compareRun(expected: Outputs, actual: Outputs, differences: Map<string, Difference>): void {
  for (const [name, difference] of differences) {
    const [a, b] = [expected[name], actual[name]];
    const found = a && b ? compareTensors(a, b) : { absolute: Number.POSITIVE_INFINITY, relative: Number.POSITIVE_INFINITY };
    difference.absolute = Math.max(difference.absolute, found.absolute);
    difference.relative = Math.max(difference.relative, found.relative);
  }
}

/** Largest difference of two tensors. NaN equals NaN and an infinity itself; a different type or shape is infinitely different. */
export function compareTensors(a: Tensor, b: Tensor): Difference {
  const infinite = { absolute: Number.POSITIVE_INFINITY, relative: Number.POSITIVE_INFINITY };
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return infinite;
  if (a.strings || b.strings) return a.strings?.join("\0") === b.strings?.join("\0") ? { absolute: 0, relative: 0 } : infinite;
  if (numel(a.shape) === 0) return { absolute: 0, relative: 0 };
  const [x, y] = [toNumbers(a), toNumbers(b)];
  let [absolute, magnitude] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [x[i] as number, y[i] as number];
    if (p === q || (Number.isNaN(p) && Number.isNaN(q))) magnitude = Math.max(magnitude, Number.isFinite(p) ? Math.abs(p) : 0);
    else if (!Number.isFinite(p) || !Number.isFinite(q)) return infinite;
    else {
      absolute = Math.max(absolute, Math.abs(p - q));
      magnitude = Math.max(magnitude, Math.abs(p));
    }
  }
  return { absolute, relative: absolute === 0 ? 0 : absolute / magnitude };
}

function report(differences: Map<string, Difference>, runs: number, tolerance: number, executor: string): EqualityReport {
  const outputs = [...differences].map(([name, d]) => ({ name, maxAbsolute: d.absolute, maxRelative: d.relative }));
  const maxRelative = Math.max(0, ...outputs.map((output) => output.maxRelative));
  const maxAbsolute = Math.max(0, ...outputs.map((output) => output.maxAbsolute));
  return { runs, maxAbsolute, maxRelative, tolerance, equal: maxRelative <= tolerance, outputs, executor };
}
