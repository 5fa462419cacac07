import { deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { collect, temporaryFolder, testDataset } from "../../../test/suites/dataset.ts";
import { floatInput, imageInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { float32Tensor, int64Tensor, tensorOf } from "../../ir/index.ts";
import { openDataset, prepareSamples } from "../index.ts";
import { encodeNpy } from "../npy.ts";

/** A zip archive with deflated entries (PKWARE APPNOTE); check sums are left zero, as this reader does not use them. */
function zipFile(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const packed = deflateRawSync(content);
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(8, 8);
    header.writeUInt32LE(packed.length, 18);
    header.writeUInt32LE(content.length, 22);
    header.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(8, 10);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt32LE(content.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    parts.push(header, Buffer.from(name), packed);
    directory.push(entry, Buffer.from(name));
    offset += 30 + name.length + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

const x = encodeNpy(float32Tensor([4, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
const y = encodeNpy(int64Tensor([0, 2, 1, 1]));
const write = (files: Readonly<Record<string, Uint8Array>>) => async (folder: string) => {
  await writeFiles(folder, files);
  return { path: folder };
};

testDataset({
  kind: "npy",
  title: "x.npy and y.npy",
  build: write({ "x.npy": x, "y.npy": y }),
  length: 4,
  features: ["x"],
  label: "class",
  targets: [0, 2, 1, 1],
  inputs: [floatInput("N", 3)],
  preprocess: { tensor: { scale: 2, mean: 1 } },
  firstValues: { input: [1, 3, 5] },
  broken: [
    {
      title: "an array that ends too early",
      build: write({ "x.npy": x.subarray(0, 150) }),
      code: "DATA_CORRUPT",
      names: "too early",
    },
    {
      title: "a header that ends too early",
      build: write({ "x.npy": x.subarray(0, 40) }),
      code: "DATA_CORRUPT",
      names: "header",
    },
    {
      title: "arrays of different lengths",
      build: write({ "x.npy": x, "y.npy": encodeNpy(int64Tensor([0, 1])) }),
      code: "DATA_CORRUPT",
      names: "4 samples",
    },
    {
      title: "a value that is not a number",
      build: write({ "x.npy": encodeNpy(float32Tensor([2, 3], [1, 2, 3, 4, Number.NaN, 6])) }),
      code: "DATA_NOT_FINITE",
      names: 'Element 1 of "x"',
      skippable: true,
    },
    {
      title: "a shape that the model does not take",
      build: write({ "x.npy": encodeNpy(float32Tensor([2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])) }),
      code: "PREPROCESS_SHAPE",
      names: '"input" is float32[N,3]',
    },
  ],
});

const named = [
  { name: "ids", type: { dtype: "int64", shape: [1, 2] } },
  { name: "scores", type: { dtype: "float32", shape: [1, 1, 2] } },
] as const;
testDataset({
  kind: "npy",
  title: "a .npz with an array for each model input",
  build: async (folder) => {
    const arrays = {
      "ids.npy": encodeNpy(tensorOf("int32", [3, 2], [1, 2, 3, 4, 5, 6])),
      "scores.npy": encodeNpy(float32Tensor([3, 2], [0.5, 1, 1.5, 2, 2.5, 3])),
      "targets.npy": encodeNpy(float32Tensor([3, 1], [0.1, 0.2, 0.3])),
    };
    await writeFiles(folder, { "data.npz": zipFile(arrays) });
    return { path: `${folder}/data.npz` };
  },
  length: 3,
  features: ["ids", "scores"],
  label: "tensor",
  inputs: named,
  preprocess: "raw",
  firstValues: { ids: [1, 2], scores: [0.5, 1] },
  broken: [
    {
      title: "an archive that ends too early",
      build: async (folder) => {
        await writeFiles(folder, { "data.npz": zipFile({ "x.npy": x }).subarray(0, 100) });
        return { path: `${folder}/data.npz` };
      },
      code: "DATA_CORRUPT",
      names: "data.npz",
    },
    {
      title: "an entry larger than it says",
      build: async (folder) => {
        const bytes = Buffer.from(zipFile({ "x.npy": Buffer.alloc(1e6) }));
        // the uncompressed size in the directory, 24 bytes into its only entry
        bytes.writeUInt32LE(10, bytes.lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2])) + 24);
        await writeFiles(folder, { "data.npz": bytes });
        return { path: `${folder}/data.npz` };
      },
      code: "DATA_CORRUPT",
      names: "does not unpack",
    },
  ],
});

testDataset({
  kind: "npy",
  title: "bytes as images",
  build: write({
    "images.npy": encodeNpy(
      tensorOf(
        "uint8",
        [2, 8, 12, 3],
        Uint8Array.from({ length: 576 }, (_, i) => i % 256),
      ),
    ),
    "labels.npy": encodeNpy(tensorOf("uint8", [2], [1, 0])),
  }),
  length: 2,
  features: ["images"],
  label: "class",
  targets: [1, 0],
  inputs: [imageInput()],
  preprocess: "raw-255",
  firstValues: { input: [0, 3, 6] },
  broken: [],
});

describe(".npy files", () => {
  const folder = temporaryFolder();
  it("may be in column-major order", async () => {
    const path = await folder.fresh();
    const rows = encodeNpy(float32Tensor([2, 3], [1, 4, 2, 5, 3, 6]));
    const columns = Buffer.from(Buffer.from(rows).toString("latin1").replace("False", "True "), "latin1");
    await writeFiles(path, { "x.npy": columns });
    const inputs = [floatInput("N", 3)];
    const [sample] = await collect(prepareSamples(await openDataset(path), "raw", inputs, { shuffle: false, limit: 1 }));
    expect([...new Float32Array(sample?.feeds.input?.bytes().slice().buffer as ArrayBuffer)]).toEqual([1, 2, 3]);
  });
  it("name the arrays there are when one is missing", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "x.npy": x, "y.npy": y });
    await expect(openDataset(path, { features: ["z"] })).rejects.toThrow('no array "z"; it has x, y');
  });
});
