import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";
import type { ConvGeometry, Formulation } from "./conv.ts";
import { padded } from "./conv-taps.ts";

// With stride 1 and both x and dy laid out on the padded grid [Hp, Wp], where dy is zero beyond its own rows and columns, what a tap (ky, kx)
// reads is x shifted by ky·Wp + kx elements: one contiguous piece instead of OH short rows. The zeros of dy cancel what wraps around. More
// multiplications (Wp/OW), far cheaper copies.

const applies = (g: ConvGeometry): boolean =>
  g.group === 1 && g.strides.length === 2 && g.strides.every((s) => s === 1) && g.w.slice(2).some((k) => k > 1);

/** Offsets of all taps on the padded grid, in the kernel's order. */
const shifts = (g: ConvGeometry, width: number): number[] => {
  const [kh, kw] = [g.w[2] as number, g.w[3] as number];
  const [dh, dw] = [g.dilations[0] as number, g.dilations[1] as number];
  return Array.from({ length: kh * kw }, (_, t) => Math.floor(t / kw) * dh * width + (t % kw) * dw);
};

const padEnds = (b: GraphBuilder, v: Value, ends: readonly number[]): Value =>
  ends.every((end) => end === 0) ? v : b.op("Pad", [v, b.ints([...ends.map(() => 0), ...ends])]);

/** [T, O, I] → [O, I, KH, KW]. */
const fromTaps = (b: GraphBuilder, g: ConvGeometry, stacked: Value): Value => b.reshape(b.transpose(stacked, [1, 2, 0]), g.w);

/** One product per sample and tap. */
const flatBatched: Formulation = {
  name: "flat-batched",
  applies,
  build(b, g, x, dy) {
    const source = padded(b, g, x);
    const [n, c, height, width] = b.shape(source) as readonly [number, number, number, number];
    const [m, , rows, columns] = b.shape(dy) as readonly [number, number, number, number];
    const outputs = b.shape(dy)[1] as number;
    const length = rows * width;
    const offsets = shifts(g, width);
    const last = offsets.at(-1) as number;
    const flat = padEnds(b, b.reshape(source, [n, c, height * width]), [0, 0, Math.max(0, last + length - height * width)]);
    const wide = b.reshape(padEnds(b, dy, [0, 0, 0, width - columns]), [m, outputs, length]);
    const parts = offsets.map((offset) => {
      const tap = b.slice(flat, 2, offset, offset + length);
      return b.reduceSum(b.matMul(wide, b.matrixTranspose(tap)), [0], true);
    });
    return fromTaps(b, g, b.concat(parts, 0));
  },
};

/** One product per tap over all samples, channels first. */
const flatGemm: Formulation = {
  name: "flat-gemm",
  applies,
  build(b, g, x, dy) {
    const source = padded(b, g, x);
    const [n, c, height, width] = b.shape(source) as readonly [number, number, number, number];
    const [, outputs, rows, columns] = b.shape(dy) as readonly [number, number, number, number];
    const length = n * height * width;
    const offsets = shifts(g, width);
    const first = b.reshape(b.transpose(source, [1, 0, 2, 3]), [c, length]);
    const flat = padEnds(b, first, [0, offsets.at(-1) as number]);
    const grid = padEnds(b, b.transpose(dy, [1, 0, 2, 3]), [0, 0, height - rows, width - columns]);
    const wide = b.reshape(grid, [outputs, length]);
    const parts = offsets.map((offset) => {
      const product = b.op("Gemm", [wide, b.slice(flat, 1, offset, offset + length)], { transB: 1 });
      return b.reshape(product, [1, outputs, c]);
    });
    return fromTaps(b, g, b.concat(parts, 0));
  },
};

export const flatFormulations: readonly Formulation[] = [flatBatched, flatGemm];
