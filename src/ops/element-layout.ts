import { type Dim, isStatic, numel } from "../ir/index.ts";
import type { Cost, TensorInfo } from "./define.ts";
import { elementsOf } from "./type-rules.ts";

/** Cost of an op that only moves elements. */
export const moves = (): Cost => ({ macs: 0, flops: 0 });
/** Cost of an op that only looks at the same bytes another way. */
export const views = (): Cost => ({ macs: 0, flops: 0, bytes: 0 });

/** The contents of a small tensor of static shape, with that shape. */
export function contentsOf(info: TensorInfo | undefined): { shape: readonly number[]; elements: readonly Dim[] } | undefined {
  const elements = elementsOf(info);
  const shape = info?.shape;
  return elements && isStatic(shape) && numel(shape) === elements.length ? { shape, elements } : undefined;
}

export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] as number) * (shape[i + 1] as number);
  return strides;
}

/** Fills a tensor of `shape`, row-major, by asking for every coordinate. */
export function fill<T>(shape: readonly number[], at: (coordinate: readonly number[]) => T): T[] {
  const strides = stridesOf(shape);
  return Array.from({ length: numel(shape) }, (_, flat) =>
    at(shape.map((extent, axis) => Math.floor(flat / (strides[axis] as number)) % extent)),
  );
}

/** Largest tensor whose contents are followed; see `checked` in infer-merge.ts. */
export const small = (shape: readonly Dim[]): shape is readonly number[] => isStatic(shape) && numel(shape) <= 1024;
