import { describe, expect, it } from "vitest";
import { collect } from "../../../../test/suites/dataset.ts";
import {
  classes,
  classOf,
  pictureForm,
  pictureStore,
  sampleOf,
  tokenForm,
  tokens,
} from "../../../../test/suites/training-samples.ts";
import { float32Tensor, type Tensor, tensorOf, toNumbers } from "../../../ir/index.ts";
import { trainingBatches } from "../batches.ts";
import type { FormOfShape } from "../form.ts";
import { storeSamples } from "../load.ts";

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
