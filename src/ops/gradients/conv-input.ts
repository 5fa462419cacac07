import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";
import { buildChosen, type ConvGeometry, type Formulation, isDepthwise, isPointwise } from "./conv.ts";

/** Always possible. Output padding restores rows that the stride skipped. */
const transposed: Formulation = {
  name: "conv-transpose",
  applies: () => true,
  build(b, g, w, dy) {
    const rank = g.strides.length;
    const missing = g.strides.map((stride, i) => {
      const taps = ((g.w[i + 2] as number) - 1) * (g.dilations[i] as number) + 1;
      const grown = stride * ((g.y[i + 2] as number) - 1) + taps - (g.pads[i] as number) - (g.pads[i + rank] as number);
      return (g.x[i + 2] as number) - grown;
    });
    return b.op("ConvTranspose", [dy, w], {
      strides: g.strides,
      dilations: g.dilations,
      pads: g.pads,
      group: g.group,
      ...(missing.some((m) => m !== 0) ? { output_padding: missing } : {}),
    });
  },
};

/** Weight with input and output channels of each group swapped: [M, C/group, …] → [C, M/group, …]. */
function swapChannels(b: GraphBuilder, g: ConvGeometry, w: Value): Value {
  const [m, perGroup, ...kernel] = g.w as readonly [number, number, ...number[]];
  const filters = m / g.group;
  if (filters === 1 && perGroup === 1) return w;
  const spatial = kernel.map((_, i) => i);
  if (g.group === 1) return b.transpose(w, [1, 0, ...spatial.map((i) => i + 2)]);
  const split = b.transpose(b.reshape(w, [g.group, filters, perGroup, ...kernel]), [0, 2, 1, ...spatial.map((i) => i + 3)]);
  return b.reshape(split, [g.group * perGroup, filters, ...kernel]);
}

/** A plain convolution with the kernel turned round: stride 1 only. */
const flipped: Formulation = {
  name: "flip",
  applies: (g) =>
    g.strides.every((stride) => stride === 1) &&
    g.pads.every(
      (pad, i) =>
        pad >= 0 && pad <= ((g.w[(i % g.strides.length) + 2] as number) - 1) * (g.dilations[i % g.strides.length] as number),
    ),
  build(b, g, w, dy) {
    const axes = g.strides.map((_, i) => i + 2);
    const ends = axes.map(() => -(2 ** 31));
    const turned = isPointwise(g)
      ? w
      : b.op("Slice", [w, b.ints(axes.map(() => -1)), b.ints(ends), b.ints(axes), b.ints(axes.map(() => -1))]);
    const reach = g.dilations.map((dilation, i) => ((g.w[i + 2] as number) - 1) * dilation);
    const pads = g.pads.map((pad, i) => (reach[i % reach.length] as number) - pad);
    return b.op("Conv", [dy, swapChannels(b, g, turned)], { dilations: g.dilations, pads, group: g.group });
  },
};

export const inputFormulations: readonly Formulation[] = [transposed, flipped];

/** Measured on an x86-64 core with AVX-512: turning a large weight round costs more than the transposed kernel loses. */
const largeWeight = 65_536;

const usual = (g: ConvGeometry): string => {
  if (isPointwise(g) || isDepthwise(g)) return "flip";
  return (g.w[0] as number) * (g.w[1] as number) >= largeWeight ? "conv-transpose" : "flip";
};

export const inputRole = "conv-input-gradient";

/** dX of a convolution, of exactly the input's shape. */
export const convInputGradient = (b: GraphBuilder, g: ConvGeometry, w: Value, dy: Value): Value =>
  buildChosen(b, inputRole, inputFormulations, usual, { g, operand: w, dy });
