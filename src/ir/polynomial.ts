/**
 * Polynomials with integer coefficients over symbolic extents, the arithmetic behind symbolic dims.
 * An atom is a symbol, or one of floor(a / b), max(a, b), min(a, b) of polynomials, which stay opaque.
 * Every symbol stands for an extent and is taken to be at least 1.
 */
export interface Atom {
  readonly text: string;
  readonly call?: { readonly name: "floor" | "max" | "min"; readonly args: readonly [Polynomial, Polynomial] };
}
export interface Term {
  readonly coefficient: number;
  /** Sorted by text; a power repeats its atom. */
  readonly atoms: readonly Atom[];
}
/** Terms by falling degree, then by name; no two have the same atoms, none is zero. Undefined stands for "cannot be said". */
export type Polynomial = readonly Term[];

/** Beyond these a dim is called unknown: no real shape needs them, and hostile files could otherwise make them explode. */
const maxTerms = 64;
const maxDegree = 16;

export const constant = (value: number): Polynomial => (value === 0 ? [] : [{ coefficient: value, atoms: [] }]);
export const ofAtom = (atom: Atom): Polynomial => [{ coefficient: 1, atoms: [atom] }];

/** The number that a polynomial without symbols stands for. */
export function constantOf(p: Polynomial): number | undefined {
  if (p.length === 0) return 0;
  const [first] = p;
  return p.length === 1 && first && first.atoms.length === 0 ? first.coefficient : undefined;
}

const keyOf = (atoms: readonly Atom[]): string => atoms.map((atom) => atom.text).join("\u0000");

