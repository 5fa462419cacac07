import { Tokenizer } from "@huggingface/tokenizers";
import { EdgewrightError } from "../util/errors.ts";

/** Token numbers of one text, all of the same length. */
export interface Encoded {
  readonly ids: readonly number[];
  readonly typeIds?: readonly number[] | undefined;
}

/** Reads a tokenizer.json (WordPiece, BPE, Unigram with their normalizers and special tokens) and returns its encoder. */
export function tokenizerFromJson(json: string, path: string): (text: string) => Encoded {
  try {
    const tokenizer = new Tokenizer(JSON.parse(json), {});
    return (text) => {
      const encoded = tokenizer.encode(text, { return_token_type_ids: true });
      return { ids: encoded.ids, typeIds: encoded.token_type_ids };
    };
  } catch (cause) {
    throw new EdgewrightError("DATA_TOKENIZER", `"${path}" is not a usable tokenizer.json: ${(cause as Error).message}.`, {
      subject: path,
      hint: "Use the tokenizer.json that Hugging Face tokenizers write.",
      cause,
    });
  }
}

/** The added tokens that a tokenizer.json marks as special, without the one for unknown words, and that one. */
export function specialTokens(json: string): { readonly special: readonly number[]; readonly unknown: number | undefined } {
  const { added_tokens: added = [], model } = JSON.parse(json) as {
    readonly added_tokens?: readonly { readonly id: number; readonly content: string; readonly special?: boolean }[];
    readonly model?: { readonly unk_token?: string; readonly unk_id?: number; readonly vocab?: Readonly<Record<string, number>> };
  };
  const word = model?.unk_token ?? undefined;
  const unknown =
    word === undefined ? model?.unk_id : (added.find(({ content }) => content === word)?.id ?? model?.vocab?.[word]);
  return {
    special: added.filter(({ id, special }) => special && id !== unknown).map(({ id }) => id),
    unknown: unknown ?? undefined,
  };
}
