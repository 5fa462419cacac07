import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { noRealData, realData } from "../../../test/real-data.ts";
import { collect, temporaryFolder } from "../../../test/suites/dataset.ts";
import { floatInput, imageInput, picture, tokenInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { float32Tensor, type Tensor, toNumbers } from "../../ir/index.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { Dataset } from "../dataset.ts";
import type { Feature, RawSample } from "../define.ts";
import type { PreprocessInput } from "../preprocess.ts";
import { splitOf } from "../split.ts";
import { evaluationBatches, trainingBatches } from "./batches.ts";
import { type ImageForm, inputForms, type TokenForm } from "./form.ts";
import { openTrainingData, storeSamples, type TrainingDataOptions } from "./load.ts";
import type { SampleStore } from "./store.ts";

function memory(
  samples: readonly Omit<RawSample, "origin">[],
  feature: Feature,
  more: Partial<Dataset> = {},
): Dataset & { reads: number } {
  const dataset = {
    name: "memory",
    path: "memory",
    folder: ".",
    kind: "memory",
    summary: "",
    features: [feature],
    label: "class" as const,
    classes: undefined,
    length: samples.length,
    onCorrupt: "fail" as const,
    reads: 0,
    origin: (index: number) => `item ${index}`,
    sample: async (index: number) => {
      dataset.reads++;
      return { ...samples[index], origin: `item ${index}` };
    },
    ...more,
  };
  return dataset;
}
const vectors = (from: number, to: number, more: Partial<Dataset> = {}) =>
  memory(
    Array.from({ length: to - from }, (_, i) => ({
      tensors: { x: float32Tensor([2], [from + i, -i]) },
      label: { kind: "class", index: i % 3 },
    })),
    { kind: "tensor", name: "x" },
    more,
  );
const open = (options: Pick<TrainingDataOptions, "train"> & Partial<TrainingDataOptions>) =>
  openTrainingData({ preprocess: "raw", inputs: [floatInput("N", 2)], ...options });
const idsOf = (store: SampleStore | undefined) => Array.from({ length: store?.length ?? 0 }, (_, i) => store?.id(i) as string);
const shared = (a: readonly string[], b: readonly string[]) => a.filter((id) => b.includes(id));

describe("training and validation", () => {
  it("part by content: no overlap, nothing lost, and the calibration split lies in training", async () => {
    const { training, validation } = await open({ train: vectors(0, 400), validationFraction: 0.25, seed: 3 });
    const [train, held] = [idsOf(training), idsOf(validation)];
    expect(shared(train, held)).toEqual([]);
    expect(train.length + held.length).toBe(400);
    // 400 samples at 25 %: 100 ± 8.7, five of these
    expect(Math.abs(held.length - 100)).toBeLessThan(44);
    const calibration = [...train, ...held].filter(
      (id) => splitOf(id, 3, { calibration: 0.2, selection: 0.4, final: 0.4 }) === "calibration",
    );
    expect(calibration.length).toBeGreaterThan(40);
    expect(shared(calibration, held)).toEqual([]);
  });
  it("stay where they are when samples are added", async () => {
    const small = await open({ train: vectors(0, 100) });
    const large = await open({ train: vectors(0, 200) });
    expect(shared(idsOf(small.training), idsOf(large.validation))).toEqual([]);
    expect(shared(idsOf(small.validation), idsOf(large.validation))).toEqual(idsOf(small.validation));
  });
  it("from two data sets: what validation holds is left out of training and counted", async () => {
    const overlapping = memory(
      [5, 6, 100].map((value) => ({ tensors: { x: float32Tensor([2], [value, -value]) }, label: { kind: "class", index: 0 } })),
      { kind: "tensor", name: "x" },
    );
    const { training, validation, leftOut } = await open({ train: vectors(0, 20), validation: overlapping });
    expect([training.length, validation?.length, leftOut]).toEqual([18, 3, 2]);
    expect(shared(idsOf(training), idsOf(validation))).toEqual([]);
    await expect(open({ train: vectors(0, 9), validation: vectors(0, 9) })).rejects.toThrow(
      "training that validation does not hold too",
    );
  });
  it("stop when a part stays empty or the fraction makes no sense", async () => {
    await expect(open({ train: vectors(0, 2), validationFraction: 0.001 })).rejects.toMatchObject({
      code: "DATA_EMPTY",
      message: expect.stringContaining("validation"),
    });
    await expect(open({ train: vectors(0, 2), validationFraction: 1 })).rejects.toMatchObject({ code: "DATA_FRACTIONS" });
    const all = await open({ train: vectors(0, 2), validationFraction: 0 });
    expect([all.training.length, all.validation]).toEqual([2, undefined]);
  });
  it("take a fair part up to a limit, and stop reading then", async () => {
    const dataset = vectors(0, 300);
    const { training } = await open({ train: dataset, validationFraction: 0, limit: 10 });
    expect(training.length).toBe(10);
    expect(dataset.reads).toBeLessThan(20);
    expect(Math.max(...Array.from({ length: 10 }, (_, i) => training.index(i)))).toBeGreaterThan(50);
    const both = await open({ train: vectors(0, 300), limit: 20, validationLimit: 5 });
    expect([both.training.length, both.validation?.length]).toEqual([20, 5]);
  });
  it("leave corrupt samples out when asked to, also those found while training", async () => {
    const good = vectors(0, 40);
    let broken = 7;
    const flaky: Dataset = {
      ...good,
      onCorrupt: "skip",
      sample: async (index) => {
        if (index === broken) throw new EdgewrightError("DATA_IMAGE", `item ${index} is broken`);
        return good.sample(index);
      },
    };
    const skipped: string[] = [];
    const onSkipped = (error: EdgewrightError) => skipped.push(error.message);
    const { training } = await open({ train: flaky, validationFraction: 0, maxBytes: 3000, onSkipped });
    expect([training.length, skipped]).toEqual([39, ["item 7 is broken"]]);
    expect(training.resident).toBeLessThan(30);
    broken = 35;
    const run = () => collect(evaluationBatches(training, { batch: 39, targets: { classes: 3 } }));
    const [batch] = await run();
    const rows = toNumbers(batch?.feeds.input as Tensor);
    const row = [...(batch?.sampleIndices ?? [])].indexOf(35);
    // the next whole sample stands in
    expect(rows.slice(2 * row, 2 * row + 2)).toEqual([36, -36]);
    broken = -1;
    const strict = await open({ train: { ...flaky, onCorrupt: "fail" }, validationFraction: 0, maxBytes: 3000 });
    broken = 35;
    const failing = collect(evaluationBatches(strict.training, { batch: 39, targets: { classes: 3 } }));
    await expect(failing).rejects.toThrow("item 35 is broken");
  });
  it("give back single samples as preprocessing made them", async () => {
    const { training } = await open({ train: vectors(0, 9), validationFraction: 0 });
    const sample = await training.sample(4);
    expect([sample.origin, sample.target, toNumbers(sample.feeds.input as Tensor), sample.feeds.input?.shape]).toEqual([
      "item 4",
      { kind: "class", index: 1 },
      [4, -4],
      [1, 2],
    ]);
  });
});

describe("prepared samples", () => {
  const sample = (values: number[]) => ({
    id: `${values}`,
    origin: `${values}`,
    feeds: { x: float32Tensor([1, values.length], values) },
    target: undefined,
    geometry: {},
  });
  it("come from arrays and iterators", async () => {
    async function* plugin() {
      yield sample([1]);
      yield sample([2]);
    }
    expect((await storeSamples(plugin())).length).toBe(2);
    await expect(storeSamples([])).rejects.toMatchObject({ code: "DATA_EMPTY" });
  });
  it("must have one shape, and fit into memory", async () => {
    await expect(storeSamples([sample([1]), sample([1, 2])])).rejects.toMatchObject({ code: "DATA_BATCH", subject: "1,2" });
    await expect(
      storeSamples(
        [1, 2, 3, 4, 5].map((i) => sample([i])),
        { maxBytes: 500 },
      ),
    ).rejects.toMatchObject({ code: "DATA_MEMORY" });
  });
});

describe("forms of inputs", () => {
  const folder = temporaryFolder();
  it("know what black and white became, in the order of the channels", async () => {
    const dataset = memory([{ image: { kind: "pixels", pixels: picture(1) } }], { kind: "image", name: "image" });
    const image: PreprocessInput["image"] = { color: "bgr", scale: 1 / 255, mean: [0.5, 0.4, 0.3], std: [0.5, 0.5, 0.1] };
    const form = (await inputForms(dataset, { image }, [imageInput()])).get("input")?.([1, 3, 8, 12]);
    expect(form).toMatchObject({ kind: "image", layout: "nchw", channels: 3, height: 8, width: 12, luma: [0.114, 0.587, 0.299] });
    const { black, white } = form as ImageForm;
    for (const [i, value] of [-1, -0.8, -3].entries()) expect(black[i]).toBeCloseTo(value, 12);
    for (const [i, value] of [1, 1.2, 7].entries()) expect(white[i]).toBeCloseTo(value, 12);
  });
  it("know the time axis of recordings", async () => {
    const waveform = { samples: new Float32Array(1600), sampleRate: 16_000 };
    const dataset = memory([{ waveform }], { kind: "waveform", name: "audio" });
    const form = async (audio: object, shape: number[]) =>
      (await inputForms(dataset, { audio }, [floatInput("N", ...shape)])).get("input");
    const mel = { feature: "log-mel", mels: 40 };
    expect((await form(mel, [98, 40]))?.([1, 98, 40])).toMatchObject({
      content: "bands",
      steps: 98,
      bins: 40,
      stepStride: 40,
      binStride: 1,
    });
    expect((await form({ ...mel, layout: "bins-first" }, [1, 40, 98]))?.([1, 1, 40, 98])).toMatchObject({
      steps: 98,
      bins: 40,
      stepStride: 1,
      binStride: 98,
    });
    expect((await form(mel, [98, 40, 1]))?.([1, 98, 40, 1])).toMatchObject({ steps: 98, bins: 40 });
    expect((await form({ feature: "waveform" }, [1600]))?.([1, 1600])).toMatchObject({
      content: "waveform",
      steps: 1600,
      bins: 1,
    });
  });
  it("know the special tokens of a vocabulary and of a tokenizer", async () => {
    const where = await folder.fresh();
    await writeFiles(where, {
      "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\nbig\nsmall\n",
      "tokenizer.json": JSON.stringify({
        added_tokens: [
          { id: 0, content: "[PAD]", special: true },
          { id: 1, content: "[UNK]", special: true },
          { id: 4, content: "word", special: false },
        ],
        normalizer: null,
        decoder: null,
        post_processor: null,
        pre_tokenizer: { type: "Whitespace" },
        model: { type: "WordPiece", unk_token: "[UNK]", vocab: { "[PAD]": 0, "[UNK]": 1, big: 2, word: 4 } },
      }),
    });
    const dataset = memory([{ text: "big" }], { kind: "text", name: "text" }, { folder: where });
    const form = async (text: object) =>
      (await inputForms(dataset, { text } as never, [tokenInput("ids", 8)])).get("ids")?.([1, 8]);
    expect(await form({ tokenizer: "words", cls: "[CLS]", sep: "[SEP]" })).toEqual({
      kind: "tokens",
      length: 8,
      special: [0, 2, 3],
      unknown: 1,
    });
    expect(await form({ tokenizer: "tokenizer", vocabulary: join(where, "tokenizer.json") })).toEqual({
      kind: "tokens",
      length: 8,
      special: [0],
      unknown: 1,
    });
  });
});

describe.skipIf(noRealData)("real data", () => {
  const inputs = [{ name: "x", type: { dtype: "float32" as const, shape: ["N", 1, 28, 28] } }];
  const image = { color: "gray", scale: 1 / 255, mean: 0.286, std: 0.353 } as const;

  it("60,000 pictures of Fashion-MNIST are held in a byte a pixel, and each is in one epoch", async () => {
    const train = realData("fashion-mnist", "train-images-idx3-ubyte.gz");
    const { training } = await openTrainingData({ train, preprocess: { image }, inputs, validationFraction: 0 });
    expect([training.length, training.resident]).toEqual([60_000, 60_000]);
    // 47.0 MB of bytes; as float32 they would take 188 MB
    expect(training.bytes).toBeLessThan(48.5e6);
    const augment = [{ name: "horizontal-flip" as const }, { name: "random-crop" as const, padding: 2 }];
    const source = trainingBatches(training, { batch: 128, lastBatch: "fill", targets: { classes: 10 }, augment });
    const seen = new Uint8Array(60_000);
    const perClass = new Float64Array(10);
    for await (const { sampleIndices, targets, step } of source(0)) {
      for (const [row, index] of sampleIndices.entries())
        if (step * 128 + row < 60_000) seen[index] = (seen[index] as number) + 1;
      if (step < 468)
        for (const [i, value] of toNumbers(targets.target as Tensor).entries())
          perClass[i % 10] = (perClass[i % 10] as number) + value;
    }
    expect(seen.every((count) => count === 1)).toBe(true);
    // 6,000 of each class; the last, partly repeated batch of 96 is not counted
    for (const count of perClass) expect(6000 - count).toBeLessThanOrEqual(96);
  }, 60_000);
  it("reviews of SST-2 lose words and no special tokens", async () => {
    const text = { tokenizer: "words", cls: "[CLS]", maxLength: 32 } as const;
    const { training } = await openTrainingData({
      train: realData("sst2", "dev.tsv"),
      preprocess: { text },
      inputs: [tokenInput("ids", 32)],
      validationFraction: 0,
    });
    const form = training.inputs[0]?.form as TokenForm;
    const options = { batch: 64, targets: { classes: 2 }, shuffle: false };
    const [plain] = await collect(trainingBatches(training, options)(0));
    const [dropped] = await collect(
      trainingBatches(training, { ...options, augment: [{ name: "token-dropout", share: 0.3 }] })(0),
    );
    const [before, after] = [plain, dropped].map((batch) => toNumbers(batch?.feeds.ids as Tensor)) as [number[], number[]];
    const words = before.filter((id) => !form.special.includes(id));
    const changed = before.flatMap((id, i) => (id === after[i] ? [] : [[id, after[i]]]));
    for (const [from, to] of changed) expect([form.special.includes(from as number), to]).toEqual([false, form.unknown]);
    // about 1,200 words at 30 %: ± 1.3 points, five of these; words that were unknown before cannot be told
    expect(changed.length / words.length).toBeGreaterThan(0.2);
    expect(changed.length / words.length).toBeLessThan(0.37);
  });
});
