import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

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

export interface ConvAttributes {
  readonly strides: readonly number[] | undefined;
  readonly dilations: readonly number[] | undefined;
  readonly pads: readonly number[] | undefined;
  readonly auto_pad: string;
  readonly group: number;
}

/** Padding that SAME_UPPER and SAME_LOWER stand for; explicit pads otherwise. */
function explicitPads(
  spatial: readonly number[],
  kernel: readonly number[],
  a: ConvAttributes,
  strides: readonly number[],
  dilations: readonly number[],
): number[] {
  const rank = spatial.length;
  if (a.auto_pad === "NOTSET" || a.auto_pad === "") return [...(a.pads ?? new Array<number>(2 * rank).fill(0))];
  if (a.auto_pad === "VALID") return new Array<number>(2 * rank).fill(0);
  const totals = spatial.map((extent, i) => {
    const covered = ((kernel[i] as number) - 1) * (dilations[i] as number) + 1;
    const stride = strides[i] as number;
    return Math.max(0, (Math.ceil(extent / stride) - 1) * stride + covered - extent);
  });
  const small = totals.map((total) => Math.floor(total / 2));
  const large = totals.map((total, i) => total - (small[i] as number));
  return a.auto_pad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
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
  const [n, c] = g.x as readonly [number, number];
  const m = g.w[0] as number;
  const spatial = g.strides.map((_, i) => i);
  const perGroup = c / g.group;
  const split = b.reshape(x, [n, g.group, perGroup, ...g.x.slice(2)]);
  const input = b.reshape(b.transpose(split, [2, 1, 0, ...spatial.map((i) => i + 3)]), [perGroup, g.group * n, ...g.x.slice(2)]);
  const kernel = b.transpose(dy, [1, 0, ...spatial.map((i) => i + 2)]);
  let dw = b.op("Conv", [input, kernel], { strides: g.dilations, dilations: g.strides, pads: g.pads, group: g.group });
  for (const i of spatial) dw = b.slice(dw, i + 2, 0, g.w[i + 2] as number);
  return b.reshape(b.transpose(dw, [1, 0, ...spatial.map((i) => i + 2)]), [m, perGroup, ...g.w.slice(2)]);
}
