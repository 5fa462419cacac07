import { fail } from "../util/errors.ts";

export type TokenKind = "identifier" | "string" | "integer" | "float" | "punctuation" | "end";
export interface Token {
  readonly kind: TokenKind;
  /** A string's contents without its quotes; other tokens as written. */
  readonly text: string;
  readonly position: number;
}

const identifier = /[A-Za-z_][A-Za-z0-9_]*/y;
const number = /[+-]?(?:\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?:inf|infinity|nan)(?![A-Za-z0-9_]))/iy;
const space = /(?:\s+|#[^\n]*)+/y;

/** Tokens of ONNX's text syntax, one ahead. Errors (`TEXT_SYNTAX`) say line and column. */
export class Lexer {
  readonly source: string;
  #position = 0;
  #token: Token;

  constructor(source: string) {
    this.source = source;
    this.#token = this.#scan();
  }

  get token(): Token {
    return this.#token;
  }

  /** Takes the token and moves on. */
  next(): Token {
    const token = this.#token;
    this.#token = this.#scan();
    return token;
  }

  /** The token after the current one. */
  peek(): Token {
    const position = this.#position;
    const ahead = this.#scan();
    this.#position = position;
    return ahead;
  }

  is(text: string): boolean {
    return this.#token.kind === "punctuation" && this.#token.text === text;
  }

  isWord(text: string): boolean {
    return this.#token.kind === "identifier" && this.#token.text === text;
  }

  /** Takes the punctuation if it is there. */
  accept(text: string): boolean {
    if (!this.is(text)) return false;
    this.next();
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) this.reject(`"${text}"`);
  }

  take(kind: TokenKind, what: string = kind): string {
    if (this.#token.kind !== kind) this.reject(what);
    return this.next().text;
  }

  /** Items between brackets, separated by commas; the opening bracket is the current token. */
  list(open: string, close: string, item: () => void): void {
    this.expect(open);
    if (this.accept(close)) return;
    do item();
    while (this.accept(","));
    this.expect(close);
  }

  reject(expected: string): never {
    const { kind, text } = this.#token;
    this.error(`expected ${expected} but found ${kind === "end" ? "the end of the text" : `"${text.slice(0, 40)}"`}`);
  }

  error(reason: string, position = this.#token.position): never {
    const before = this.source.slice(0, position).split("\n");
    const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
    fail("TEXT_SYNTAX", `The model's text is wrong at ${place}: ${reason}.`, { subject: place });
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.source);
    if (match) this.#position = pattern.lastIndex;
    return match;
  }

  #scan(): Token {
    this.#match(space);
    const position = this.#position;
    const char = this.source[position];
    if (char === undefined) return { kind: "end", text: "", position };
    if (char === '"') return { kind: "string", text: this.#string(), position };
    // "nan" and "inf" are identifiers unless signed; whoever expects a number reads them as such
    const word = this.#match(identifier);
    if (word) return { kind: "identifier", text: word[0], position };
    const digits = this.#match(number);
    if (digits) return { kind: /^[+-]?\d+$/.test(digits[0]) ? "integer" : "float", text: digits[0], position };
    const text = this.source.startsWith("=>", position) ? "=>" : char;
    this.#position += text.length;
    return { kind: "punctuation", text, position };
  }

  #string(): string {
    let text = "";
    for (let i = this.#position + 1; i < this.source.length; i++) {
      const char = this.source[i] as string;
      if (char === '"') {
        this.#position = i + 1;
        return text;
      }
      text += char === "\\" ? (this.source[++i] ?? "") : char;
    }
    const position = this.#position;
    this.#position = this.source.length;
    return this.error("a string has no end", position);
  }
}
