import {
  canonicalDim,
  type Dim,
  formatType,
  isKnown,
  isStatic,
  numel,
  type Shape,
  substitute,
  type TensorType,
  type Value,
} from "../ir/index.ts";
import type { TensorInfo } from "./define.ts";

/** Tensors up to this size are followed element by element; shapes, axes, pads and slices are far smaller. */
const maxElements = 1024;

/** What an initializer is. */
export function constantInfo(value: Value): TensorInfo | undefined {
  const { constant } = value;
  if (constant) return { dtype: constant.dtype, shape: constant.shape, constant };
  return value.sparse && { dtype: value.sparse.values.dtype, shape: value.sparse.shape };
}

/** Guards what an op's rule gives: extents are whole and not negative, elements fit the shape. */
export function checked(info: TensorInfo | undefined, reject: (reason: string) => never): TensorInfo | undefined {
  if (!info) return undefined;
  for (const dim of info.shape ?? [])
    if (typeof dim === "number" && !(Number.isSafeInteger(dim) && dim >= 0))
      reject(`would have the shape [${info.shape?.join(",")}]`);
  if (!info.elements) return info;
  const fits = isStatic(info.shape) && numel(info.shape) === info.elements.length && info.elements.length <= maxElements;
  return fits ? info : { dtype: info.dtype, shape: info.shape, constant: info.constant };
}

/** Merges a declared type under an inferred one; the inferred wins where both say something. */
export function mergeTypes(
  declared: TensorType | undefined,
  inferred: TensorInfo | undefined,
  bindings: Readonly<Record<string, Dim>>,
): { readonly info: TensorInfo | undefined; readonly contradiction?: string } {
  const written = declared && {
    dtype: declared.dtype,
    shape: declared.shape?.map((dim) => substitute(canonicalDim(dim), bindings)),
  };
  if (!inferred || !written) return { info: inferred ?? written };
  const clash = { info: inferred, contradiction: `${formatType(written)} but inferred ${formatType(inferred)}` };
  if (inferred.dtype !== written.dtype) return clash;
  if (!inferred.shape || !written.shape) return { info: { ...inferred, shape: inferred.shape ?? written.shape } };
  if (inferred.shape.length !== written.shape.length) return clash;
  const shape = mergeShapes(written.shape, inferred.shape);
  return shape ? { info: { ...inferred, shape } } : clash;
}

/** The more precise extent of each axis; undefined when two numbers differ. */
function mergeShapes(declared: Shape, inferred: Shape): Shape | undefined {
  const merged: Dim[] = [];
  for (let i = 0; i < inferred.length; i++) {
    const [a, b] = [declared[i] as Dim, inferred[i] as Dim];
    if (typeof a === "number" && typeof b === "number" && a !== b) return undefined;
    merged.push(typeof b === "number" || (isKnown(b) && typeof a !== "number") ? b : a);
  }
  return merged;
}
