import { describe, expect, it } from "vitest";
import { collect } from "../../../test/suites/dataset.ts";
import { classes, pictureForm, pictureStore, pictures } from "../../../test/suites/training-samples.ts";
import { type PreparedSample, type Tensor, toNumbers } from "../../ir/index.ts";
import { evaluationBatches, type TrainingBatch, type TrainingBatchOptions, trainingBatches } from "./batches.ts";
import { storeSamples } from "./load.ts";
import { SampleStore } from "./store.ts";

const bytesOf = (batch: TrainingBatch) =>
  [...Object.entries(batch.feeds), ...Object.entries(batch.targets)].map(([name, tensor]) => [
    name,
    tensor.dtype,
    tensor.shape,
    Buffer.from(tensor.bytes()).toString("hex"),
  ]);
const everything: TrainingBatchOptions = {
  batch: 8,
  seed: 4,
  targets: { ...classes, labelSmoothing: 0.1 },
  augment: [{ name: "horizontal-flip" }, { name: "random-crop", padding: 1 }, { name: "random-erasing" }, { name: "mixup" }],
};

describe("epochs", () => {
  it("give each sample once, in an order of (seed, epoch), and leave an incomplete batch out", async () => {
    const store = await pictureStore(30);
    const source = trainingBatches(store, { batch: 8, targets: classes });
    expect(source.stepsPerEpoch).toBe(3);
    const order = async (epoch: number) => (await collect(source(epoch))).flatMap((batch) => [...batch.sampleIndices]);
    const first = await order(0);
    expect(first).toHaveLength(24);
    expect(new Set(first).size).toBe(24);
    expect(await order(0)).toEqual(first);
    expect(await order(1)).not.toEqual(first);
    const other = await collect(trainingBatches(store, { batch: 8, seed: 1, targets: classes })(0));
    expect(other.flatMap((batch) => [...batch.sampleIndices])).not.toEqual(first);
  });
  it("cover all samples when the last batch is filled", async () => {
    const source = trainingBatches(await pictureStore(30), { batch: 8, lastBatch: "fill", targets: classes });
    const all = await collect(source(2));
    expect(all.map(({ count, step }) => [count, step])).toEqual([0, 1, 2, 3].map((step) => [8, step]));
    const order = all.flatMap((batch) => [...batch.sampleIndices]);
    expect([...order.slice(0, 30)].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    // the two that fill up are different ones, of another pass
    expect(new Set(order.slice(30)).size).toBe(2);
  });
  it("repeat samples where the data are less than a batch, and say so", async () => {
    const source = trainingBatches(await pictureStore(3), { batch: 8, targets: classes });
    expect(source.note).toContain("3 samples, less than one batch of 8");
    const [batch, ...more] = await collect(source(0));
    expect(more).toEqual([]);
    const rows = [...(batch as TrainingBatch).sampleIndices];
    expect([0, 1, 2].map((i) => rows.filter((row) => row === i).length).sort()).toEqual([2, 3, 3]);
    expect(trainingBatches(await pictureStore(8), { batch: 8, targets: classes }).note).toBeUndefined();
  });
  it("hold the samples' own values and labels", async () => {
    const samples = pictures(10);
    const [batch] = await collect(trainingBatches(await storeSamples(samples), { batch: 10, targets: classes })(0));
    const { feeds, targets, sampleIndices } = batch as TrainingBatch;
    expect(feeds.x?.shape).toEqual([10, 1, 4, 4]);
    expect(targets.target?.shape).toEqual([10, 3]);
    const rows = toNumbers(targets.target as Tensor);
    for (const [row, index] of sampleIndices.entries()) {
      expect(toNumbers(feeds.x as Tensor).slice(16 * row, 16 * row + 16)).toEqual(toNumbers(samples[index]?.feeds.x as Tensor));
      expect(rows.slice(3 * row, 3 * row + 3)).toEqual([0, 1, 2].map((i) => (i === index % 3 ? 1 : 0)));
    }
  });
  it("are the same bytes each time, and from any step on", async () => {
    const store = await pictureStore(40);
    const whole = (await collect(trainingBatches(store, everything)(3))).map(bytesOf);
    const again = trainingBatches(await pictureStore(40), everything);
    expect((await collect(again(3))).map(bytesOf)).toEqual(whole);
    for (const step of [1, 3, 5]) expect((await collect(again(3, step))).map(bytesOf)).toEqual(whole.slice(step));
    expect((await collect(again(4))).map(bytesOf)).not.toEqual(whole);
  });
  it("vary a sample alike whatever the batch size", async () => {
    const store = await pictureStore(12);
    const rows = async (batch: number) => {
      const source = trainingBatches(store, { batch, targets: classes, augment: [{ name: "random-crop" }] });
      return (await collect(source(0))).flatMap(({ feeds }) => toNumbers(feeds.x as Tensor));
    };
    expect(await rows(4)).toEqual(await rows(6));
  });
  it("give every tensor a buffer of its own, for transfer to a worker", async () => {
    const [batch] = await collect(trainingBatches(await pictureStore(9), everything)(0));
    const { feeds, targets } = batch as TrainingBatch;
    const buffers = [...Object.values(feeds), ...Object.values(targets)].map((tensor) => tensor.bytes());
    for (const bytes of buffers) expect(bytes.byteLength).toBe(bytes.buffer.byteLength);
  });
  it("stop when asked to, and refuse an impossible batch", async () => {
    const controller = new AbortController();
    const store = await pictureStore(9);
    const source = trainingBatches(store, { batch: 3, targets: classes, signal: controller.signal });
    const run = async () => {
      for await (const _ of source(0)) controller.abort(new Error("enough"));
    };
    await expect(run()).rejects.toThrow("enough");
    expect(() => trainingBatches(store, { batch: 0, targets: classes })).toThrow("not 0");
  });
  it("read again what memory did not hold, to the same bytes", async () => {
    const samples = pictures(40);
    let reads = 0;
    const store = new SampleStore({
      budget: { left: 5000 },
      forms: new Map([["x", pictureForm]]),
      prepare: async (index) => {
        reads++;
        return samples[index] as PreparedSample;
      },
    });
    for (const [index, sample] of samples.entries())
      if (index === 0 || store.hasRoom) store.add(index, sample);
      else store.addUnread(index, sample.id, sample.origin, sample.target);
    expect(store.resident).toBeGreaterThan(5);
    expect(store.resident).toBeLessThan(35);
    const whole = (await collect(trainingBatches(await pictureStore(40), everything)(0))).map(bytesOf);
    expect((await collect(trainingBatches(store, everything)(0))).map(bytesOf)).toEqual(whole);
    expect(reads).toBe(40 - store.resident);
  });
});

describe("evaluation batches", () => {
  it("give every sample once in stored order; rows beyond the count have zero targets", async () => {
    const all = await collect(evaluationBatches(await pictureStore(10), { batch: 4, targets: classes }));
    expect(all.map(({ count }) => count)).toEqual([4, 4, 2]);
    expect(all.flatMap(({ sampleIndices, count }) => [...sampleIndices.subarray(0, count)])).toEqual(
      Array.from({ length: 10 }, (_, i) => i),
    );
    expect(toNumbers(all[2]?.targets.target as Tensor)).toEqual([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(all[2]?.feeds.x?.shape).toEqual([4, 1, 4, 4]);
  });
});
