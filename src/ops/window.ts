import { addDims, ceilDivDims, floorDivDims, mulDims, subDims } from "../ir/dim.ts";
import { type Dim, type Shape, unknownDim } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import type { Reject } from "./type-rules.ts";

/** Attributes of everything that slides a window over the axes after batch and channel. */
export const windowAttributes = {
  kernel_shape: attr.ints(),
  strides: attr.ints(),
  dilations: attr.ints(),
  pads: attr.ints(),
  auto_pad: attr.string("NOTSET"),
} as const;

export interface WindowAttributes {
  readonly strides: readonly number[] | undefined;
  readonly dilations?: readonly number[] | undefined;
  readonly pads: readonly number[] | undefined;
  readonly auto_pad?: string;
  readonly ceil_mode?: number;
}

/** Stride, dilation and the two pads along spatial axis `i`, with their defaults. */
const windowAt = (a: WindowAttributes, i: number, rank: number) => ({
  stride: a.strides?.[i] ?? 1,
  dilation: a.dilations?.[i] ?? 1,
  begin: a.pads?.[i] ?? 0,
  end: a.pads?.[i + rank] ?? 0,
});

function checkLengths(a: WindowAttributes, rank: number, kernelRank: number, reject: Reject): void {
  const expected: [string, number | undefined, number][] = [
    ["the kernel", kernelRank, rank],
    ["strides", a.strides?.length, rank],
    ["dilations", a.dilations?.length, rank],
    ["pads", a.pads?.length, 2 * rank],
  ];
  for (const [what, length, right] of expected)
    if (length !== undefined && length !== right)
      reject(`${what} has ${length} entries where ${rank} spatial axes need ${right}`);
  if (a.strides?.some((stride) => stride < 1)) reject(`strides [${a.strides}] must be positive`);
  if (a.dilations?.some((dilation) => dilation < 1)) reject(`dilations [${a.dilations}] must be positive`);
}

/** Extent that a kernel of `size` taps covers. */
const covered = (size: Dim, dilation: number): Dim => addDims(mulDims(subDims(size, 1), dilation), 1);

/**
 * Output extents of a convolution or pool over `spatial` axes: floor((in + pads − ((k−1)·dilation + 1)) / stride) + 1, or the ceiling
 * of it; with auto_pad as ONNX says: SAME_* gives ceil(in / stride), VALID no padding.
 */
export function windowOutput(spatial: Shape, kernel: readonly Dim[], a: WindowAttributes, reject: Reject): Dim[] {
  checkLengths(a, spatial.length, kernel.length, reject);
  return spatial.map((extent, i) => {
    const { stride, dilation, begin, end } = windowAt(a, i, spatial.length);
    const size = covered(kernel[i] as Dim, dilation);
    if (a.auto_pad === "SAME_UPPER" || a.auto_pad === "SAME_LOWER") return ceilDivDims(extent, stride);
    const padded = a.auto_pad === "VALID" ? extent : addDims(extent, begin + end);
    const room = subDims(padded, size);
    if (typeof room === "number" && room < 0) reject(`a window of ${size} does not fit into ${padded} along spatial axis ${i}`);
    if (!a.ceil_mode) return addDims(floorDivDims(room, stride), 1);
    return ceiled(extent, room, size, stride, begin, a.auto_pad === "VALID" ? 0 : end);
  });
}

/** With ceil_mode, a last window that would begin in the padding at the end is dropped (PyTorch's rule, and onnxruntime's). */
function ceiled(extent: Dim, room: Dim, size: Dim, stride: number, begin: number, end: number): Dim {
  const count = addDims(ceilDivDims(room, stride), 1);
  if (typeof count === "number" && typeof extent === "number") return (count - 1) * stride >= extent + begin ? count - 1 : count;
  // The last window begins at most stride − 1 past the last place where it fits: below extent + begin whenever size ≥ stride + end.
  return typeof size === "number" && size >= stride + end ? count : unknownDim;
}

export interface TransposedWindowAttributes extends WindowAttributes {
  readonly output_padding: readonly number[] | undefined;
  readonly output_shape: readonly number[] | undefined;
}

/** Output extents of a transposed convolution: stride·(in − 1) + output_padding + (k−1)·dilation + 1 − pads. */
export function transposedOutput(spatial: Shape, kernel: readonly Dim[], a: TransposedWindowAttributes, reject: Reject): Dim[] {
  checkLengths(a, spatial.length, kernel.length, reject);
  const wanted = a.output_shape?.slice(-spatial.length);
  return spatial.map((extent, i) => {
    const { stride, dilation, begin, end } = windowAt(a, i, spatial.length);
    if (wanted) return wanted[i] ?? unknownDim;
    if (a.auto_pad === "SAME_UPPER" || a.auto_pad === "SAME_LOWER") return mulDims(extent, stride);
    const pads = a.auto_pad === "VALID" ? 0 : begin + end;
    const grown = addDims(mulDims(subDims(extent, 1), stride), a.output_padding?.[i] ?? 0);
    return subDims(addDims(grown, covered(kernel[i] as Dim, dilation)), pads);
  });
}
