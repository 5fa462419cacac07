import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";
import { buildChosen, type ConvGeometry, type Formulation, isDepthwise, isPointwise, positions, trimmed } from "./conv.ts";
import { padded, tapSlices, taps } from "./conv-taps.ts";
import { depthwiseFormulations } from "./conv-weight-depthwise.ts";
import { flatFormulations } from "./conv-weight-flat.ts";

/** [T, O, I] → [O, I, kernel…]. */
const fromTaps = (b: GraphBuilder, g: ConvGeometry, stacked: Value): Value => b.reshape(b.transpose(stacked, [1, 2, 0]), g.w);

/** Channels first: [N, C, …] → [C, N·positions]. */
const channelMajor = (b: GraphBuilder, v: Value): Value => {
  const [n, c, ...rest] = b.shape(v) as readonly [number, number, ...number[]];
  const moved = b.transpose(v, [1, 0, ...rest.map((_, i) => i + 2)]);
  return b.reshape(moved, [c, n * rest.reduce((a, d) => a * d, 1)]);
};
const planes = (b: GraphBuilder, v: Value): Value => {
  const [n, c, ...rest] = b.shape(v) as readonly [number, number, ...number[]];
  return b.reshape(v, [n, c, rest.reduce((a, d) => a * d, 1)]);
};
/** dy[N,O,P] · v[N,I,P]ᵀ summed over N. */
const batched = (b: GraphBuilder, dy: Value, v: Value): Value =>
  b.reduceSum(b.matMul(planes(b, dy), b.matrixTranspose(planes(b, v))), [0], false);

const plain = (g: ConvGeometry): boolean => g.group === 1;

/** By a convolution whose batch and channel axes are swapped: works for every geometry. */
const swap: Formulation = {
  name: "swap",
  applies: () => true,
  build(b, g, x, dy) {
    const { x: cut, pads } = trimmed(b, g, x);
    const [n, c, ...extents] = b.shape(cut) as readonly [number, number, ...number[]];
    const spatial = g.strides.map((_, i) => i);
    const perGroup = c / g.group;
    const split = b.transpose(b.reshape(cut, [n, g.group, perGroup, ...extents]), [2, 1, 0, ...spatial.map((i) => i + 3)]);
    const kernel = b.transpose(dy, [1, 0, ...spatial.map((i) => i + 2)]);
    const input = b.reshape(split, [perGroup, g.group * n, ...extents]);
    let dw = b.op("Conv", [input, kernel], { strides: g.dilations, dilations: g.strides, pads, group: g.group });
    for (const i of spatial) dw = b.slice(dw, i + 2, 0, g.w[i + 2] as number);
    return b.reshape(b.transpose(dw, [1, 0, ...spatial.map((i) => i + 2)]), g.w);
  },
};

/** One product per sample and tap. */
const tapBatched: Formulation = {
  name: "tap-batched",
  applies: plain,
  build(b, g, x, dy) {
    const parts = tapSlices(b, g, padded(b, g, x)).map((tap) =>
      b.reshape(batched(b, dy, tap), [1, g.w[0] as number, g.w[1] as number]),
    );
    return fromTaps(b, g, b.concat(parts, 0));
  },
};

/** One product per tap, over all samples at once, channels first. */
const tapGemm: Formulation = {
  name: "tap-gemm",
  applies: plain,
  build(b, g, x, dy) {
    const source = padded(b, g, x);
    const [n, c, ...extents] = b.shape(source) as readonly [number, number, ...number[]];
    const first = b.transpose(source, [1, 0, ...extents.map((_, i) => i + 2)]);
    const rows = channelMajor(b, dy);
    const parts = tapSlices(b, g, first).map((tap) => {
      const product = b.op("Gemm", [rows, b.reshape(tap, [c, n * positions(g.y)])], { transB: 1 });
      return b.reshape(product, [1, g.w[0] as number, g.w[1] as number]);
    });
    return fromTaps(b, g, b.concat(parts, 0));
  },
};

/** All taps side by side, one product per sample and group. */
const columnsBatched: Formulation = {
  name: "columns-batched",
  applies: () => true,
  build(b, g, x, dy) {
    const [n] = g.x as readonly [number];
    const [m, perGroup] = g.w as readonly [number, number];
    const p = positions(g.y);
    const parts = tapSlices(b, g, padded(b, g, x)).map((tap) => b.reshape(tap, [n, g.group, 1, perGroup, p]));
    const columns = b.reshape(b.concat(parts, 2), [n, g.group, taps(g) * perGroup, p]);
    const rows = b.reshape(dy, [n, g.group, m / g.group, p]);
    const product = b.reduceSum(b.matMul(rows, b.matrixTranspose(columns)), [0], false);
    return b.reshape(b.transpose(b.reshape(product, [m, taps(g), perGroup]), [0, 2, 1]), g.w);
  },
};

/** All taps side by side, channels first, one product for everything. */
const columnsGemm: Formulation = {
  name: "columns-gemm",
  applies: plain,
  build(b, g, x, dy) {
    const source = padded(b, g, x);
    const [n, c, ...extents] = b.shape(source) as readonly [number, number, ...number[]];
    const first = b.transpose(source, [1, 0, ...extents.map((_, i) => i + 2)]);
    const parts = tapSlices(b, g, first).map((tap) => b.reshape(tap, [c, n * positions(g.y)]));
    const product = b.op("Gemm", [channelMajor(b, dy), b.concat(parts, 0)], { transB: 1 });
    return b.reshape(b.transpose(b.reshape(product, [g.w[0] as number, taps(g), c]), [0, 2, 1]), g.w);
  },
};

export const weightFormulations: readonly Formulation[] = [
  swap,
  tapBatched,
  tapGemm,
  columnsBatched,
  columnsGemm,
  ...flatFormulations,
  ...depthwiseFormulations,
];

/** Measured per layer shape on an x86-64 core with AVX-512 (bench/train/conv-gradients); auto-tuning decides better elsewhere. */
function usual(g: ConvGeometry): string {
  const p = positions(g.y);
  const [outputs, inputs] = g.w as readonly [number, number];
  if (isDepthwise(g)) return p >= 144 && g.w[0] === g.x[1] && g.strides.length === 2 ? "depthwise-rows" : "swap";
  if (g.group > 1) return "columns-batched";
  if (isPointwise(g)) return p >= 100 ? "tap-batched" : "tap-gemm";
  if (inputs <= 4) return (g.w[2] as number) >= 7 ? "swap" : "columns-batched";
  if (p < 100 || (inputs >= 128 && p < 400)) return outputs >= 512 ? "columns-gemm" : "tap-gemm";
  return "tap-batched";
}

export const weightRole = "conv-weight-gradient";

/** dW of a convolution. */
export const convWeightGradient = (b: GraphBuilder, g: ConvGeometry, x: Value, dy: Value): Value =>
  buildChosen(b, weightRole, weightFormulations, usual, { g, operand: x, dy });
