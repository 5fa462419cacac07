import { expect } from "vitest";
import { testDataset } from "../../../test/suites/dataset.ts";
import { imageInput, png, writeFiles } from "../../../test/suites/dataset-fixtures.ts";

const pairs = async (folder: string) => {
  await writeFiles(folder, {
    "input/a.png": await png(1),
    "input/b.png": await png(2),
    "target/a.png": await png(3, 24, 16),
    "target/b.png": await png(4, 24, 16),
  });
  return { path: folder };
};

testDataset({
  kind: "image-pairs",
  title: "input/ and target/",
  build: pairs,
  length: 2,
  features: ["image"],
  label: "image",
  inputs: [imageInput(1)],
  preprocess: { image: { color: "luma", scale: 1 / 255 } },
  broken: [
    {
      title: "an input without a target",
      build: async (folder) => {
        await pairs(folder);
        await writeFiles(folder, { "input/c.png": await png(5) });
        return { path: folder };
      },
      code: "DATA_LABELS",
      names: "input/c.png",
    },
    {
      title: "a target that is no picture",
      build: async (folder) => {
        await pairs(folder);
        await writeFiles(folder, { "target/b.png": "nothing" });
        return { path: folder };
      },
      code: "DATA_IMAGE",
      names: "b.png",
      skippable: true,
    },
  ],
  real: {
    path: [],
    options: { kind: "image-pairs", input: "super-resolution", target: "super-resolution" },
    length: 10,
    inputs: [imageInput(1, 672, 672)],
    preprocess: { image: { color: "luma", scale: 1 / 255 } },
    take: 2,
    check: ([sample]) => expect(sample?.target).toMatchObject({ kind: "tensor", tensor: { shape: [1, 1, 672, 672] } }),
  },
});
