import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";
import { explicitPads, type WindowSettings } from "./window.ts";

/** All numbers that a convolution of static shape is described by: x [N, C, spatial…] ∗ w [M, C/group, kernel…] → y [N, M, spatial…]. */
export interface ConvGeometry {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly y: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Before each spatial axis, then after each; auto_pad resolved. */
  readonly pads: readonly number[];
  readonly group: number;
}

export interface ConvAttributes extends WindowSettings {
  readonly group: number;
}

export function convGeometry(b: GraphBuilder, x: Value, w: Value, y: Value, a: ConvAttributes): ConvGeometry {
  const [xs, ws] = [b.shape(x), b.shape(w)];
  const rank = xs.length - 2;
  const strides = a.strides ?? new Array<number>(rank).fill(1);
  const dilations = a.dilations ?? new Array<number>(rank).fill(1);
  const pads = explicitPads(xs.slice(2), ws.slice(2), a, strides, dilations);
  return { x: xs, w: ws, y: b.shape(y), strides, dilations, pads, group: a.group };
}

/** dX by a transposed convolution; output padding restores rows that the stride skipped. */
export function convInputGradient(b: GraphBuilder, g: ConvGeometry, w: Value, dy: Value): Value {
  const rank = g.strides.length;
  const grown = g.strides.map(
    (stride, i) =>
      stride * ((g.y[i + 2] as number) - 1) +
      ((g.w[i + 2] as number) - 1) * (g.dilations[i] as number) +
      1 -
      (g.pads[i] as number) -
      (g.pads[i + rank] as number),
  );
  const missing = grown.map((extent, i) => (g.x[i + 2] as number) - extent);
  return b.op("ConvTranspose", [dy, w], {
    strides: g.strides,
    dilations: g.dilations,
    pads: g.pads,
    group: g.group,
    ...(missing.some((m) => m !== 0) ? { output_padding: missing } : {}),
  });
}

/** dW by a convolution whose batch and channel axes are swapped: works for every geometry. */
export function swappedWeightGradient(b: GraphBuilder, g: ConvGeometry, x: Value, dy: Value): Value {
  const { x: cut, pads } = trimmed(b, g, x);
  const extents = b.shape(cut);
  const [n, c] = extents as readonly [number, number];
  const m = g.w[0] as number;
  const spatial = g.strides.map((_, i) => i);
  const perGroup = c / g.group;
  const split = b.reshape(cut, [n, g.group, perGroup, ...extents.slice(2)]);
  const input = b.reshape(b.transpose(split, [2, 1, 0, ...spatial.map((i) => i + 3)]), [
    perGroup,
    g.group * n,
    ...extents.slice(2),
  ]);
  const kernel = b.transpose(dy, [1, 0, ...spatial.map((i) => i + 2)]);
  let dw = b.op("Conv", [input, kernel], { strides: g.dilations, dilations: g.strides, pads, group: g.group });
  for (const i of spatial) dw = b.slice(dw, i + 2, 0, g.w[i + 2] as number);
  return b.reshape(b.transpose(dw, [1, 0, ...spatial.map((i) => i + 2)]), [m, perGroup, ...g.w.slice(2)]);
}

export interface TransposedAttributes extends ConvAttributes {
  readonly output_padding: readonly number[] | undefined;
  readonly output_shape: readonly number[] | undefined;
}

/**
 * A transposed convolution x [N, C, …] → y is the input gradient of a convolution y → x with the same weight. Its padding at the end is
 * whatever makes the extents meet: output padding, output shapes and automatic padding are in it already.
 */
export function transposedGeometry(b: GraphBuilder, x: Value, w: Value, y: Value, a: TransposedAttributes): ConvGeometry {
  const [xs, ws, ys] = [b.shape(x), b.shape(w), b.shape(y)];
  const rank = xs.length - 2;
  const strides = a.strides ?? new Array<number>(rank).fill(1);
  const dilations = a.dilations ?? new Array<number>(rank).fill(1);
  const computed = (a.auto_pad !== "NOTSET" && a.auto_pad !== "" && a.auto_pad !== "VALID") || a.output_shape !== undefined;
  const totals = strides.map((stride, i) => {
    const grown =
      stride * ((xs[i + 2] as number) - 1) +
      (a.output_padding?.[i] ?? 0) +
      ((ws[i + 2] as number) - 1) * (dilations[i] as number) +
      1;
    return grown - (ys[i + 2] as number);
  });
  const begin = totals.map((total, i) => {
    if (!computed) return a.auto_pad === "VALID" ? 0 : (a.pads?.[i] ?? 0);
    const half = Math.floor(Math.max(0, total) / 2);
    return a.auto_pad === "SAME_UPPER" ? half : Math.max(0, total) - half;
  });
  const end = begin.map((before, i) => (totals[i] as number) - before - (a.output_padding?.[i] ?? 0));
  return { x: ys, w: ws, y: xs, strides, dilations, pads: [...begin, ...end], group: a.group };
}

/** The convolution that a geometry describes; padding at the end may be negative, where rows are cut off. */
export function convForward(b: GraphBuilder, g: ConvGeometry, x: Value, w: Value): Value {
  const cut = trimmed(b, g, x);
  return b.op("Conv", [cut.x, w], { strides: g.strides, dilations: g.dilations, pads: cut.pads, group: g.group });
}

/** Negative padding cuts the input instead. */
function trimmed(b: GraphBuilder, g: ConvGeometry, x: Value): { x: Value; pads: readonly number[] } {
  const rank = g.strides.length;
  let value = x;
  g.strides.forEach((_, i) => {
    const cut = Math.max(0, -(g.pads[i + rank] as number));
    if (cut > 0) value = b.slice(value, i + 2, 0, (b.shape(value)[i + 2] as number) - cut);
  });
  return { x: value, pads: g.pads.map((pad) => Math.max(0, pad)) };
}
