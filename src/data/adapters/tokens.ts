import { z } from "zod";
import { EdgewrightError } from "../../util/errors.ts";
import { defineDataset, type SampleSource } from "../define.ts";
import { openTextBytes } from "../files.ts";
import { indexLines } from "../lines.ts";
import { headLines } from "./text.ts";

const options = z.strictObject({
  /** Size of the vocabulary: token numbers beyond it stop with an error. */
  vocabularySize: z.int().positive().optional(),
});

function parseTokens(cell: string, origin: string, vocabularySize: number | undefined): number[] {
  return cell
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => {
      const token = Number(word);
      if (Number.isSafeInteger(token) && token >= 0 && (vocabularySize === undefined || token < vocabularySize)) return token;
      const range = vocabularySize === undefined ? "whole numbers from 0" : `0 to ${vocabularySize - 1}`;
      throw new EdgewrightError("DATA_LABEL_RANGE", `"${origin}" has the token "${word}"; tokens are ${range}.`, {
        subject: origin,
      });
    });
}

/** Sequences of token numbers: "input tokens", or "input tokens TAB target tokens", one a line. */
export const tokens = defineDataset({
  name: "tokens",
  summary: 'lines of token numbers, "input" or "input TAB target" (.txt, .tsv, .tokens)',
  options,
  detect(facts) {
    if (facts.directory || !/\.(txt|tsv|tokens)$/.test(facts.name)) return undefined;
    const lines = headLines(facts.head);
    const fits = lines.length > 0 && lines.every((line) => /^\d+( \d+)+\s*(\t\d+( \d+)*\s*)?$/.test(line));
    return fits ? { confidence: 0.95, why: "holds lines of whole numbers" } : undefined;
  },
  async open(path, { vocabularySize }): Promise<SampleSource> {
    const lines = await indexLines(await openTextBytes(path));
    const labelled = lines.length > 0 && (await lines.line(0)).includes("\t");
    return {
      summary: `${lines.length} token sequences ${labelled ? "with target sequences" : "without targets"}`,
      features: [{ kind: "tokens", name: "tokens" }],
      label: labelled ? "tokens" : undefined,
      length: lines.length,
      origin: (index) => `line ${index + 1}`,
      async read(index) {
        const origin = `line ${index + 1}`;
        const [input = "", target] = (await lines.line(index)).split("\t");
        if (labelled && target === undefined)
          throw new EdgewrightError("DATA_CORRUPT", `"${path}" ${origin} has no tab between input and target.`, {
            subject: path,
          });
        const sample = { origin, tokens: parseTokens(input, `${path} ${origin}`, vocabularySize) };
        if (target === undefined) return sample;
        return { ...sample, label: { kind: "tokens", tokens: parseTokens(target, `${path} ${origin}`, vocabularySize) } };
      },
    };
  },
});
