import { broadcastShapes } from "../ir/dim.ts";
import { type DataType, type Dim, type Shape, type TensorType, toNumbers, unknownDim } from "../ir/index.ts";
import type { TensorInfo } from "./define.ts";

export type Reject = (reason: string) => never;

/** A result of the same type as `info`, contents unknown; a shape (undefined: rank unknown) and a dtype replace its own. */
export const like = (
  info: TensorType,
  ...change: readonly [] | readonly [shape: Shape | undefined, dtype?: DataType]
): TensorInfo => ({
  dtype: change[1] ?? info.dtype,
  shape: change.length === 0 ? info.shape : change[0],
});

/** A result of known dtype whose rank is not known. */
export const unranked = (dtype: DataType): TensorInfo => ({ dtype, shape: undefined });

/** An axis counted from the front; negative ones count from the end. */
export function axisIndex(axis: number, rank: number, reject: Reject): number {
  if (axis < -rank || axis >= rank) reject(`axis ${axis} does not exist in a tensor of rank ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

export const replaceDim = (shape: Shape, axis: number, dim: Dim): Dim[] => shape.map((old, i) => (i === axis ? dim : old));

/** Shape arithmetic works on short vectors; anything longer is data. */
const maxElements = 1024;

/** The contents of a short integer tensor where they are known, symbolic ones included. */
export function elementsOf(info: TensorInfo | undefined): readonly Dim[] | undefined {
  if (!info) return undefined;
  if (info.elements) return info.elements;
  const { constant } = info;
  if (!constant || constant.size > maxElements || !/^(u?int\d+|bool)$/.test(constant.dtype)) return undefined;
  return toNumbers(constant);
}

/** The contents of a short integer tensor where every entry is a known number. */
export function integersOf(info: TensorInfo | undefined): readonly number[] | undefined {
  const elements = elementsOf(info);
  return elements?.every((element) => typeof element === "number") ? (elements as readonly number[]) : undefined;
}

/** Broadcast of all given types; undefined as soon as one rank is unknown. Inputs that are left out do not count. */
export const broadcastOf = (infos: readonly (TensorInfo | undefined)[], reject: Reject): Shape | undefined =>
  broadcastShapes(
    infos.filter((info) => info !== undefined).map((info) => info.shape),
    reject,
  );

/** A shape of which only the rank is known. */
export const anyOfRank = (rank: number): Dim[] => new Array<Dim>(rank).fill(unknownDim);
