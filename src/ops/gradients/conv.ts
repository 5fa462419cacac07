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
  /** Before each spatial axis, then after each; automatic padding resolved. Negative where a transposed convolution pads its output. */
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
    const taps = ((ws[i + 2] as number) - 1) * (dilations[i] as number) + 1;
    return stride * ((xs[i + 2] as number) - 1) + (a.output_padding?.[i] ?? 0) + taps - (ys[i + 2] as number);
  });
  const begin = totals.map((total, i) => {
    if (!computed) return a.auto_pad === "VALID" ? 0 : (a.pads?.[i] ?? 0);
    const half = Math.floor(Math.max(0, total) / 2);
    return a.auto_pad === "SAME_UPPER" ? half : Math.max(0, total) - half;
  });
  const end = begin.map((before, i) => (totals[i] as number) - before - (a.output_padding?.[i] ?? 0));
  return { x: ys, w: ws, y: xs, strides, dilations, pads: [...begin, ...end], group: a.group };
}

/** The convolution that a geometry describes. */
export function convForward(b: GraphBuilder, g: ConvGeometry, x: Value, w: Value): Value {
  const cut = trimmed(b, g, x);
  return b.op("Conv", [cut.x, w], { strides: g.strides, dilations: g.dilations, pads: cut.pads, group: g.group });
}

/** Negative padding cuts the input instead. */
export function trimmed(b: GraphBuilder, g: ConvGeometry, x: Value): { readonly x: Value; readonly pads: readonly number[] } {
  const rank = g.strides.length;
  let value = x;
  g.strides.forEach((_, i) => {
    const cut = Math.max(0, -(g.pads[i + rank] as number));
    if (cut > 0) value = b.slice(value, i + 2, 0, (b.shape(value)[i + 2] as number) - cut);
  });
  return { x: value, pads: g.pads.map((pad) => Math.max(0, pad)) };
}

/** One of several equal ways to compute a gradient, each fastest for some shapes. */
export interface Formulation {
  readonly name: string;
  readonly applies: (g: ConvGeometry) => boolean;
  /** `operand`: the input for the weight's gradient, the weight for the input's. */
  readonly build: (b: GraphBuilder, g: ConvGeometry, operand: Value, dy: Value) => Value;
}

/** What the speed depends on, as text: the geometry itself. */
export const geometryKey = (g: ConvGeometry): string => JSON.stringify(g);
export const geometryOf = (key: string): ConvGeometry => JSON.parse(key) as ConvGeometry;

/** Builds the formulation that the builder's chooser names, else the one that `usual` names. */
export function buildChosen(
  b: GraphBuilder,
  role: string,
  formulations: readonly Formulation[],
  usual: (g: ConvGeometry) => string,
  call: { readonly g: ConvGeometry; readonly operand: Value; readonly dy: Value },
): Value {
  const legal = formulations.filter(({ applies }) => applies(call.g));
  const names = legal.map(({ name }) => name);
  const wanted = b.choose(role, geometryKey(call.g), names) ?? usual(call.g);
  const chosen = legal.find(({ name }) => name === wanted) ?? (legal[0] as Formulation);
  return chosen.build(b, call.g, call.operand, call.dy);
}

export const isPointwise = (g: ConvGeometry): boolean => g.w.slice(2).every((k) => k === 1) && g.pads.every((pad) => pad === 0);
export const isDepthwise = (g: ConvGeometry): boolean => g.group > 1 && g.w[1] === 1 && g.x[1] === g.group;
export const positions = (shape: readonly number[]): number => shape.slice(2).reduce((a, dim) => a * dim, 1);
