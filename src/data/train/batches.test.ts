import { describe, expect, it } from "vitest";
import { collect } from "../../../test/suites/dataset.ts";
import { float32Tensor, type PreparedSample, type Target, type Tensor, tensorOf, toNumbers } from "../../ir/index.ts";
import { evaluationBatches, type TrainingBatch, type TrainingBatchOptions, trainingBatches } from "./batches.ts";
import type { FormOfShape } from "./form.ts";
import { storeSamples } from "./load.ts";
import { SampleStore } from "./store.ts";

const classOf = (index: number): Target => ({ kind: "class", index });
const sampleOf = (i: number, feeds: Readonly<Record<string, Tensor>>, target: Target | undefined): PreparedSample => ({
  id: `id ${i}`,
  origin: `item ${i}`,
  feeds,
  target,
  geometry: {},
});
const pictureForm: FormOfShape = ([, channels = 1, height = 1, width = 1]) => ({
  kind: "image",
  layout: "nchw",
  channels,
  height,
  width,
  black: new Array(channels).fill(0),
  white: new Array(channels).fill(1),
  luma: [1],
});
/** Pictures of one grey value each, i / count. */
const pictures = (count: number, classes = 3) =>
  Array.from({ length: count }, (_, i) =>
    sampleOf(
      i,
      {
        x: float32Tensor(
          [1, 1, 4, 4],
          Array.from({ length: 16 }, (_, j) => (16 * i + j) / 16 / count),
        ),
      },
      classOf(i % classes),
    ),
  );
const pictureStore = (count: number) => storeSamples(pictures(count), { forms: { x: pictureForm } });
const tokens = (ids: number[], label?: number[]) =>
  sampleOf(0, { ids: tensorOf("int64", [1, ids.length], ids) }, label && { kind: "tokens", tokens: label });
const tokenForm: FormOfShape = (shape) => ({ kind: "tokens", length: shape[1] as number, special: [0], unknown: 1 });

const bytesOf = (batch: TrainingBatch) =>
  [...Object.entries(batch.feeds), ...Object.entries(batch.targets)].map(([name, tensor]) => [
    name,
    tensor.dtype,
    tensor.shape,
    Buffer.from(tensor.bytes()).toString("hex"),
  ]);
const classes = { classes: 3 };
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

describe("targets", () => {
  const first = async (samples: readonly PreparedSample[], options: Partial<TrainingBatchOptions>, form?: FormOfShape) => {
    const store = await storeSamples(samples, form ? { forms: { ids: form } } : {});
    const [batch] = await collect(trainingBatches(store, { batch: samples.length, shuffle: false, ...options })(0));
    return batch as TrainingBatch;
  };
  const numbers = (tensor: Tensor | undefined) => toNumbers(tensor as Tensor);
  const x = { x: float32Tensor([1, 2], [1, 2]) };

  it("smooth labels to rows that add up to 1", async () => {
    const { targets } = await first(pictures(2), { targets: { classes: 4, labelSmoothing: 0.2 } });
    const expected = [0.85, 0.05, 0.05, 0.05, 0.05, 0.85, 0.05, 0.05];
    for (const [i, value] of numbers(targets.target).entries()) expect(value).toBeCloseTo(expected[i] as number, 6);
  });
  it("take the shape of the model's output", async () => {
    const { targets } = await first(pictures(2), { targets: { classes: 3, shape: [3, 1, 1], name: "y" } });
    expect(targets.y?.shape).toEqual([2, 3, 1, 1]);
    await expect(first(pictures(2), { targets: { classes: 3, shape: [4] } })).rejects.toMatchObject({ code: "DATA_TARGET" });
  });
  it("stop at a class beyond the model's, before the first batch", async () => {
    const store = await pictureStore(9);
    expect(() => trainingBatches(store, { batch: 2, targets: { classes: 2 } })).toThrow('"item 2" has the class 2');
    expect(() => trainingBatches(store, { batch: 2 })).toThrow("number of classes");
  });
  it("make one number of two classes", async () => {
    const { targets } = await first(
      [0, 1].map((i) => sampleOf(i, x, classOf(i))),
      { targets: { form: "binary", labelSmoothing: 0.1 } },
    );
    expect(targets.target?.shape).toEqual([2, 1]);
    expect(numbers(targets.target)[0]).toBeCloseTo(0.05, 6);
    expect(numbers(targets.target)[1]).toBeCloseTo(0.95, 6);
  });
  it("take tensors as float32: regression, or several yes-or-no labels", async () => {
    const labels = [
      [1, 0, 1],
      [0, 0, 1],
    ];
    const samples = labels.map((label, i) => sampleOf(i, x, { kind: "tensor", tensor: tensorOf("uint8", [3], label) }));
    const { targets } = await first(samples, {});
    expect([targets.target?.dtype, targets.target?.shape, numbers(targets.target)]).toEqual(["float32", [2, 3], labels.flat()]);
    const short = sampleOf(2, x, { kind: "tensor", tensor: tensorOf("uint8", [2], [0, 0]) });
    await expect(first([...samples, short], {})).rejects.toThrow('"item 2" has a label of shape [2]');
  });
  it("lay token labels at the end, with weights", async () => {
    const { targets } = await first([tokens([5, 6, 7, 8], [3, 4]), tokens([5, 6, 7, 8], [9])], {}, tokenForm);
    expect([targets.target?.dtype, targets.target?.shape]).toEqual(["int64", [2, 4]]);
    expect(numbers(targets.target)).toEqual([0, 0, 3, 4, 0, 0, 0, 9]);
    expect(numbers(targets.target_weight)).toEqual([0, 0, 1, 1, 0, 0, 0, 1]);
    const from = await first([tokens([5, 6, 7, 8], [3, 4])], { targets: { offset: 0, ignore: 4 } }, tokenForm);
    expect(numbers(from.targets.target)).toEqual([3, 0, 0, 0]);
    expect(numbers(from.targets.target_weight)).toEqual([1, 0, 0, 0]);
    await expect(first([tokens([5], [3, 4])], {}, tokenForm)).rejects.toThrow("do not fit into 1 positions");
  });
  it("ask for the next token of the input as it was before augmentation", async () => {
    const options: Partial<TrainingBatchOptions> = {
      targets: { form: "next-token" },
      augment: [{ name: "token-dropout", share: 1 }],
    };
    const { feeds, targets } = await first([tokens([5, 6, 7, 0, 0])], options, tokenForm);
    expect(numbers(feeds.ids)).toEqual([1, 1, 1, 0, 0]);
    expect(numbers(targets.target)).toEqual([6, 7, 0, 0, 0]);
    expect(numbers(targets.target_weight)).toEqual([1, 1, 0, 0, 0]);
  });
  it("are absent without labels, and refuse boxes, mixed kinds and missing ones", async () => {
    expect((await first([sampleOf(0, x, undefined)], {})).targets).toEqual({});
    await expect(first([sampleOf(0, x, { kind: "boxes", boxes: [] })], {})).rejects.toThrow("boxes");
    await expect(first([sampleOf(0, x, classOf(0)), sampleOf(1, x, undefined)], { targets: classes })).rejects.toThrow(
      '"item 1" has no label, but the targets are classes',
    );
  });
});