/** Graded lexicographic order; a true monomial order, so division below is exact when it can be. */
function compareMonomials(a: readonly Atom[], b: readonly Atom[]): number {
  if (a.length !== b.length) return b.length - a.length;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [(a[i] as Atom).text, (b[i] as Atom).text];
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function collect(terms: readonly Term[]): Polynomial | undefined {
  const sums = new Map<string, Term>();
  for (const { coefficient, atoms } of terms) {
    const key = keyOf(atoms);
    sums.set(key, { coefficient: (sums.get(key)?.coefficient ?? 0) + coefficient, atoms });
  }
  const kept = [...sums.values()].filter((term) => term.coefficient !== 0);
  const sound = kept.every((term) => Number.isSafeInteger(term.coefficient) && term.atoms.length <= maxDegree);
  if (!sound || kept.length > maxTerms) return undefined;
  return kept.sort((a, b) => compareMonomials(a.atoms, b.atoms));
}

export const add = (a: Polynomial, b: Polynomial): Polynomial | undefined => collect([...a, ...b]);
export const negate = (a: Polynomial): Polynomial => a.map((t) => ({ coefficient: -t.coefficient, atoms: t.atoms }));
export const subtract = (a: Polynomial, b: Polynomial): Polynomial | undefined => add(a, negate(b));

const multiplyTerms = (a: Term, b: Term): Term => ({
  coefficient: a.coefficient * b.coefficient,
  atoms: [...a.atoms, ...b.atoms].sort((x, y) => (x.text < y.text ? -1 : x.text > y.text ? 1 : 0)),
});
export const multiply = (a: Polynomial, b: Polynomial): Polynomial | undefined =>
  collect(a.flatMap((x) => b.map((y) => multiplyTerms(x, y))));

/** a / b of single terms, undefined when it does not come out even. */
function divideTerm(a: Term, b: Term): Term | undefined {
  if (a.coefficient % b.coefficient !== 0) return undefined;
  const rest = [...a.atoms];
  for (const atom of b.atoms) {
    const at = rest.findIndex((other) => other.text === atom.text);
    if (at < 0) return undefined;
    rest.splice(at, 1);
  }
  return { coefficient: a.coefficient / b.coefficient, atoms: rest };
}

/** a / b when b divides a exactly (long division by the leading term). */
export function divideExactly(a: Polynomial, b: Polynomial): Polynomial | undefined {
  const [lead] = b;
  if (!lead) return undefined;
  const quotient: Term[] = [];
  let rest: Polynomial = a;
  while (rest.length > 0 && quotient.length <= maxTerms) {
    const term = divideTerm(rest[0] as Term, lead);
    const next = term && subtract(rest, multiply([term], b) ?? []);
    if (!term || !next) return undefined;
    quotient.push(term);
    rest = next;
  }
  return rest.length > 0 ? undefined : collect(quotient);
}

/** The least that a polynomial can be while every symbol is at least 1; -Infinity when that cannot be said. */
export function lowerBound(p: Polynomial): number {
  let bound = 0;
  for (const { coefficient, atoms } of p) {
    if (coefficient < 0 && atoms.length > 0) return Number.NEGATIVE_INFINITY;
    const bounds = atoms.map(atomBound);
    // A factor that may be negative can push the product anywhere.
    if (bounds.some((least) => least < 0)) return Number.NEGATIVE_INFINITY;
    bound += bounds.reduce((product, least) => product * least, coefficient);
  }
  return bound;
}

function atomBound({ call }: Atom): number {
  if (!call) return 1;
  const [a, b] = call.args.map(lowerBound) as [number, number];
  if (call.name === "max") return Math.max(a, b);
  if (call.name === "min") return Math.min(a, b);
  const divisor = constantOf(call.args[1]);
  if (a < 0) return Number.NEGATIVE_INFINITY;
  return divisor === undefined ? 0 : Math.floor(a / divisor);
}

/** "(H + 1) / 2" and "N / (H*W)": a division binds tighter than the sums and products around it. */
const dividend = (p: Polynomial): string => (p.length > 1 || (p[0]?.coefficient ?? 0) < 0 ? `(${print(p)})` : print(p));
const isOneFactor = (p: Polynomial): boolean =>
  constantOf(p) !== undefined || (p.length === 1 && p[0]?.coefficient === 1 && p[0].atoms.length === 1);
const divisor = (p: Polynomial): string => (isOneFactor(p) ? print(p) : `(${print(p)})`);

export const callAtom = (name: "floor" | "max" | "min", a: Polynomial, b: Polynomial): Atom => ({
  text: name === "floor" ? `floor(${dividend(a)} / ${divisor(b)})` : `${name}(${print(a)}, ${print(b)})`,
  call: { name, args: [a, b] },
});

/** max or min, decided where the difference has a known sign. */
export function extreme(name: "max" | "min", a: Polynomial, b: Polynomial): Polynomial | undefined {
  const difference = subtract(a, b);
  const opposite = subtract(b, a);
  if (difference && lowerBound(difference) >= 0) return name === "max" ? a : b;
  if (opposite && lowerBound(opposite) >= 0) return name === "max" ? b : a;
  return ofAtom(print(a) < print(b) ? callAtom(name, a, b) : callAtom(name, b, a));
}

/** floor(a / b) for positive b; even parts are taken out of the quotient, nested floors by numbers are joined. */
export function floorDivide(a: Polynomial, b: Polynomial): Polynomial | undefined {
  const divisor = constantOf(b);
  if (divisor !== undefined) return divisor > 0 ? floorByNumber(a, divisor) : undefined;
  return divideExactly(a, b) ?? ofAtom(callAtom("floor", a, b));
}

function floorByNumber(a: Polynomial, divisor: number): Polynomial | undefined {
  const even: Term[] = [];
  const rest: Term[] = [];
  for (const { coefficient, atoms } of a) {
    const quotient = Math.floor(coefficient / divisor);
    const isEven = coefficient % divisor === 0 || atoms.length === 0;
    if (isEven) even.push({ coefficient: quotient, atoms });
    const remainder = coefficient - quotient * divisor;
    if (!isEven) rest.push({ coefficient, atoms });
    else if (remainder !== 0) rest.push({ coefficient: remainder, atoms });
  }
  const whole = collect(even);
  const numerator = collect(rest);
  if (!whole || !numerator) return undefined;
  const below = constantOf(numerator);
  if (below !== undefined) return add(whole, constant(Math.floor(below / divisor)));
  return add(whole, ofAtom(joinFloors(numerator, divisor)));
}

/** floor((floor(x / c) + k) / d) = floor((x + k*c) / (c*d)) for whole numbers c, d > 0. */
function joinFloors(numerator: Polynomial, divisor: number): Atom {
  const inner = numerator.find((t) => t.coefficient === 1 && t.atoms.length === 1 && t.atoms[0]?.call?.name === "floor");
  const call = inner?.atoms[0]?.call;
  const innerDivisor = call && constantOf(call.args[1]);
  const offset = inner && constantOf(numerator.filter((t) => t !== inner));
  if (call && innerDivisor !== undefined && offset !== undefined && Number.isSafeInteger(innerDivisor * divisor)) {
    const joined = add(call.args[0], constant(offset * innerDivisor));
    if (joined) return callAtom("floor", joined, constant(innerDivisor * divisor));
  }
  return callAtom("floor", numerator, constant(divisor));
}

const plainSymbol = /^[^\s\d*+\-/(),`?][^\s*+/(),`]*$/u;
const printAtom = (atom: Atom): string => (atom.call || plainSymbol.test(atom.text) ? atom.text : `\`${atom.text}\``);

function printTerm({ coefficient, atoms }: Term): string {
  const size = Math.abs(coefficient);
  const factors = atoms.map(printAtom);
  if (size !== 1 || factors.length === 0) factors.unshift(String(size));
  return factors.join("*");
}

/** Canonical text: equal polynomials print equally, and the text reads back as the same polynomial. */
export function print(p: Polynomial): string {
  if (p.length === 0) return "0";
  return p
    .map((term, i) => (i === 0 ? (term.coefficient < 0 ? "-" : "") : term.coefficient < 0 ? " - " : " + ") + printTerm(term))
    .join("");
}
