import { describe, expect, it } from "vitest";
import { collect } from "../../test/suites/dataset.ts";
import { floatInput, picture, tokenInput } from "../../test/suites/dataset-fixtures.ts";
import { float32Tensor, toNumbers } from "../ir/index.ts";
import { bindInputs } from "./bind.ts";
import { SampleCache } from "./cache.ts";
import type { Dataset } from "./dataset.ts";
import type { RawSample } from "./define.ts";
import { guessPreprocess, presetsFor } from "./guess.ts";
import { batches, mapAhead } from "./loader.ts";
import { cachedSamples, joinFeeds, prepareSamples } from "./prepare.ts";
import { preprocessSchema, resolvePreprocess } from "./preprocess.ts";
import { presets } from "./presets.ts";

/** A data set in memory that counts its reads. */
function memory(samples: readonly Omit<RawSample, "origin">[], features: Dataset["features"]): Dataset & { reads: number } {
  const dataset = {
    name: "memory",
    path: "memory",
    folder: ".",
    kind: "memory",
    summary: "",
    features,
    label: undefined,
    classes: undefined,
    length: samples.length,
    onCorrupt: "fail" as const,
    reads: 0,
    origin: (index: number) => `item ${index}`,
    sample: async (index: number) => {
      dataset.reads++;
      return { ...samples[index], origin: `item ${index}` };
    },
  };
  return dataset;
}
const numbers = (count: number) =>
  memory(
    Array.from({ length: count }, (_, i) => ({
      tensors: { x: float32Tensor([2], [i, -i]) },
      label: { kind: "class", index: i % 3 },
    })),
    [{ kind: "tensor", name: "x" }],
  );
const inputs = [floatInput("N", 2)];

describe("binding features to inputs", () => {
  const names = (binding: ReturnType<typeof bindInputs>) =>
    [...binding.inputs].map(([feature, input]) => `${feature}>${input.name}`);
  const text = { names: ["text", "input_ids"], companions: ["attention_mask"] };
  it("goes by the map, by equal names, then by what is left", () => {
    expect(names(bindInputs([{ names: ["x"] }], [floatInput("N")], {}, {}))).toEqual(["x>input"]);
    expect(names(bindInputs([text], [tokenInput("ids", 4), tokenInput("attention_mask", 4)], {}, {}))).toEqual([
      "attention_mask>attention_mask",
      "text>ids",
    ]);
    const two = [tokenInput("a", 4), tokenInput("b", 4)];
    expect(names(bindInputs([{ names: ["x"] }, { names: ["y"] }], two, { x: "b", y: "a" }, {}))).toEqual(["x>b", "y>a"]);
  });
  it("names the model's inputs when one stays without data", () => {
    expect(() => bindInputs([{ names: ["x"] }], [tokenInput("a", 4), tokenInput("b", 4)], {}, {})).toThrow('"a" int64[N,4]');
    expect(() => bindInputs([{ names: ["x"] }], [tokenInput("a", 4)], { x: "c" }, {})).toThrow('names the model input "c"');
    expect(() => bindInputs([{ names: ["x"] }], [tokenInput("a", 4)], { z: "a" }, {})).toThrow("the data set offers x");
  });
  it("fills constants to the input's shape", async () => {
    const both = [...inputs, { name: "rate", type: { dtype: "int64" as const, shape: [1, 2] } }];
    const [sample] = await collect(prepareSamples(numbers(3), { constants: { rate: 7 } }, both, { shuffle: false }));
    expect(toNumbers(sample?.feeds.rate as never)).toEqual([7, 7]);
  });
});

describe("preparing samples", () => {
  it("says when labels are beyond the model's classes", async () => {
    const run = collect(prepareSamples(numbers(6), "raw", inputs, { classCount: 2 }));
    await expect(run).rejects.toMatchObject({ code: "DATA_LABEL_RANGE", message: expect.stringContaining("class 2") });
  });
  it("refuses a fixed batch above 1", async () => {
    await expect(collect(prepareSamples(numbers(2), "raw", [floatInput(8, 2)]))).rejects.toMatchObject({
      code: "PREPROCESS_BATCH",
    });
  });
  it("filters before it counts to the limit", async () => {
    const odd = (sample: RawSample): boolean => sample.label?.kind === "class" && sample.label.index === 1;
    expect(await collect(prepareSamples(numbers(30), "raw", inputs, { filter: odd, limit: 5 }))).toHaveLength(5);
  });
  it("reports progress for each sample", async () => {
    const seen: number[] = [];
    await collect(prepareSamples(numbers(4), "raw", inputs, { onProgress: ({ done }) => seen.push(done) }));
    expect(seen).toEqual([1, 2, 3, 4]);
  });
});

