import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Dataset,
  type LabelKind,
  type ModelInput,
  openDataset,
  type PrepareOptions,
  type PreprocessInput,
  prepareSamples,
  sampleDigest,
  splitOf,
} from "../../src/data/index.ts";
import type { PreparedSample, Target } from "../../src/ir/index.ts";
import { noRealData, realData } from "../real-data.ts";

/** A data set of one kind that the suite can make, and what must come out of it. */
export interface DatasetCase {
  readonly kind: string;
  readonly title: string;
  /** Writes the data into an empty folder; returns the path to open and its options. */
  readonly build: (folder: string) => Promise<{ readonly path: string; readonly options?: Readonly<Record<string, unknown>> }>;
  readonly length: number;
  readonly features: readonly string[];
  readonly label: LabelKind | undefined;
  readonly classes?: readonly string[];
  /** The targets in stored order, class indices as numbers. */
  readonly targets?: readonly (number | Target | undefined)[];
  readonly inputs: readonly ModelInput[];
  readonly preprocess: string | PreprocessInput;
  /** Input name → the first numbers of the first sample. */
  readonly firstValues?: Readonly<Record<string, readonly number[]>>;
  /** Broken data of this kind: each must stop with this code, when opened or when read. */
  readonly broken: readonly {
    readonly title: string;
    readonly build: DatasetCase["build"];
    readonly code: string;
    /** The message must name the offending piece. */
    readonly names: string;
    /** Left out and counted with onCorrupt: "skip"; default: no, the data as a whole are wrong. */
    readonly skippable?: boolean;
  }[];
  readonly real?: {
    readonly path: readonly string[];
    readonly options?: Readonly<Record<string, unknown>>;
    readonly length: number;
    readonly inputs: readonly ModelInput[];
    readonly preprocess: string | PreprocessInput;
    readonly check?: (samples: readonly PreparedSample[], dataset: Dataset) => void;
    readonly take: number;
  };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A fresh folder for the tests of one describe block. */
export function temporaryFolder(): { path(...parts: string[]): string; fresh(): Promise<string> } {
  let root = "";
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "edgewright-data-"));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));
  return { path: (...parts) => join(root, ...parts), fresh: () => mkdtemp(join(root, "case-")) };
}

/** The data set, counting how many samples are read from it. */
function counted(dataset: Dataset): Dataset & { reads: number } {
  const watched = {
    ...dataset,
    reads: 0,
    sample: (index: number) => {
      watched.reads++;
      return dataset.sample(index);
    },
  };
  return watched;
}

const plain = (target: Target | undefined): number | Target | undefined => (target?.kind === "class" ? target.index : target);
const contents = (samples: readonly PreparedSample[]): unknown =>
  samples.map(({ id, origin, feeds }) => [id, origin, Object.entries(feeds).map(([name, t]) => [name, t.shape, [...t.bytes()]])]);

type Built = Awaited<ReturnType<DatasetCase["build"]>>;
/** What the parts of the suite share: the case, its folder, and the data set once it is open. */
interface Context {
  readonly one: DatasetCase;
  readonly folder: ReturnType<typeof temporaryFolder>;
  readonly built: () => Built;
  readonly dataset: () => Dataset;
  readonly prepare: (from: Dataset, options?: PrepareOptions) => AsyncIterable<PreparedSample>;
}

/** What every kind of data must do: be recognised, hold what it holds, stream, repeat, split by content, and name what is broken. */
export function testDataset(one: DatasetCase): void {
  describe(`${one.kind} data: ${one.title}`, () => {
    const folder = temporaryFolder();
    let dataset: Dataset;
    let built: Built;
    beforeAll(async () => {
      built = await one.build(await folder.fresh());
      dataset = await openDataset(built.path, built.options);
    });
    const prepare: Context["prepare"] = (from, options = {}) => prepareSamples(from, one.preprocess, one.inputs, options);
    const context: Context = { one, folder, built: () => built, dataset: () => dataset, prepare };
    testContents(context);
    testStreaming(context);
    testBroken(context);
    testReal(one);
  });
}

