import { describe, expect, it } from "vitest";
import { float32Tensor, type Outputs, type PreparedSample, type Tensor, toFloat32 } from "../ir/index.ts";
import type { Session } from "../runtime/executor.ts";
import { collectReference, evaluateAccuracy } from "./accuracy.ts";
import { compareAccuracy } from "./accuracy-compare.ts";
import { keptRows, Reference } from "./accuracy-reference.ts";
import { measurementSchema } from "./measurement.ts";
import { findTask, guessTask, resolveTask, tasks } from "./task.ts";

const circumstances = { subject: "digest", device: "test", versions: {} };
const classes = 4;

/** Scores `gain` on the class in the input's first element, after noise of the sample's own; records the batch of each run. */
function sessionOf(change: (value: number) => number, batchDim: number | string = "N"): Session & { readonly batches: number[] } {
  const batches: number[] = [];
  return {
    batches,
    inputs: [{ name: "x", type: { dtype: "float32", shape: [batchDim, 1] } }],
    outputNames: ["y"],
    async run({ x }) {
      const values = toFloat32(x as Tensor);
      batches.push(values.length);
      const rows = Array.from(values, (value) => Array.from({ length: classes }, (_, c) => (c === change(value) ? 5 : c / 10)));
      return { y: float32Tensor([values.length, classes], rows.flat()) };
    },
    release: async () => undefined,
  };
}

const sampleOf = (index: number, label: number): PreparedSample => ({
  id: `sample ${index}`,
  origin: `${index}.jpg`,
  feeds: { x: float32Tensor([1, 1], [index % classes]) },
  target: { kind: "class", index: label },
  geometry: {},
});
async function* samples(n: number): AsyncGenerator<PreparedSample> {
  // every tenth label is wrong: 90 % at best
  for (let i = 0; i < n; i++) yield sampleOf(i, i % 10 === 9 ? (i + 1) % classes : i % classes);
}
const task = resolveTask(findTask("classification"));
const perfect = (value: number): number => value;

describe("evaluateAccuracy", () => {
  it("gives every metric of the task in one sweep, with intervals, as measurements", async () => {
    const session = sessionOf(perfect);
    const result = await evaluateAccuracy({ ...circumstances, session, samples: samples(100), task });
    expect(session.batches).toHaveLength(100);
    // top-5 says nothing about 4 classes
    expect(result.scores.map(({ metric }) => metric)).toEqual(["top-1"]);
    const [measurement] = result.measurements;
    expect(measurementSchema.parse(measurement)).toMatchObject({ metric: "top-1", unit: "%", value: 90, subject: "digest" });
    // Wilson for 90 of 100
    expect(measurement?.interval?.[0]).toBeCloseTo(82.56, 1);
    expect(measurement?.interval?.[1]).toBeCloseTo(94.48, 1);
    expect(measurement?.protocol).toContain("n=100");
  });

  it("gives the same in batches, and runs a rest alone", async () => {
    const session = sessionOf(perfect);
    const result = await evaluateAccuracy({ ...circumstances, session, samples: samples(10), task, batch: 4 });
    expect(session.batches).toEqual([4, 4, 2]);
    expect(result.scores[0]?.perSample).toEqual([100, 100, 100, 100, 100, 100, 100, 100, 100, 0]);
  });

  it("fills a fixed batch and counts no sample twice", async () => {
    const session = sessionOf(perfect, 4);
    const result = await evaluateAccuracy({ ...circumstances, session, samples: samples(10), task });
    expect(session.batches).toEqual([4, 4, 4]);
    expect(result.n).toBe(10);
    expect(result.scores[0]?.value).toBe(90);
  });

  it("goes one by one where an output has no batch axis", async () => {
    const batched = sessionOf(perfect);
    const session: Session = {
      ...batched,
      run: async (feeds) => ({
        y: ((await batched.run(feeds)).y as Tensor).reshape([((feeds.x as Tensor).shape[0] as number) * classes]),
      }),
    };
    const result = await evaluateAccuracy({ ...circumstances, session, samples: samples(10), task, batch: 5 });
    expect(result.scores[0]?.value).toBe(90);
  });

  it("lets a plug-in drive the session", async () => {
    const run = async ({ sample }: { readonly sample: PreparedSample }): Promise<Outputs> => ({ y: sample.feeds.x as Tensor });
    const plugged = resolveTask(findTask("classification"), { plugins: [{ run }] });
    const few = (async function* () {
      for (let i = 0; i < 4; i++) yield sampleOf(i % 2, i < 2 ? 0 : 1);
    })();
    const result = await evaluateAccuracy({ ...circumstances, session: sessionOf(perfect), samples: few, task: plugged });
    // a single score: 0 is class 0, 1 is class 1
    expect(result.scores[0]?.perSample).toEqual([100, 0, 0, 100]);
  });

  it("says clearly what does not fit the model", async () => {
    const run = (feeds: Record<string, Tensor>) =>
      evaluateAccuracy({
        ...circumstances,
        session: sessionOf(perfect),
        task,
        samples: (async function* () {
          yield { ...sampleOf(0, 0), feeds };
        })(),
      });
    await expect(run({ z: float32Tensor([1, 1], [0]) })).rejects.toThrow(/no input "z"/);
    await expect(run({})).rejects.toThrow(/nothing for the model's input "x" \(float32\[N,1\]\)/);
    await expect(run({ x: float32Tensor([1, 2], [0, 0]) })).rejects.toThrow(
      /wants float32\[N,1\], but the preprocessing makes float32\[1,2\]/,
    );
    await expect(evaluateAccuracy({ ...circumstances, session: sessionOf(perfect), samples: samples(0), task })).rejects.toThrow(
      /no sample/,
    );
  });

  it("a model that gives NaN has no measurement but a warning", async () => {
    const session = { ...sessionOf(perfect), run: async () => ({ y: float32Tensor([1, 1], [Number.NaN]) }) };
    const regression = resolveTask(findTask("regression"));
    const result = await evaluateAccuracy({
      ...circumstances,
      session,
      task: regression,
      samples: (async function* () {
        yield { ...sampleOf(0, 0), target: { kind: "tensor" as const, tensor: float32Tensor([1], [1]) } };
      })(),
    });
    expect(result.measurements).toEqual([]);
    expect(result.warnings[0]).toContain("mse is NaN");
  });

  it("stops when asked", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(
      evaluateAccuracy({ ...circumstances, session: sessionOf(perfect), samples: samples(5), task }, { signal }),
    ).rejects.toThrow("enough");
  });
});

