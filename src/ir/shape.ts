import type { DataType } from "./dtype.ts";

/** One extent: a number, a symbolic expression ("N", "2*N + 1"), or "?" when nothing is known; "?" equals nothing, itself included. */
export type Dim = number | string;
export type Shape = readonly Dim[];
export const unknownDim = "?";

export interface TensorType {
  readonly dtype: DataType;
  /** undefined: not even the rank is known. */
  readonly shape: Shape | undefined;
}

export const isStatic = (shape: Shape | undefined): shape is readonly number[] =>
  shape !== undefined && shape.every((dim) => typeof dim === "number");

/** Number of elements of a static shape. */
export const numel = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

export const sameDim = (a: Dim, b: Dim): boolean => a === b && a !== unknownDim;
export const sameShape = (a: Shape | undefined, b: Shape | undefined): boolean =>
  a !== undefined && b !== undefined && a.length === b.length && a.every((dim, i) => sameDim(dim, b[i] as Dim));

export const formatShape = (shape: Shape | undefined): string => (shape === undefined ? "[...]" : `[${shape.join(",")}]`);
export const formatType = (type: TensorType | undefined): string =>
  type ? `${type.dtype}${formatShape(type.shape)}` : "unknown";
