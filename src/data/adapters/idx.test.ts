import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import { testDataset } from "../../../test/suites/dataset.ts";
import { floatInput, imageInput, picture, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { toFloat32 } from "../../ir/index.ts";

/** An idx file: two zero bytes, the type, the rank, big-endian sizes, then the data. */
function idxFile(type: number, shape: readonly number[], data: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * shape.length));
  header.setUint8(2, type);
  header.setUint8(3, shape.length);
  shape.forEach((dim, axis) => {
    header.setUint32(4 + 4 * axis, dim);
  });
  return Buffer.concat([new Uint8Array(header.buffer), data]);
}
const images = (count: number): Uint8Array =>
  idxFile(8, [count, 8, 12], Buffer.concat(Array.from({ length: count }, (_, i) => picture(i, 12, 8, 1).data)));
const labels = (...values: number[]): Uint8Array => idxFile(8, [values.length], Uint8Array.from(values));
const names = { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" };

testDataset({
  kind: "idx",
  title: "gzip images with labels",
  build: async (folder) => {
    await writeFiles(folder, {
      [`${names.images}.gz`]: gzipSync(images(5)),
      [`${names.labels}.gz`]: gzipSync(labels(3, 1, 4, 1, 0)),
    });
    return { path: folder };
  },
  length: 5,
  features: ["image"],
  label: "class",
  targets: [3, 1, 4, 1, 0],
  inputs: [imageInput(1)],
  preprocess: "mnist-unit",
  firstValues: { input: [0, 11 / 255, 22 / 255] },
  broken: [
    {
      title: "a file that ends too early",
      build: async (folder) => {
        await writeFiles(folder, { [names.images]: images(3).subarray(0, 200) });
        return { path: folder };
      },
      code: "DATA_CORRUPT",
      names: names.images,
    },
    {
      title: "a gzip file that ends too early",
      build: async (folder) => {
        await writeFiles(folder, { [`${names.images}.gz`]: gzipSync(images(3)).subarray(0, 60) });
        return { path: folder };
      },
      code: "DATA_GZIP",
      names: names.images,
    },
    {
      title: "sizes that no file has",
      build: async (folder) => {
        await writeFiles(folder, { [names.images]: idxFile(8, [4294967295, 4294967295, 4294967295], new Uint8Array(8)) });
        return { path: folder };
      },
      code: "DATA_CORRUPT",
      names: "4294967295",
    },
    {
      title: "fewer labels than images",
      build: async (folder) => {
        await writeFiles(folder, { [names.images]: images(3), [names.labels]: labels(1, 2) });
        return { path: folder };
      },
      code: "DATA_CORRUPT",
      names: "2 labels for the 3 samples",
    },
    {
      title: "a label beyond the class names",
      build: async (folder) => {
        await writeFiles(folder, { [names.images]: images(3), [names.labels]: labels(1, 9, 0), "classes.txt": "a\nb\nc\n" });
        return { path: folder };
      },
      code: "DATA_LABEL_RANGE",
      names: "class 9",
    },
  ],
  real: {
    path: ["fashion-mnist", "test5k-first-images-idx3-ubyte.gz"],
    length: 5000,
    inputs: [imageInput(1, 28, 28)],
    preprocess: "mnist-unit",
    take: 5000,
    check(samples, dataset) {
      expect(dataset.label).toBe("class");
      // the published mean of all 70,000 images is 0.286; a 12th of them lies within 0.005 of it
      const means = samples.map(({ feeds }) => toFloat32(feeds.input as never).reduce((sum, value) => sum + value, 0) / 784);
      expect(means.reduce((sum, value) => sum + value, 0) / means.length).toBeCloseTo(0.286, 2);
      expect(new Set(samples.map(({ target }) => (target?.kind === "class" ? target.index : -1))).size).toBe(10);
    },
  },
});

testDataset({
  kind: "idx",
  title: "big-endian numbers",
  build: async (folder) => {
    const values = new DataView(new ArrayBuffer(24));
    [1.5, -2, 3.25, 4, 5, 6].forEach((value, i) => {
      values.setFloat32(4 * i, value);
    });
    await writeFiles(folder, { "points-idx2-float": idxFile(13, [3, 2], new Uint8Array(values.buffer)) });
    return { path: folder };
  },
  length: 3,
  features: ["x"],
  label: undefined,
  inputs: [floatInput("N", 2)],
  preprocess: "raw",
  firstValues: { input: [1.5, -2] },
  broken: [],
});
