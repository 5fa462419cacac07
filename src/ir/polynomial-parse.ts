import { add, constant, extreme, floorDivide, multiply, negate, ofAtom, type Polynomial, subtract } from "./polynomial.ts";

/** Longer or deeper texts than this are not looked into; they stay opaque names. */
const maxLength = 1000;
const maxDepth = 16;

class NotAnExpression extends Error {}

/**
 * Reads "2*N + floor((M + 1) / 2) - 3". A minus without spaces around it belongs to a name ("batch-size").
 * Any other text is one opaque symbol of that name; undefined means "unknown" ("?" and the empty text).
 */
export function parsePolynomial(text: string): Polynomial | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "?") return undefined;
  try {
    if (trimmed.length > maxLength) throw new NotAnExpression();
    return new Reader(trimmed).whole();
  } catch (error) {
    if (!(error instanceof NotAnExpression)) throw error;
    return trimmed.includes("`") ? undefined : ofAtom({ text: trimmed });
  }
}

const calls = { floor: "floor", ceil: "ceil", max: "max", min: "min", Max: "max", Min: "min" } as const;

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (!match) return undefined;
    this.#at += match[0].length;
    return match[1] ?? match[0];
  }

  #need<T>(value: T | undefined): T {
    if (value === undefined) throw new NotAnExpression();
    return value;
  }

  whole(): Polynomial {
    const result = this.#sum();
    if (this.#at < this.#text.length) throw new NotAnExpression();
    return result;
  }

  #sum(): Polynomial {
    if (++this.#depth > maxDepth) throw new NotAnExpression();
    let result = this.#take(/\s*-/y) ? negate(this.#product()) : this.#product();
    for (;;) {
      if (this.#take(/\s*\+/y)) result = this.#need(add(result, this.#product()));
      else if (this.#take(/\s+-\s+/y)) result = this.#need(subtract(result, this.#product()));
      else break;
    }
    this.#depth--;
    return result;
  }

  #product(): Polynomial {
    let result = this.#factor();
    while (this.#take(/\s*\*/y)) result = this.#need(multiply(result, this.#factor()));
    return result;
  }

  #factor(): Polynomial {
    const number = this.#take(/\s*(\d+)(?![^\s*+/(),])/y);
    if (number !== undefined) return constant(this.#need(Number.isSafeInteger(Number(number)) ? Number(number) : undefined));
    const quoted = this.#take(/\s*`([^`]+)`/y);
    if (quoted !== undefined) return ofAtom({ text: quoted });
    if (this.#take(/\s*\(/y)) return this.#closed(this.#sum());
    const name = this.#need(this.#take(/\s*([^\s\d*+\-/(),`?][^\s*+/(),`]*)/uy));
    return this.#take(/\(/y) ? this.#call(name) : ofAtom({ text: name });
  }

  #call(name: string): Polynomial {
    const known = this.#need(Object.hasOwn(calls, name) ? calls[name as keyof typeof calls] : undefined);
    // A quotient of sums has them in parentheses: "floor(H + 1 / 2)" would be H + 0.5, which is no integer polynomial.
    const quotient = known === "floor" || known === "ceil";
    const first = quotient ? this.#product() : this.#sum();
    this.#need(this.#take(quotient ? /\s*\//y : /\s*,/y));
    const second = this.#closed(quotient ? this.#factor() : this.#sum());
    if (known === "max" || known === "min") return this.#need(extreme(known, first, second));
    const numerator = known === "floor" ? first : add(first, this.#need(subtract(second, constant(1))));
    return this.#need(floorDivide(this.#need(numerator), second));
  }

  #closed(inner: Polynomial): Polynomial {
    this.#need(this.#take(/\s*\)/y));
    return inner;
  }
}
