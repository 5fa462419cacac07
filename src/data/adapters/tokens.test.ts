import { testDataset } from "../../../test/suites/dataset.ts";
import { tokenInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";

const write = (content: string, options?: Readonly<Record<string, unknown>>) => async (folder: string) => {
  await writeFiles(folder, { "sequences.txt": content });
  return { path: `${folder}/sequences.txt`, ...(options ? { options } : {}) };
};

testDataset({
  kind: "tokens",
  title: "input and target sequences",
  build: write("2 0 1\t0 1 2\n1 1 0\t0 1 1\n"),
  length: 2,
  features: ["tokens"],
  label: "tokens",
  targets: [
    { kind: "tokens", tokens: [0, 1, 2] },
    { kind: "tokens", tokens: [0, 1, 1] },
  ],
  inputs: [tokenInput("ids", 5)],
  preprocess: { text: { pad: 9 } },
  firstValues: { ids: [2, 0, 1, 9, 9] },
  broken: [
    { title: "a word among the numbers", build: write("1 2 3\t1 2\n4 x 6\t4 5\n"), code: "DATA_LABEL_RANGE", names: '"x"' },
    {
      title: "a token beyond the vocabulary",
      build: write("1 2 3\t1 2\n4 50 6\t4 5\n", { vocabularySize: 50 }),
      code: "DATA_LABEL_RANGE",
      names: '"50"',
    },
    {
      title: "a line without a target",
      build: write("1 2 3\t1 2\n4 5 6\n"),
      code: "DATA_CORRUPT",
      names: "line 2",
      skippable: true,
    },
  ],
});
