import { scaledMatrix, searchInputScales } from "./awq.ts";
import type { BlockedWeight, BlockFormat } from "./blocks.ts";
import { gptq } from "./gptq.ts";
import { relativeError, sampledRows } from "./hessian.ts";
import type { InputMoments } from "./moments.ts";
import { type Matrix, roundMatrix } from "./round.ts";

/** "auto": every algorithm that the data allow, the one with the least output error wins. */
export const weightAlgorithms = ["auto", "rtn", "hqq", "gptq", "awq"] as const;
export type WeightAlgorithm = (typeof weightAlgorithms)[number];

export interface SolveOptions {
  readonly format: BlockFormat;
  readonly algorithm: WeightAlgorithm;
  /** See `GptqOptions`. */
  readonly damping: number;
  /** Errors of larger matrices are estimated on some of their rows: about this many multiplications each. */
  readonly multiplications: number;
}

export interface Solved {
  readonly stored: BlockedWeight;
  /** "rtn", "hqq", "gptq", "gptq sorted", after "awq+" where the input was scaled. */
  readonly algorithm: string;
  /** Squared output error relative to the squared output on calibration rows; without these, of the weights themselves. */
  readonly error: number;
  /** Why fewer algorithms took part than were asked for. */
  readonly remark: string | undefined;
}

interface Candidate {
  readonly name: string;
  readonly make: (matrix: Matrix) => BlockedWeight | undefined;
}

const seen = (moments: InputMoments | undefined): moments is InputMoments => (moments?.rows ?? 0) > 0;

/** A Hessian of fewer rows than columns is singular: compensating errors along it fits the calibration rows and nothing else. */
const enough = (moments: InputMoments | undefined): boolean => seen(moments) && moments.totalRows >= moments.columns;

const wantsRows = (algorithm: WeightAlgorithm): boolean => !["rtn", "hqq"].includes(algorithm);

function remarkOn(moments: InputMoments | undefined, { algorithm }: SolveOptions): string | undefined {
  if (!wantsRows(algorithm) || enough(moments)) return undefined;
  const what = algorithm === "auto" ? "GPTQ and AWQ were left out" : `${algorithm.toUpperCase()} was left out`;
  return seen(moments)
    ? `${what}: ${moments.totalRows} calibration rows for ${moments.columns} input channels are too few`
    : `${what}: there are no calibration rows`;
}

function candidates(moments: InputMoments | undefined, { format, algorithm, damping }: SolveOptions): Candidate[] {
  const importance = seen(moments) ? moments.importance() : undefined;
  const rtn: Candidate = { name: "rtn", make: (matrix) => roundMatrix(matrix, format, "rtn") };
  const hqq: Candidate = { name: "hqq", make: (matrix) => roundMatrix(matrix, format, "hqq") };
  const weighted: Candidate = { name: "hqq", make: (matrix) => roundMatrix(matrix, format, "hqq", importance) };
  const free = importance ? [hqq, weighted] : [hqq];
  const compensating: Candidate[] =
    moments && enough(moments)
      ? [false, true].map((sorted) => ({
          name: sorted ? "gptq sorted" : "gptq",
          make: (matrix) => gptq(matrix, format, moments, { damping, sorted }),
        }))
      : [];
  const lists: Readonly<Record<WeightAlgorithm, readonly Candidate[]>> = {
    auto: [rtn, ...free, ...compensating],
    rtn: [rtn],
    hqq: free,
    gptq: compensating.length > 0 ? compensating : [rtn, ...free],
    awq: enough(moments) ? [rtn] : [rtn, ...free],
  };
  return [...lists[algorithm]];
}

/**
 * Stores one matrix by the algorithm that changes its output least: tr(E H E^T) with H = X^T X, E the error of the weights. Where some
 * calibration rows are held apart, candidates are found on the others and judged on these; the winner is made once more from all rows.
 */
export function solve(matrix: Matrix, moments: InputMoments | undefined, options: SolveOptions): Solved {
  const sample = sampledRows(matrix, options.multiplications);
  const gram = seen(moments) ? moments.judge.gram : undefined;
  const tried = candidates(moments, options);
  let best: { index: number; stored: BlockedWeight; error: number } | undefined;
  for (const [index, { make }] of tried.entries()) {
    const stored = make(sample);
    if (!stored) continue;
    const error = relativeError(stored, sample, gram);
    if (!best || error < best.error) best = { index, stored, error };
  }
  if (!best) {
    // only GPTQ can fail
    const stored = roundMatrix(matrix, options.format, "rtn");
    return { stored, algorithm: "rtn", error: relativeError(stored, matrix, gram), remark: "the Hessian cannot be inverted" };
  }
  const { index, stored, error } = best;
  const final = moments?.held ? candidates(moments.total, options)[index] : sample.rows < matrix.rows ? tried[index] : undefined;
  return {
    stored: final?.make(matrix) ?? (sample.rows < matrix.rows ? roundMatrix(matrix, options.format, "hqq") : stored),
    algorithm: (tried[index] as Candidate).name,
    error,
    remark: remarkOn(moments, options),
  };
}

export interface SolvedGroup {
  readonly plain: readonly Solved[];
  /** Set where scaling the input lowers the error: the matrices multiplied by `scales` [columns], for an input divided by them. */
  readonly scaled?: {
    readonly solved: readonly Solved[];
    readonly scales: Float64Array;
    /** Summed errors relative to those of `plain`, below 1. */
    readonly share: number;
  };
}

/** Stores the matrices of all products with one input, each with its options; with a `scalable` input, AWQ's scaling takes part. */
export function solveGroup(
  matrices: readonly Matrix[],
  moments: InputMoments | undefined,
  options: readonly SolveOptions[],
  scalable: boolean,
): SolvedGroup {
  const at = (i: number): SolveOptions => options[i] as SolveOptions;
  const plain = matrices.map((matrix, i) => solve(matrix, moments, at(i)));
  const { algorithm, format, multiplications } = at(0);
  if (!moments || !enough(moments) || !scalable || !["auto", "awq"].includes(algorithm)) return { plain };
  const samples = matrices.map((matrix) => sampledRows(matrix, multiplications));
  const found = searchInputScales(samples, moments, format);
  if (!found) return { plain };
  const { scales } = found;
  const divided = moments.divided(scales);
  const scaled = matrices.map((matrix, i) => solve(scaledMatrix(matrix, scales), divided, at(i)));
  const sum = (all: readonly Solved[]): number => all.reduce((total, { error }) => total + error, 0);
  const share = sum(scaled) / sum(plain);
  if (!(share < 1)) return { plain };
  const solved = scaled.map((one) => ({ ...one, algorithm: `awq+${one.algorithm}` }));
  return { plain, scaled: { solved, scales, share } };
}