function testContents({ one, built, dataset, prepare }: Context): void {
  it("is recognised and described", () => {
    expect(dataset().kind).toBe(one.kind);
    expect(dataset().summary).toContain("because it");
    expect(dataset().length).toBe(one.length);
    expect(dataset().features.map((feature) => feature.name)).toEqual(one.features);
    expect(dataset().label).toBe(one.label);
    if (one.classes) expect(dataset().classes).toEqual(one.classes);
  });

  it("gives samples with their own names, the same each time", async () => {
    const indices = Array.from({ length: dataset().length }, (_, i) => i);
    expect(new Set(indices.map((i) => dataset().origin(i))).size).toBe(dataset().length);
    for (const index of indices.slice(0, 5)) {
      const [a, b] = [await dataset().sample(index), await dataset().sample(index)];
      expect(sampleDigest(a)).toBe(sampleDigest(b));
    }
    await expect(dataset().sample(dataset().length)).rejects.toMatchObject({ code: "DATA_INDEX" });
  });

  it("becomes the model's inputs, with the labels in place", async () => {
    const samples = await collect(prepare(dataset(), { shuffle: false }));
    expect(samples).toHaveLength(one.length);
    for (const { feeds } of samples) {
      expect(Object.keys(feeds).sort()).toEqual(one.inputs.map((input) => input.name).sort());
      for (const { name, type } of one.inputs) {
        expect(feeds[name]?.dtype).toBe(type.dtype);
        type.shape?.forEach((dim, axis) => {
          if (typeof dim === "number") expect(feeds[name]?.shape[axis]).toBe(dim);
        });
      }
    }
    if (one.targets) expect(samples.map((sample) => plain(sample.target))).toEqual(one.targets);
    for (const [name, values] of Object.entries(one.firstValues ?? {})) {
      const tensor = samples[0]?.feeds[name];
      const bytes = tensor?.bytes().slice() as Uint8Array;
      const numbers =
        tensor?.dtype === "int64"
          ? Array.from(new BigInt64Array(bytes.buffer), Number)
          : Array.from(new Float32Array(bytes.buffer));
      // float32 holds 24 bits: 6 digits of numbers near 1 are exact
      for (const [i, value] of values.entries()) expect(numbers[i]).toBeCloseTo(value, 5);
    }
  });

  it("refuses options it does not know", async () => {
    await expect(openDataset(built().path, { ...built().options, kind: one.kind, colour: "red" })).rejects.toMatchObject({
      code: "DATA_OPTIONS",
    });
  });
}

function testStreaming({ dataset, prepare }: Context): void {
  it("comes in the same order for the same seed, and `limit` takes the first of that order", async () => {
    const all = contents(await collect(prepare(dataset(), { seed: 3 })));
    expect(contents(await collect(prepare(dataset(), { seed: 3 })))).toEqual(all);
    expect(contents(await collect(prepare(dataset(), { seed: 3, limit: 2 })))).toEqual((all as unknown[]).slice(0, 2));
  });

  it("is read as it is consumed", async () => {
    const watched = counted(dataset());
    for await (const _ of prepare(watched, { ahead: 2 })) break;
    expect(watched.reads).toBeLessThanOrEqual(3);
  });

  it("is split by content: every sample in the split its digest names", async () => {
    const fractions = { calibration: 0.4, selection: 0.3, final: 0.3 };
    const all = await collect(prepare(dataset()));
    for (const split of ["calibration", "selection", "final"] as const) {
      const expected = all.filter((sample) => splitOf(sample.id, 0, fractions) === split).map((sample) => sample.origin);
      const options = { split, fractions };
      if (expected.length === 0) await expect(collect(prepare(dataset(), options))).rejects.toMatchObject({ code: "DATA_EMPTY" });
      else expect((await collect(prepare(dataset(), options))).map((sample) => sample.origin)).toEqual(expected);
    }
  });

  it("stops when asked to", async () => {
    const controller = new AbortController();
    const seen: PreparedSample[] = [];
    const run = async (): Promise<void> => {
      for await (const sample of prepare(dataset(), { signal: controller.signal })) {
        seen.push(sample);
        controller.abort(new Error("enough"));
      }
    };
    await expect(run()).rejects.toThrow("enough");
    expect(seen).toHaveLength(1);
  });
}

function testBroken({ one, folder, prepare }: Context): void {
  describe.each(one.broken)("$title", ({ build, code, names, skippable }) => {
    const run = async (onCorrupt: "fail" | "skip", onSkipped?: () => void): Promise<PreparedSample[]> => {
      const broken = await build(await folder.fresh());
      const opened = await openDataset(broken.path, { kind: one.kind, ...broken.options, onCorrupt });
      return collect(prepare(opened, { onSkipped }));
    };
    it(`stops with ${code}`, async () => {
      await expect(run("fail")).rejects.toMatchObject({
        name: "EdgewrightError",
        code,
        message: expect.stringContaining(names),
      });
    });
    if (skippable)
      it("is left out and counted when asked", async () => {
        let skipped = 0;
        const left = await run("skip", () => skipped++);
        expect(skipped).toBe(1);
        expect(left.length).toBeGreaterThan(0);
      });
  });
}

function testReal({ kind, real }: DatasetCase): void {
  if (real)
    describe.skipIf(noRealData)("on real data", () => {
      it("opens, counts and prepares", async () => {
        const opened = await openDataset(realData(...real.path), real.options);
        expect(opened.kind).toBe(kind);
        expect(opened.length).toBe(real.length);
        const samples = await collect(prepareSamples(opened, real.preprocess, real.inputs, { limit: real.take, shuffle: false }));
        expect(samples).toHaveLength(real.take);
        real.check?.(samples, opened);
      });
    });
}