describe("the cache", () => {
  it("spares reading what it holds, and keeps to its limit", async () => {
    const dataset = numbers(10);
    const all = cachedSamples(dataset, "raw", inputs);
    const first = await collect(all.samples());
    expect(await collect(all.samples())).toEqual(first);
    expect(dataset.reads).toBe(10);
    const small = new SampleCache(all.cache.bytes / 2);
    for (let sweep = 0; sweep < 3; sweep++) await collect(prepareSamples(dataset, "raw", inputs, { cache: small }));
    expect(small.size).toBe(5);
    expect(small.bytes).toBeLessThanOrEqual(small.maxBytes);
    expect(dataset.reads).toBe(10 + 10 + 5 + 5);
  });
  it("never mixes splits up", async () => {
    const dataset = numbers(40);
    const cache = new SampleCache();
    const origins = async (split: "calibration" | "final", use?: SampleCache) =>
      (await collect(prepareSamples(dataset, "raw", inputs, { split, cache: use }))).map((sample) => sample.origin);
    for (const split of ["calibration", "final", "calibration"] as const)
      expect(await origins(split, cache)).toEqual(await origins(split));
  });
});

describe("batches", () => {
  it("group samples and join their tensors", async () => {
    const groups = await collect(batches(prepareSamples(numbers(5), "raw", inputs, { shuffle: false }), 2));
    expect(groups.map((group) => group.length)).toEqual([2, 2, 1]);
    const { input } = joinFeeds(groups[1] as never);
    expect(input?.shape).toEqual([2, 2]);
    expect(toNumbers(input as never)).toEqual([2, -2, 3, -3]);
  });
  it("refuse tensors of different shapes", async () => {
    const uneven = memory([{ tokens: [1, 2] }, { tokens: [1, 2, 3] }], [{ kind: "tokens", name: "tokens" }]);
    const samples = await collect(prepareSamples(uneven, "tokens", [tokenInput("ids", "T")]));
    expect(() => joinFeeds(samples)).toThrow("cannot share a batch");
  });
});

describe("mapping ahead", () => {
  it("keeps the order and the number under way", async () => {
    let running = 0;
    let most = 0;
    const work = async (item: number): Promise<number> => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, (5 - item) * 2));
      running--;
      return item * 10;
    };
    expect(await collect(mapAhead([1, 2, 3, 4], work, { ahead: 2 }))).toEqual([10, 20, 30, 40]);
    expect(most).toBe(2);
  });
  it("passes a failure on, once", async () => {
    const work = async (item: number): Promise<number> => {
      if (item > 1) throw new Error(`no ${item}`);
      return item;
    };
    await expect(collect(mapAhead([1, 2, 3], work))).rejects.toThrow("no 2");
  });
});

describe("presets", () => {
  it.each(Object.keys(presets))("%s is valid and survives being written out", (name) => {
    const resolved = resolvePreprocess(name);
    expect(preprocessSchema.parse(JSON.parse(JSON.stringify(resolved)))).toEqual(resolved);
  });
  it("can be changed in part", () => {
    const { image } = resolvePreprocess({ preset: "imagenet", image: { crop: 200 } });
    expect(image?.crop).toBe(200);
    expect(image?.mean).toEqual([0.485, 0.456, 0.406]);
  });
  it("are listed when a name is unknown", () => {
    expect(() => resolvePreprocess("imagnet")).toThrow('no preprocessing preset "imagnet"');
  });
});

describe("guessing", () => {
  const images = memory([{ image: { kind: "pixels", pixels: picture(1) } }], [{ kind: "image", name: "image" }]);
  const guess = (...shape: (number | string)[]) => guessPreprocess([floatInput(...shape)], images).preset;
  it("goes by the model's input", () => {
    expect(guess("N", 3, 224, 224)).toBe("imagenet");
    expect(guess(1, 224, 224, 3)).toBe("imagenet");
    expect(guess(1, 3, 32, 32)).toBe("unit");
    expect(guess(1, 1, 28, 28)).toBe("mnist-unit");
    expect(guessPreprocess(inputs, numbers(1)).preset).toBe("raw");
  });
  it("offers the presets whose channels fit", () => {
    const names = presetsFor([floatInput(1, 1, 28, 28)], images);
    expect(names).toContain("mnist-raw");
    expect(names).not.toContain("imagenet");
    expect(presetsFor(inputs, numbers(1))).toEqual(["raw"]);
  });
  it("always gives something that runs", async () => {
    const input = [floatInput("N", 3, 16, 16)];
    const { preprocess } = guessPreprocess(input, images);
    expect(await collect(prepareSamples(images, preprocess, input))).toHaveLength(1);
  });
});
