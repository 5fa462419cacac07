import { describe, expect, it } from "vitest";
import { noRealData, realData } from "../../../test/real-data.ts";
import { collect, temporaryFolder, testDataset } from "../../../test/suites/dataset.ts";
import { floatInput, imageInput, png, tokenInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { openDataset, prepareSamples } from "../index.ts";

const table =
  (content: string, name = "data.csv", options?: Readonly<Record<string, unknown>>) =>
  async (folder: string) => {
    await writeFiles(folder, { [name]: content });
    return { path: `${folder}/${name}`, ...(options ? { options } : {}) };
  };

testDataset({
  kind: "csv",
  title: "numbers with class names",
  build: table('length,width,species\n1.5,2,"iris, blue"\n3,4,"aster"\n5,6,"iris, blue"\n7,8,aster\n'),
  length: 4,
  features: ["x"],
  label: "class",
  classes: ["aster", "iris, blue"],
  targets: [1, 0, 1, 0],
  inputs: [floatInput("N", 2)],
  preprocess: "raw",
  firstValues: { input: [1.5, 2] },
  broken: [
    {
      title: "a missing number",
      build: table("a,b,label\n1,2,0\n3,,1\n5,6,0\n"),
      code: "DATA_NOT_FINITE",
      names: "row 3",
      skippable: true,
    },
    {
      title: "a word among numbers",
      build: table(`a,b,label\n${"1,2,0\n".repeat(120)}3,many,1\n`),
      code: "DATA_CORRUPT",
      names: '"many" in column "b"',
      skippable: true,
    },
    {
      title: "a class number without a class",
      build: async (folder) => {
        await writeFiles(folder, { "data.csv": "a,b,label\n1,2,0\n3,4,7\n", "classes.txt": "no\nyes\n" });
        return { path: `${folder}/data.csv` };
      },
      code: "DATA_LABEL_RANGE",
      names: "class 7",
    },
    { title: "an empty file", build: table(""), code: "DATA_EMPTY", names: "no column" },
    { title: "a heading and nothing else", build: table("a,b,label\n"), code: "DATA_EMPTY", names: "data.csv" },
    {
      title: "a quote without its end",
      build: table('a,b,label\n1,"2,0\n3,4,1\n'),
      code: "DATA_CORRUPT",
      names: "not a readable table",
    },
    {
      title: "a label column that is not there",
      build: table("a,b\n1,2\n", "data.csv", { label: "kind" }),
      code: "DATA_OPTIONS",
      names: "a, b",
    },
  ],
});

testDataset({
  kind: "csv",
  title: "file names",
  build: async (folder) => {
    await writeFiles(folder, {
      "list.csv": "file;class\npics/a.png;1\npics/b.png;0\n",
      "pics/a.png": await png(1),
      "pics/b.png": await png(2),
    });
    return { path: `${folder}/list.csv` };
  },
  length: 2,
  features: ["image"],
  label: "class",
  targets: [1, 0],
  inputs: [imageInput()],
  preprocess: "unit",
  firstValues: { input: [37 / 255] },
  broken: [
    {
      title: "a file that is missing",
      build: async (folder) => {
        await writeFiles(folder, { "list.csv": "file,class\na.png,1\ngone.png,0\n", "a.png": await png(1) });
        return { path: `${folder}/list.csv` };
      },
      code: "DATA_CORRUPT",
      names: "gone.png",
      skippable: true,
    },
  ],
});

testDataset({
  kind: "csv",
  title: "texts with values to predict",
  build: async (folder) => {
    await writeFiles(folder, {
      "reviews.csv": 'text,target\n"good, very good",0.9\nbad one,0.1\n',
      "vocab.txt": "[PAD]\n[UNK]\ngood,\nbad\ngood\n",
    });
    return { path: `${folder}/reviews.csv` };
  },
  length: 2,
  features: ["text"],
  label: "tensor",
  inputs: [tokenInput("ids", 4)],
  preprocess: "words-plain",
  firstValues: { ids: [2, 1, 4, 0] },
  broken: [],
});

describe("tables", () => {
  const folder = temporaryFolder();
  it("without a heading are told by their first row", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "data.csv": "5,6,setosa\n7,8,other\n" });
    const dataset = await openDataset(`${path}/data.csv`);
    expect(dataset.length).toBe(2);
    expect(dataset.classes).toEqual(["other", "setosa"]);
  });
  it("of numbers alone carry no label unless one is named", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "data.csv": "5,6,0\n7,8,1\n" });
    expect((await openDataset(`${path}/data.csv`)).summary).toContain("no label column");
    const dataset = await openDataset(`${path}/data.csv`, { label: 2 });
    const samples = await collect(prepareSamples(dataset, "raw", [floatInput("N", 2)], { shuffle: false }));
    expect(samples.map((sample) => sample.target)).toEqual([
      { kind: "class", index: 0 },
      { kind: "class", index: 1 },
    ]);
  });
  it("keep rows with line breaks in quotes whole", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "data.csv": '\uFEFFtext,label\r\n"two\nlines",1\r\nplain text,0\r\n' });
    const dataset = await openDataset(`${path}/data.csv`);
    expect((await dataset.sample(0)).text).toBe("two\nlines");
    expect((await dataset.sample(1)).text).toBe("plain text");
  });
});

describe.skipIf(noRealData)("a real table", () => {
  it("opens, counts and reads", async () => {
    const dataset = await openDataset(realData("sst2", "dev.tsv"), { kind: "csv", header: false, text: 0, label: 1 });
    expect(dataset.length).toBe(872);
    expect(await dataset.sample(0)).toMatchObject({ text: "one long string of cliches", label: { kind: "class", index: 0 } });
  });
});
