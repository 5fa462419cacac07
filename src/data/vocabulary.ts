import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { EdgewrightError, fail } from "../util/errors.ts";
import type { Dataset } from "./dataset.ts";
import { readText } from "./files.ts";
import type { TextPreprocess } from "./preprocess.ts";
import { type Encoded, specialTokens, tokenizerFromJson } from "./tokenizer.ts";

/** Text → token numbers, special tokens included, cut to `maxLength`; and the number that fills the rest. */
export interface TextEncoder {
  readonly pad: number;
  /** Tokens that carry no text: padding, begin, end and their like. */
  readonly special: readonly number[];
  /** Stands for what the vocabulary does not hold. */
  readonly unknown: number | undefined;
  encode(text: string, maxLength: number | undefined): Encoded;
}

function vocabularyPath(spec: TextPreprocess, folder: string): string {
  if (spec.vocabulary !== undefined) return isAbsolute(spec.vocabulary) ? spec.vocabulary : join(folder, spec.vocabulary);
  const names = { auto: ["tokenizer.json", "vocab.txt"], words: ["vocab.txt"], tokenizer: ["tokenizer.json"] }[spec.tokenizer];
  const found = names.map((name) => join(folder, name)).find((path) => existsSync(path));
  return (
    found ??
    fail("DATA_VOCABULARY", `There is no ${names.join(" or ")} in "${folder}", so text cannot become token numbers.`, {
      subject: folder,
      hint: "Put the model's vocabulary beside the data, or name it with text.vocabulary.",
    })
  );
}

/** Opens the vocabulary or tokenizer that `spec` asks for. */
export async function openTextEncoder(spec: TextPreprocess, dataset: Pick<Dataset, "folder">): Promise<TextEncoder> {
  const path = vocabularyPath(spec, dataset.folder);
  const content = await readText(path);
  const json = spec.tokenizer === "tokenizer" || (spec.tokenizer === "auto" && path.endsWith(".json"));
  return json ? jsonEncoder(spec, content, path) : wordEncoder(spec, content, path);
}

function jsonEncoder(spec: TextPreprocess, content: string, path: string): TextEncoder {
  const encode = tokenizerFromJson(content, path);
  if (typeof spec.pad !== "number")
    fail("PREPROCESS_INVALID", `text.pad must be a number with a tokenizer.json, not "${spec.pad}".`);
  const { special, unknown } = specialTokens(content);
  return {
    pad: spec.pad,
    special: [...new Set([spec.pad, ...special])],
    unknown,
    encode(text, maxLength) {
      const { ids, typeIds } = encode(spec.lowercase ? text.toLowerCase() : text);
      if (maxLength === undefined || ids.length <= maxLength) return { ids, typeIds };
      // the last token is the closing special token: models were trained to see it even on cut texts
      const cut = (list: readonly number[]): number[] => [...list.slice(0, maxLength - 1), list.at(-1) as number];
      return { ids: cut(ids), typeIds: typeIds && cut(typeIds) };
    },
  };
}

function wordEncoder(spec: TextPreprocess, content: string, path: string): TextEncoder {
  const lines = content.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const numbers = new Map(lines.map((token, i) => [token, i]));
  const idOf = (token: string | number, field: string): number => {
    const id = typeof token === "number" ? token : numbers.get(token);
    if (id !== undefined && id < lines.length) return id;
    throw new EdgewrightError(
      "DATA_VOCABULARY",
      `text.${field} is ${JSON.stringify(token)}, which "${path}" (${lines.length} tokens) does not hold.`,
      {
        subject: path,
        hint: `Give text.${field} as a token of the vocabulary or as its line number, counted from 0.`,
      },
    );
  };
  const unknown = idOf(spec.unknown, "unknown");
  const before = spec.cls === null ? [] : [idOf(spec.cls, "cls")];
  const after = spec.sep === null ? [] : [idOf(spec.sep, "sep")];
  const pad = idOf(spec.pad, "pad");
  return {
    pad,
    special: [...new Set([pad, ...before, ...after])],
    unknown,
    encode(text, maxLength = Number.POSITIVE_INFINITY) {
      const words = (spec.lowercase ? text.toLowerCase() : text).split(/\s+/).filter((word) => word !== "");
      const room = Math.max(0, maxLength - before.length - after.length);
      const ids = words.slice(0, room).map((word) => numbers.get(word) ?? unknown);
      return { ids: [...before, ...ids, ...after].slice(0, maxLength) };
    },
  };
}
