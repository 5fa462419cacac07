import { describe, expect, it } from "vitest";
import { collect } from "../../../test/suites/dataset.ts";
import { classes, classOf, pictureStore, pictures, sampleOf, tokenForm, tokens } from "../../../test/suites/training-samples.ts";
import { float32Tensor, type PreparedSample, type Tensor, tensorOf, toNumbers } from "../../ir/index.ts";
import { type TrainingBatch, type TrainingBatchOptions, trainingBatches } from "./batches.ts";
import type { FormOfShape } from "./form.ts";
import { storeSamples } from "./load.ts";

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
