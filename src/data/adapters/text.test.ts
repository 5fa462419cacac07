import { expect } from "vitest";
import { testDataset } from "../../../test/suites/dataset.ts";
import { tokenInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { toNumbers } from "../../ir/index.ts";

const vocabulary = ["[PAD]", "[UNK]", "[CLS]", "the", "film", "good", "bad"].join("\n");
const lines = "the Film good\t1\nbad film\t0\nthe the unseen bad film\t0\ngood\t1\n";

/** The smallest tokenizer.json: words by white space, lower-cased, between [CLS] and [SEP]. */
const tokenizer = JSON.stringify({
  version: "1.0",
  added_tokens: [],
  normalizer: { type: "Lowercase" },
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "[CLS]", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "[SEP]", type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [7], tokens: ["[SEP]"] },
    },
  },
  decoder: null,
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: { "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, the: 3, film: 4, good: 5, bad: 6, "[SEP]": 7, "##s": 8 },
  },
});

testDataset({
  kind: "text",
  title: "text, tab, label through a vocabulary",
  build: async (folder) => {
    await writeFiles(folder, { "train.tsv": lines, "vocab.txt": vocabulary });
    return { path: `${folder}/train.tsv` };
  },
  length: 4,
  features: ["text"],
  label: "class",
  targets: [1, 0, 0, 1],
  inputs: [tokenInput("input_ids", 5), tokenInput("attention_mask", 5)],
  preprocess: "words",
  firstValues: { input_ids: [2, 3, 4, 5, 0], attention_mask: [1, 1, 1, 1, 0] },
  broken: [
    {
      title: "no vocabulary",
      build: async (folder) => {
        await writeFiles(folder, { "train.tsv": lines });
        return { path: `${folder}/train.tsv` };
      },
      code: "DATA_VOCABULARY",
      names: "vocab.txt",
    },
    {
      title: "a vocabulary without the special token",
      build: async (folder) => {
        await writeFiles(folder, { "train.tsv": lines, "vocab.txt": "[PAD]\n[UNK]\nthe\n" });
        return { path: `${folder}/train.tsv` };
      },
      code: "DATA_VOCABULARY",
      names: "[CLS]",
    },
    {
      title: "a line without a label",
      build: async (folder) => {
        await writeFiles(folder, { "train.tsv": `${lines.repeat(20)}no label here\n`, "vocab.txt": vocabulary });
        return { path: `${folder}/train.tsv` };
      },
      code: "DATA_CORRUPT",
      names: "Line 81",
    },
  ],
  real: {
    path: ["sst2", "dev.tsv"],
    length: 872,
    inputs: [tokenInput("input_ids", 48)],
    preprocess: "words",
    take: 2,
    check([sample]) {
      expect(sample?.target).toEqual({ kind: "class", index: 0 });
      const ids = toNumbers(sample?.feeds.input_ids as never);
      expect(ids[0]).toBe(2);
      expect(ids.filter((id) => id !== 0)).toHaveLength(6);
    },
  },
});

testDataset({
  kind: "text",
  title: "through a tokenizer.json, cut to the model's length",
  build: async (folder) => {
    await writeFiles(folder, { "train.tsv": "The films good bad good\tpositive\nbad\tnegative\n", "tokenizer.json": tokenizer });
    return { path: `${folder}/train.tsv` };
  },
  length: 2,
  features: ["text"],
  label: "class",
  classes: ["negative", "positive"],
  targets: [1, 0],
  inputs: [tokenInput("input_ids", 5), tokenInput("attention_mask", 5), tokenInput("token_type_ids", 5)],
  preprocess: "tokenizer",
  firstValues: { input_ids: [2, 3, 4, 8, 7], token_type_ids: [0, 0, 0, 0, 0] },
  broken: [
    {
      title: "a tokenizer.json that is none",
      build: async (folder) => {
        await writeFiles(folder, { "train.tsv": lines, "tokenizer.json": '{"model": 3' });
        return { path: `${folder}/train.tsv` };
      },
      code: "DATA_TOKENIZER",
      names: "tokenizer.json",
    },
  ],
});

testDataset({
  kind: "text",
  title: "lines without labels, as long as they are",
  build: async (folder) => {
    await writeFiles(folder, { "lines.txt": "the film\r\n\r\ngood\r\n", "words.txt": vocabulary });
    return { path: `${folder}/lines.txt` };
  },
  length: 2,
  features: ["text"],
  label: undefined,
  inputs: [tokenInput("anything", "T")],
  preprocess: { preset: "words-plain", text: { vocabulary: "words.txt" } },
  firstValues: { anything: [3, 4] },
  broken: [],
});
