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
