import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";
import { explicitPads, type WindowSettings } from "./window.ts";

export interface PoolAttributes extends WindowSettings {
  readonly kernel_shape: readonly number[];
}

interface Window {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
}

function poolWindow(b: GraphBuilder, x: Value, y: Value, a: PoolAttributes): Window {
  const shape = b.shape(x);
  const rank = shape.length - 2;
  const strides = a.strides ?? new Array<number>(rank).fill(1);
  const dilations = a.dilations ?? new Array<number>(rank).fill(1);
  return {
    x: shape,
    y: b.shape(y),
    kernel: a.kernel_shape,
    strides,
    dilations,
    pads: explicitPads(shape.slice(2), a.kernel_shape, a, strides, dilations),
  };
}

/** Spreads each window's value over the window: Σ over windows, [N, C, …y] → [N, C, …x]. A transposed convolution with ones. */
function spread(b: GraphBuilder, w: Window, values: Value): Value {
  const rank = w.kernel.length;
  const [n, c] = w.x as readonly [number, number];
  const covered = w.kernel.map(
    (k, i) => (w.strides[i] as number) * ((w.y[i + 2] as number) - 1) + (k - 1) * (w.dilations[i] as number) + 1,
  );
  // what the windows cover beyond the input is cut off, what they leave uncovered is padded
  const beyond = covered.map((extent, i) => extent - (w.pads[i] as number) - (w.x[i + 2] as number));
  const kernel = b.floats([1, 1, ...w.kernel], new Array<number>(w.kernel.reduce((a, k) => a * k, 1)).fill(1));
  const planes = b.reshape(values, [n * c, 1, ...w.y.slice(2)]);
  const result = b.op("ConvTranspose", [planes, kernel], {
    strides: w.strides,
    dilations: w.dilations,
    pads: [...w.pads.slice(0, rank), ...beyond.map((extent) => Math.max(0, extent))],
  });
  const padded = beyond.some((extent) => extent < 0)
    ? b.op("Pad", [result, b.ints([...new Array<number>(rank + 4).fill(0), ...beyond.map((extent) => Math.max(0, -extent))])])
    : result;
  return b.reshape(padded, w.x);
}

/** 1 ÷ the number of elements that each window averages, as a constant [1, 1, …y]. */
function shares(b: GraphBuilder, w: Window, countPadding: boolean): Value {
  const perAxis = w.kernel.map((kernel, i) => {
    const [extent, stride, dilation] = [w.x[i + 2] as number, w.strides[i] as number, w.dilations[i] as number];
    const [begin, end] = [w.pads[i] as number, w.pads[i + w.kernel.length] as number];
    const [low, high] = countPadding ? [-begin, extent + end] : [0, extent];
    return Array.from({ length: w.y[i + 2] as number }, (_, o) => {
      const start = o * stride - begin;
      return Array.from({ length: kernel }, (__, k) => start + k * dilation).filter((at) => at >= low && at < high).length;
    });
  });
  const counts = perAxis.reduce<number[]>((all, axis) => all.flatMap((count) => axis.map((own) => count * own)), [1]);
  return b.floats(
    [1, 1, ...w.y.slice(2)],
    counts.map((count) => 1 / Math.max(1, count)),
  );
}

export function averagePoolGradient(
  b: GraphBuilder,
  x: Value,
  y: Value,
  dy: Value,
  a: PoolAttributes & { count_include_pad: number },
): Value {
  const w = poolWindow(b, x, y, a);
  const each = shares(b, w, a.count_include_pad !== 0);
  return spread(b, w, b.mul(dy, each));
}

/** Windows that tile the input: no overlap, no padding, nothing left over. */
const tiles = (w: Window): boolean =>
  w.pads.every((pad) => pad === 0) &&
  w.dilations.every((d) => d === 1) &&
  w.kernel.every((k, i) => k === w.strides[i] && (w.x[i + 2] as number) === k * (w.y[i + 2] as number));

/**
 * To the largest element of each window. Windows that tile the input compare with the enlarged maximum and share on ties (which are
 * common after quantization); others add up at the indices that MaxPool gives.
 */
export function maxPoolGradient(b: GraphBuilder, x: Value, y: Value, dy: Value, a: PoolAttributes): Value {
  const w = poolWindow(b, x, y, a);
  if (tiles(w) && w.kernel.length === 2) return tiledMaxGradient(b, w, x, y, dy);
  const count = b.size(dy);
  const sums = b.op(
    "ScatterElements",
    [b.zeros([b.size(x)]), b.reshape(b.optionalOutput(y, 1), [count]), b.reshape(dy, [count])],
    { axis: 0, reduction: "add" },
  );
  return b.reshape(sums, w.x);
}

function tiledMaxGradient(b: GraphBuilder, w: Window, x: Value, y: Value, dy: Value): Value {
  const scales = b.floats([4], [1, 1, ...w.kernel]);
  const enlarge = (v: Value): Value =>
    b.op("Resize", [v, undefined, scales], {
      mode: "nearest",
      coordinate_transformation_mode: "asymmetric",
      nearest_mode: "floor",
    });
  // 1 where x equals its window's maximum: the slope is so steep that any smaller x gives 0
  const hit = b.op("HardSigmoid", [b.sub(x, enlarge(y))], { alpha: 3e38, beta: 1 });
  const size = w.kernel.reduce((all, k) => all * k, 1);
  const hits = b.mul(b.op("AveragePool", [hit], { kernel_shape: w.kernel, strides: w.kernel }), size);
  return b.mul(hit, enlarge(b.div(dy, hits)));
}

/** y = (Σ|x|^p)^(1/p): dx = sign(x)·|x|^(p−1)·Σ dy·y^(1−p). */
export function lpPoolGradient(b: GraphBuilder, x: Value, y: Value, dy: Value, a: PoolAttributes & { p: number }): Value {
  const w = poolWindow(b, x, y, a);
  return lpSlope(b, x, y, dy, a.p, (values) => spread(b, w, values));
}

export function lpSlope(b: GraphBuilder, x: Value, y: Value, dy: Value, p: number, over: (values: Value) => Value): Value {
  if (p === 1) return b.mul(b.op("Sign", [x]), over(dy));
  const scaled = over(b.mul(dy, b.op("Pow", [b.op("Max", [y, b.scalar(1e-12)]), b.scalar(1 - p)])));
  const base = p === 2 ? x : b.mul(b.op("Sign", [x]), b.op("Pow", [b.abs(x), b.scalar(p - 1)]));
  return b.mul(base, scaled);
}