describe("compareAccuracy", () => {
  const worse = (value: number): number => (value === 3 ? 0 : value);
  it("pairs samples: difference, interval, McNemar, fidelity without a second run of the original", async () => {
    const baseline = await collectReference({ ...circumstances, session: sessionOf(perfect), samples: samples(200), task });
    const candidate = await evaluateAccuracy({
      ...circumstances,
      session: sessionOf(worse),
      samples: samples(200),
      task,
      reference: baseline.reference,
    });
    const comparison = compareAccuracy(baseline, candidate);
    const top1 = comparison.differences[0];
    // class 3 is a quarter of the samples; of those, every fifth was labelled wrongly: as class 0, which the candidate now hits
    expect(top1?.mcNemar).toMatchObject({ lost: 40, gained: 10 });
    expect(top1?.difference).toBeCloseTo(-15, 10);
    expect(top1?.drop).toBeCloseTo(15, 10);
    expect(top1?.interval?.[1]).toBeLessThan(0);
    const fidelity = Object.fromEntries(comparison.fidelity.map(({ metric, value }) => [metric, value]));
    expect(fidelity.agreement).toBe(75);
    expect(fidelity.kl).toBeGreaterThan(0.5);
    expect(Object.keys(fidelity)).toEqual(["agreement", "kl", "cosine", "sqnr"]);
  });
  it("the original against itself is no different", async () => {
    const baseline = await collectReference({ ...circumstances, session: sessionOf(perfect), samples: samples(20), task });
    const again = await evaluateAccuracy({
      ...circumstances,
      session: sessionOf(perfect),
      samples: samples(20),
      task,
      reference: baseline.reference,
    });
    const comparison = compareAccuracy(baseline, again);
    expect(comparison.differences[0]).toMatchObject({ difference: 0, interval: [0, 0] });
    expect(comparison.fidelity.map(({ value }) => value)).toEqual([100, 0, 1, 200]);
  });
  it("refuses other samples", async () => {
    const one = await evaluateAccuracy({ ...circumstances, session: sessionOf(perfect), samples: samples(20), task });
    const other = await evaluateAccuracy({ ...circumstances, session: sessionOf(perfect), samples: samples(21), task });
    expect(() => compareAccuracy(one, other)).toThrow(/not measured on the same samples/);
  });
});

describe("reference", () => {
  it("keeps large outputs as evenly spaced whole rows", () => {
    const tensor = float32Tensor(
      [1, 8, 3],
      Array.from({ length: 24 }, (_, i) => i),
    );
    const kept = keptRows(tensor, 9);
    expect(kept.shape).toEqual([3, 3]);
    expect(Array.from(toFloat32(kept))).toEqual([3, 4, 5, 12, 13, 14, 18, 19, 20]);
    expect(keptRows(tensor, 24)).toBe(tensor);
    expect(keptRows(tensor, 1).shape).toEqual([1, 3]);
  });
  it("stops at its byte limit without gaps", () => {
    const reference = new Reference({ maxBytes: 20 });
    for (const [id, count] of [
      ["a", 3],
      ["b", 3],
      ["c", 1],
    ] as const)
      reference.keep(id, { y: float32Tensor([count], new Array(count).fill(0)) });
    expect([reference.size, reference.bytes]).toEqual([1, 12]);
    expect(reference.get("c")).toBeUndefined();
  });
});

describe("tasks", () => {
  it("every task's metrics and post-processes exist and take their options", () => {
    for (const definition of tasks) {
      const resolved = resolveTask(definition);
      expect(resolved.metrics.length).toBe(definition.metrics.length);
      expect(resolved.fidelity.every((chosen) => chosen.definition.against === "reference")).toBe(true);
    }
  });
  it("labels say which task it is", () => {
    expect(guessTask("class").name).toBe("classification");
    expect(guessTask("class", true).name).toBe("text-classification");
    expect(guessTask("image").name).toBe("super-resolution");
    expect(guessTask(undefined).name).toBe("fidelity");
    expect(() => findTask("sorting")).toThrow(/no task called "sorting"/);
  });
});
