import { describe, expect, it } from "vitest";
import { temporaryFolder, testDataset } from "../../../test/suites/dataset.ts";
import { imageInput, png, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { toFloat32 } from "../../ir/index.ts";
import { openDataset } from "../index.ts";

const folders = async (folder: string) => {
  await writeFiles(folder, {
    "cat/a.png": await png(1),
    "cat/b.png": await png(2),
    "ant/c.png": await png(3),
    "bee/deep/d.png": await png(4),
    "bee/notes.md": "not an image",
  });
  return { path: folder };
};
const truncated = async (seed: number) => (await png(seed)).subarray(0, 60);

testDataset({
  kind: "image-folder",
  title: "class folders",
  build: folders,
  length: 4,
  features: ["image"],
  label: "class",
  classes: ["ant", "bee", "cat"],
  targets: [0, 1, 2, 2],
  inputs: [imageInput()],
  preprocess: "unit",
  firstValues: { input: [(3 * 37) / 255, (3 * 37 + 33) / 255] },
  broken: [
    { title: "an empty folder", build: async (folder) => ({ path: folder }), code: "DATA_EMPTY", names: "no images" },
    {
      title: "a picture that ends too early",
      build: async (folder) => {
        await writeFiles(folder, { "a/good.png": await png(1), "b/cut.png": await truncated(2) });
        return { path: folder };
      },
      code: "DATA_IMAGE",
      names: "cut.png",
      skippable: true,
    },
    {
      title: "text with the name of a picture",
      build: async (folder) => {
        await writeFiles(folder, { "a/good.png": await png(1), "b/text.jpg": "hello" });
        return { path: folder };
      },
      code: "DATA_IMAGE",
      names: "text.jpg",
      skippable: true,
    },
    {
      title: "a picture outside the class folders",
      build: async (folder) => {
        await writeFiles(folder, { "a/good.png": await png(1), "loose.png": await png(2) });
        return { path: folder };
      },
      code: "DATA_LABELS",
      names: "loose.png",
    },
    {
      title: "train and test folders",
      build: async (folder) => {
        await writeFiles(folder, { "train/a/x.png": await png(1), "test/a/x.png": await png(2) });
        return { path: folder };
      },
      code: "DATA_AMBIGUOUS",
      names: "train",
    },
  ],
  real: {
    path: ["imagenet-sample"],
    length: 500,
    inputs: [imageInput(3, 224, 224)],
    preprocess: "imagenet",
    take: 3,
    check(samples, dataset) {
      expect(dataset.classes).toHaveLength(1000);
      expect(samples[0]?.target).toEqual({ kind: "class", index: 0 });
      expect(samples[0]?.geometry).toMatchObject({ width: 341, height: 256, scaleX: 1, offsetX: -58, offsetY: -16 });
      // normalised ImageNet pixels lie within (0 - 0.485)/0.229 and (1 - 0.406)/0.225
      const values = toFloat32(samples[0]?.feeds.input as never);
      expect(values.every((value) => value > -2.2 && value < 2.7)).toBe(true);
    },
  },
});

testDataset({
  kind: "image-folder",
  title: "class numbers before file names",
  build: async (folder) => {
    await writeFiles(folder, {
      "0_cat.png": await png(1),
      "2_dog.png": await png(2),
      "10_eel.png": await png(3),
      "classes.txt": Array.from({ length: 11 }, (_, i) => `class ${i}`).join("\n"),
    });
    return { path: folder };
  },
  length: 3,
  features: ["image"],
  label: "class",
  targets: [0, 10, 2],
  inputs: [imageInput()],
  preprocess: "raw-255",
  firstValues: { input: [37, 70] },
  broken: [
    {
      title: "a class number without a class",
      build: async (folder) => {
        await writeFiles(folder, { "0_a.png": await png(1), "7_b.png": await png(2), "classes.txt": "a\nb\n" });
        return { path: folder };
      },
      code: "DATA_LABEL_RANGE",
      names: "7_b.png",
    },
  ],
});

testDataset({
  kind: "image-folder",
  title: "pictures without labels",
  build: async (folder) => {
    await writeFiles(folder, { "x.png": await png(1), "y.png": await png(2), "z.png": await png(3, 30, 20) });
    return { path: folder };
  },
  length: 3,
  features: ["image"],
  label: undefined,
  targets: [undefined, undefined, undefined],
  inputs: [imageInput()],
  preprocess: "unit",
  broken: [],
  real: {
    path: ["super-resolution"],
    length: 10,
    inputs: [imageInput(1, 224, 224)],
    preprocess: "super-resolution-x3",
    take: 2,
    check: ([sample]) => expect(sample?.target).toMatchObject({ kind: "tensor", tensor: { shape: [1, 1, 672, 672] } }),
  },
});

describe("image folders", () => {
  const folder = temporaryFolder();
  it("number class folders that are numbers by their number", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "0/a.png": await png(1), "2/b.png": await png(2), "10/c.png": await png(3) });
    const dataset = await openDataset(path);
    const found = await Promise.all([0, 1, 2].map(async (i) => [dataset.origin(i), (await dataset.sample(i)).label]));
    expect(Object.fromEntries(found)).toEqual({
      "0/a.png": { kind: "class", index: 0 },
      "2/b.png": { kind: "class", index: 2 },
      "10/c.png": { kind: "class", index: 10 },
    });
  });
  it("shift labels by labelOffset", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "a/a.png": await png(1), "b/b.png": await png(2) });
    const dataset = await openDataset(path, { labelOffset: 1 });
    expect((await dataset.sample(1)).label).toEqual({ kind: "class", index: 2 });
  });
});
