import { type Dim, floorDivDims, numel, productOf } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output } from "./channel-links.ts";
import { calibrated, defineOp } from "./define.ts";
import { anyOfRank, elementsOf, like, unranked } from "./type-rules.ts";

const taps: Readonly<Record<string, number>> = { nearest: 1, linear: 2, bilinear: 2, cubic: 4, bicubic: 4 };

/** X [N, C, spatial…] sampled at grid [N, out…, rank − 2] → [N, C, out…]. */
export const gridSample = defineOp({
  type: "GridSample",
  since: 16,
  inputs: ["X", "grid"],
  outputs: ["Y"],
  attributes: { align_corners: attr.int(0), mode: attr.string("linear"), padding_mode: attr.string("zeros") },
  infer({ X, grid }, { reject }) {
    const rank = X.shape?.length ?? grid.shape?.length;
    if (rank === undefined) return { Y: unranked(X.dtype) };
    if (X.shape && grid.shape && X.shape.length !== grid.shape.length)
      reject(`input [${X.shape}] and grid [${grid.shape}] have different ranks`);
    const spatial = grid.shape?.slice(1, -1) ?? anyOfRank(rank - 2);
    return { Y: like(X, [X.shape?.[0] ?? grid.shape?.[0] ?? "?", X.shape?.[1] ?? "?", ...spatial]) };
  },
  cost: ({ X }, { Y }, { mode }) => ({ macs: 0, flops: 2 * (taps[mode] ?? 2) ** (X.shape.length - 2) * numel(Y.shape) }),
  channels: () => [link(input(0, 0), output(0, 0)), link(input(1, 0), output(0, 0)), link(input(0, 1), output(0, 1))],
  quantization: calibrated("X"),
});

/** theta [N, 2, 3] and size [N, C, H, W] → grid [N, H, W, 2]; the same with three spatial axes. */
export const affineGrid = defineOp({
  type: "AffineGrid",
  since: 20,
  inputs: ["theta", "size"],
  outputs: ["grid"],
  attributes: { align_corners: attr.int(0) },
  infer({ theta, size }, { reject }) {
    const wanted = elementsOf(size);
    const rank = wanted?.length ?? size.shape?.[0];
    if (typeof rank !== "number") return { grid: unranked(theta.dtype) };
    if (rank !== 4 && rank !== 5) reject(`size has ${rank} entries; it is [N, C, H, W] or [N, C, D, H, W]`);
    const [batch, , ...spatial] = wanted ?? anyOfRank(rank);
    return { grid: like(theta, [batch as Dim, ...spatial, rank - 2]) };
  },
  cost: ({ theta }, { grid }) => {
    const macs = numel(grid.shape) * (theta.shape[2] ?? 0);
    return { macs, flops: 2 * macs };
  },
  channels: "barrier",
});

/** Sums overlapping blocks into an image: [N, C·blocks, L] → [N, C, image…]. */
export const col2Im = defineOp({
  type: "Col2Im",
  since: 18,
  inputs: ["input", "image_shape", "block_shape"],
  outputs: ["output"],
  attributes: { dilations: attr.ints(), pads: attr.ints(), strides: attr.ints() },
  infer({ input: data, image_shape: image, block_shape: block }, { reject }) {
    if (data.shape && data.shape.length !== 3) reject(`the input [${data.shape}] does not have rank 3`);
    const rank = image.shape?.[0];
    const spatial = elementsOf(image) ?? (typeof rank === "number" ? anyOfRank(rank) : undefined);
    const blocks = elementsOf(block);
    const channels = blocks && data.shape ? floorDivDims(data.shape[1] as Dim, productOf(blocks)) : "?";
    return { output: like(data, spatial && [data.shape?.[0] ?? "?", channels, ...spatial]) };
  },
  cost: ({ input: data }) => ({ macs: 0, flops: numel(data.shape) }),
  channels: () => [link(input(0, 0), output(0, 0))],
});