describe("mixup", () => {
  it("keeps each row's target sum, and mixes inputs by the same share", async () => {
    // inputs are the one-hot targets themselves, so that both must come out alike
    const samples = Array.from({ length: 16 }, (_, i) =>
      sampleOf(
        i,
        {
          x: float32Tensor(
            [1, 4],
            [0, 1, 2, 3].map((c) => Number(c === i % 4)),
          ),
        },
        classOf(i % 4),
      ),
    );
    const source = trainingBatches(await storeSamples(samples), {
      batch: 16,
      targets: { classes: 4 },
      augment: [{ name: "mixup", alpha: 1 }],
    });
    const [batch] = await collect(source(0));
    const targets = toNumbers(batch?.targets.target as Tensor);
    expect(toNumbers(batch?.feeds.x as Tensor)).toEqual(targets);
    const mixed = Array.from({ length: 16 }, (_, row) => targets.slice(4 * row, 4 * row + 4));
    for (const row of mixed) {
      // the sum of two float32 products
      expect(row.reduce((sum, value) => sum + value)).toBeCloseTo(1, 6);
      expect(Math.max(...row)).toBeGreaterThanOrEqual(0.5);
    }
    expect(mixed.some((row) => row.filter((value) => value > 0).length === 2)).toBe(true);
  });
  it("refuses token numbers", async () => {
    const store = await storeSamples([tokens([1, 2])], { forms: { ids: tokenForm } });
    expect(() => trainingBatches(store, { batch: 1, augment: [{ name: "mixup" }] })).toThrow('"ids" holds int64');
  });
});

describe("augmentation of batches", () => {
  it("names an augmentation of the wrong kind", async () => {
    const store = await storeSamples([tokens([1, 2])], { forms: { ids: tokenForm } });
    const flip = () => trainingBatches(store, { batch: 1, augment: [{ name: "horizontal-flip" }] });
    expect(flip).toThrow('"horizontal-flip" changes pictures, but the model\'s inputs hold token numbers ("ids")');
    const pixels = await pictureStore(2);
    expect(() => trainingBatches(pixels, { batch: 1, targets: classes, augment: [{ name: "token-swap" }] })).toThrow(
      "changes token numbers",
    );
  });
  it("does not move pixels away from a target on the same grid", async () => {
    const samples = [
      sampleOf(0, { x: float32Tensor([1, 1, 1, 2], [0, 1]) }, { kind: "tensor", tensor: float32Tensor([2], [0, 1]) }),
    ];
    const store = await storeSamples(samples, { forms: { x: pictureForm }, targetOnGrid: true });
    expect(() => trainingBatches(store, { batch: 1, augment: [{ name: "horizontal-flip" }] })).toThrow("moves pixels");
    expect(trainingBatches(store, { batch: 1, augment: [{ name: "color-jitter" }] }).stepsPerEpoch).toBe(1);
  });
  it("refuses names and options that do not exist", async () => {
    const store = await pictureStore(2);
    const run = (augment: unknown) => () => trainingBatches(store, { batch: 1, targets: classes, augment: augment as never });
    expect(run([{ name: "rotate" }])).toThrow(expect.objectContaining({ code: "AUGMENT_INVALID" }));
    expect(run([{ name: "cutout", side: 3 }])).toThrow('"side"');
  });
  it("rounds what inputs of bytes become", async () => {
    const values = [0, 100, 200, 255];
    const samples = [sampleOf(0, { x: tensorOf("uint8", [1, 1, 1, 4], values) }, classOf(0))];
    const form: FormOfShape = (shape) => ({ ...pictureForm(shape), white: [255] }) as ReturnType<FormOfShape>;
    const store = await storeSamples(samples, { forms: { x: form } });
    const options = { batch: 1, targets: classes };
    const [flipped] = await collect(
      trainingBatches(store, { ...options, augment: [{ name: "horizontal-flip", probability: 1 }] })(0),
    );
    expect(toNumbers(flipped?.feeds.x as Tensor)).toEqual([...values].reverse());
    const jitter = { name: "color-jitter", brightness: 1 } as const;
    for await (const { feeds } of trainingBatches(store, { ...options, augment: [jitter] })(0))
      for (const value of toNumbers(feeds.x as Tensor)) expect(value >= 0 && value <= 255).toBe(true);
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
