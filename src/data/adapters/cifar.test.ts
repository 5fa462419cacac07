import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import { testDataset } from "../../../test/suites/dataset.ts";
import { imageInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { toFloat32 } from "../../ir/index.ts";

/** Records of label bytes and three planes; the red plane of record i is i, green 100+i, blue 200+i. */
const records = (...labels: readonly (readonly number[])[]): Uint8Array =>
  Buffer.concat(
    labels.map((bytes, i) => {
      const planes = new Uint8Array(3072);
      for (let channel = 0; channel < 3; channel++) planes.fill(channel * 100 + i, channel * 1024, (channel + 1) * 1024);
      planes[1] = 255;
      return Buffer.concat([Uint8Array.from(bytes), planes]);
    }),
  );
const file =
  (bytes: Uint8Array, name = "batch.bin") =>
  async (folder: string) => {
    await writeFiles(folder, { [name]: bytes });
    return { path: folder };
  };

testDataset({
  kind: "cifar",
  title: "CIFAR-10, gzip",
  build: file(gzipSync(records([3], [9], [0])), "test_batch.bin.gz"),
  length: 3,
  features: ["image"],
  label: "class",
  targets: [3, 9, 0],
  inputs: [imageInput(3, 32, 32)],
  preprocess: "raw-255",
  firstValues: { input: [0, 255, 0] },
  broken: [
    {
      title: "a file that ends within a record",
      build: async (folder) => {
        await file(records([1], [2]).subarray(0, 6000))(folder);
        return { path: `${folder}/batch.bin` };
      },
      code: "DATA_CORRUPT",
      names: "6000 bytes",
    },
    {
      title: "a label beyond 9",
      build: async (folder) => {
        await file(records([1], [77]))(folder);
        return { path: `${folder}/batch.bin`, options: { classes: 10 } };
      },
      code: "DATA_LABEL_RANGE",
      names: "class 77",
    },
  ],
  real: {
    path: ["cifar10", "test_2000.bin.gz"],
    length: 2000,
    inputs: [imageInput(3, 32, 32)],
    preprocess: "unit",
    take: 2000,
    check(samples) {
      const counts = new Array<number>(10).fill(0);
      for (const { target } of samples) if (target?.kind === "class") counts[target.index] = (counts[target.index] as number) + 1;
      expect(counts).toEqual(new Array<number>(10).fill(200));
      // CIFAR-10's published mean is 0.491 (red), 0.482, 0.447; 2000 images lie within 0.01 of it
      const red = samples.map(
        ({ feeds }) =>
          toFloat32(feeds.input as never)
            .subarray(0, 1024)
            .reduce((sum, v) => sum + v, 0) / 1024,
      );
      expect(Math.abs(red.reduce((sum, value) => sum + value, 0) / red.length - 0.491)).toBeLessThan(0.01);
    },
  },
});

testDataset({
  kind: "cifar",
  title: "CIFAR-100, fine labels",
  build: file(records([3, 42], [19, 99])),
  length: 2,
  features: ["image"],
  label: "class",
  targets: [42, 99],
  inputs: [imageInput(3, 32, 32)],
  preprocess: "raw-255",
  broken: [],
});
