import {
  add,
  constant,
  constantOf,
  extreme,
  floorDivide,
  lowerBound,
  multiply,
  ofAtom,
  type Polynomial,
  print,
  subtract,
} from "./polynomial.ts";
import { parsePolynomial } from "./polynomial-parse.ts";
import { type Dim, type Shape, unknownDim } from "./shape.ts";

/** Parsed dims by text; dropped as a whole when it grows, so that hostile models cannot fill the memory. */
const parsed = new Map<string, Polynomial | undefined>();
const maxParsed = 5000;

function polynomialOf(dim: Dim): Polynomial | undefined {
  if (typeof dim === "number") return Number.isSafeInteger(dim) ? constant(dim) : undefined;
  if (dim === unknownDim) return undefined;
  if (parsed.has(dim)) return parsed.get(dim);
  if (parsed.size >= maxParsed) parsed.clear();
  const polynomial = parsePolynomial(dim);
  parsed.set(dim, polynomial);
  return polynomial;
}

function dimOf(polynomial: Polynomial | undefined): Dim {
  if (!polynomial) return unknownDim;
  const number = constantOf(polynomial);
  if (number !== undefined) return number;
  const [only] = polynomial;
  // A lone symbol keeps its own text, whatever characters it has.
  if (polynomial.length === 1 && only?.coefficient === 1 && only.atoms.length === 1) return only.atoms[0]?.text ?? unknownDim;
  const text = print(polynomial);
  return text.length > 1000 ? unknownDim : text;
}

type Operation = (a: Polynomial, b: Polynomial) => Polynomial | undefined;
const lift =
  (operation: Operation) =>
  (a: Dim, b: Dim): Dim => {
    const [x, y] = [polynomialOf(a), polynomialOf(b)];
    return x && y ? dimOf(operation(x, y)) : unknownDim;
  };

/** False for "?" only; a symbolic dim is known by its name. */
export const isKnown = (dim: Dim | undefined): dim is Dim => dim !== undefined && dim !== unknownDim;

/** The canonical form of a dim as files write it: "N*2+1" becomes "2*N + 1", "12" becomes 12, "" becomes "?". */
export const canonicalDim = (dim: Dim): Dim => (typeof dim === "number" ? dim : dimOf(polynomialOf(dim)));

export const addDims: (a: Dim, b: Dim) => Dim = lift(add);
export const subDims: (a: Dim, b: Dim) => Dim = lift(subtract);
const multiplyKnown = lift(multiply);
/** Zero times anything is zero. */
export const mulDims = (a: Dim, b: Dim): Dim => (a === 0 || b === 0 ? 0 : multiplyKnown(a, b));

/** floor(a / b); unknown unless b is a positive number or symbolic (extents are at least 1). */
export const floorDivDims: (a: Dim, b: Dim) => Dim = lift(floorDivide);
/** ceil(a / b) = floor((a + b - 1) / b). */
export const ceilDivDims = (a: Dim, b: Dim): Dim => floorDivDims(addDims(a, subDims(b, 1)), b);
export const maxDims: (a: Dim, b: Dim) => Dim = lift((a, b) => extreme("max", a, b));
export const minDims: (a: Dim, b: Dim) => Dim = lift((a, b) => extreme("min", a, b));

/** True when `dim` cannot be less than `bound` as long as every symbol is at least 1. */
export function isAtLeast(dim: Dim, bound: number): boolean {
  const polynomial = polynomialOf(dim);
  return polynomial !== undefined && lowerBound(polynomial) >= bound;
}

/** Number of elements; "?" when an extent is unknown (and none is 0). */
export const productOf = (shape: Shape): Dim => shape.reduce<Dim>(mulDims, 1);

/** Replaces symbols by other dims: substitute("2*N + 1", { N: 4 }) is 9. Symbols without an entry stay. */
export function substitute(dim: Dim, bindings: Readonly<Record<string, Dim>>): Dim {
  if (typeof dim === "number") return dim;
  const polynomial = polynomialOf(dim);
  return polynomial ? dimOf(substitutePolynomial(polynomial, bindings)) : unknownDim;
}

function substitutePolynomial(p: Polynomial, bindings: Readonly<Record<string, Dim>>): Polynomial | undefined {
  let sum: Polynomial | undefined = [];
  for (const { coefficient, atoms } of p) {
    let product: Polynomial | undefined = constant(coefficient);
    for (const atom of atoms) {
      const factor = atom.call ? substituteCall(atom.call, bindings) : bound(atom.text, bindings);
      product = product && factor && multiply(product, factor);
    }
    sum = sum && product && add(sum, product);
  }
  return sum;
}

const bound = (name: string, bindings: Readonly<Record<string, Dim>>): Polynomial | undefined =>
  Object.hasOwn(bindings, name) ? polynomialOf(bindings[name] as Dim) : ofAtom({ text: name });

type AtomCall = { readonly name: "floor" | "max" | "min"; readonly args: readonly [Polynomial, Polynomial] };
function substituteCall({ name, args }: AtomCall, bindings: Readonly<Record<string, Dim>>): Polynomial | undefined {
  const [a, b] = args.map((arg) => substitutePolynomial(arg, bindings));
  if (!a || !b) return undefined;
  return name === "floor" ? floorDivide(a, b) : extreme(name, a, b);
}

/** The symbols that a dim is made of; none for numbers and "?". */
export function symbolsOf(dim: Dim): readonly string[] {
  const names = new Set<string>();
  const visit = (p: Polynomial): void => {
    for (const { atoms } of p)
      for (const atom of atoms) {
        if (atom.call) atom.call.args.forEach(visit);
        else names.add(atom.text);
      }
  };
  visit(polynomialOf(dim) ?? []);
  return [...names].sort();
}

/**
 * The extent of two aligned axes under numpy broadcasting; undefined when they contradict (3 and 4).
 * Two different symbols give max(a, b): one of them must turn out as 1, or both as the same.
 */
export function broadcastDims(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return a;
  if (a === 1) return b;
  if (b === 1) return a;
  if (typeof a === "number") return typeof b === "number" ? undefined : a;
  if (typeof b === "number") return b;
  return maxDims(a, b);
}

/** Numpy broadcasting of whole shapes; undefined when a rank is unknown. `reject` is called when shapes contradict. */
export function broadcastShapes(shapes: readonly (Shape | undefined)[], reject: (reason: string) => never): Shape | undefined {
  const known: Shape[] = [];
  for (const shape of shapes) {
    if (!shape) return undefined;
    known.push(shape);
  }
  const rank = Math.max(0, ...known.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let extent: Dim = 1;
    for (const shape of known) {
      const at = axis - (rank - shape.length);
      const merged: Dim | undefined = at < 0 ? extent : broadcastDims(extent, shape[at] as Dim);
      if (merged === undefined) reject(`shapes ${known.map((s) => `[${s.join(",")}]`).join(" and ")} do not broadcast`);
      extent = merged as Dim;
    }
    return extent;
  });
}
