import { addDims, floorDivDims, isAtLeast, maxDims, minDims, mulDims, subDims } from "../ir/dim.ts";
import { type Dim, isInteger, unknownDim } from "../ir/index.ts";
import type { TensorInfo } from "./define.ts";
import { elementsOf } from "./type-rules.ts";

export type ElementRule = (a: Dim, b: Dim) => Dim;

/** Lifts a rule on numbers; anything symbolic gives "?". */
const numbers =
  (rule: (a: number, b: number) => number | boolean): ElementRule =>
  (a, b) => {
    if (typeof a !== "number" || typeof b !== "number") return unknownDim;
    const result = Number(rule(a, b));
    return Number.isSafeInteger(result) ? result : unknownDim;
  };

/** Integer division truncates in ONNX; it is the floor where neither side can be negative. */
const divide: ElementRule = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return b === 0 ? unknownDim : Math.trunc(a / b);
  return isAtLeast(a, 0) && isAtLeast(b, 1) ? floorDivDims(a, b) : unknownDim;
};

/** a − b·floor(a / b): the result has the divisor's sign, as in Python. */
const modulo: ElementRule = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return b === 0 ? unknownDim : a - b * Math.floor(a / b);
  return isAtLeast(a, 0) && isAtLeast(b, 1) ? subDims(a, mulDims(b, floorDivDims(a, b))) : unknownDim;
};

/** Whether a < b, where that is certain for every value of the symbols. */
const less: ElementRule = (a, b) => {
  if (isAtLeast(subDims(b, a), 1)) return 1;
  return isAtLeast(subDims(a, b), 0) ? 0 : unknownDim;
};
const equal: ElementRule = (a, b) => {
  const difference = subDims(a, b);
  if (difference === 0) return 1;
  if (typeof difference === "number" || isAtLeast(difference, 1) || isAtLeast(subDims(b, a), 1)) return 0;
  return unknownDim;
};
const not = (a: Dim): Dim => (typeof a === "number" ? Number(a === 0) : unknownDim);

/** Arithmetic on the contents of small integer tensors: how models compute shapes. */
export const elementRules = {
  Add: addDims,
  Sub: subDims,
  Mul: mulDims,
  Div: divide,
  Mod: modulo,
  Pow: numbers((a, b) => a ** b),
  Min: minDims,
  Max: maxDims,
  Sum: addDims,
  And: numbers((a, b) => a !== 0 && b !== 0),
  Or: numbers((a, b) => a !== 0 || b !== 0),
  Xor: numbers((a, b) => (a !== 0) !== (b !== 0)),
  Equal: equal,
  Less: less,
  Greater: (a, b) => less(b, a),
  LessOrEqual: (a, b) => not(less(b, a)),
  GreaterOrEqual: (a, b) => not(less(a, b)),
} as const satisfies Readonly<Record<string, ElementRule>>;

export const unaryElementRules: Readonly<Record<string, (a: Dim) => Dim>> = {
  Neg: (a) => subDims(0, a),
  Abs: (a) => (typeof a === "number" ? Math.abs(a) : isAtLeast(a, 0) ? a : unknownDim),
  Not: not,
  Sign: (a) => (typeof a === "number" ? Math.sign(a) : isAtLeast(a, 1) ? 1 : unknownDim),
};

const carriesElements = (info: TensorInfo): boolean =>
  (isInteger(info.dtype) || info.dtype === "bool") && (info.shape?.length ?? 2) <= 1;

/** Applies a rule entry by entry, a single entry meeting every other one; undefined when contents are unknown. */
export function combineElements(rule: ElementRule, infos: readonly (TensorInfo | undefined)[]): readonly Dim[] | undefined {
  let result: readonly Dim[] | undefined;
  for (const info of infos) {
    const elements = info && carriesElements(info) ? elementsOf(info) : undefined;
    if (!elements) return undefined;
    result = result ? zip(rule, result, elements) : elements;
    if (!result) return undefined;
  }
  return result;
}

function zip(rule: ElementRule, a: readonly Dim[], b: readonly Dim[]): readonly Dim[] | undefined {
  if (a.length !== b.length && a.length !== 1 && b.length !== 1) return undefined;
  const length = a.length === 1 ? b.length : a.length;
  return Array.from({ length }, (_, i) => rule(a[a.length === 1 ? 0 : i] as Dim, b[b.length === 1 ? 0 : i] as Dim));
}

export const mapElements = (rule: (a: Dim) => Dim, info: TensorInfo): readonly Dim[] | undefined =>
  carriesElements(info) ? elementsOf(info)?.map(rule) : undefined;
