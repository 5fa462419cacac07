import type { FormOfShape } from "../../src/data/index.ts";
import { storeSamples } from "../../src/data/index.ts";
import { float32Tensor, type PreparedSample, type Target, type Tensor, tensorOf } from "../../src/ir/index.ts";

export const classOf = (index: number): Target => ({ kind: "class", index });
export const sampleOf = (i: number, feeds: Readonly<Record<string, Tensor>>, target: Target | undefined): PreparedSample => ({
  id: `id ${i}`,
  origin: `item ${i}`,
  feeds,
  target,
  geometry: {},
});
export const pictureForm: FormOfShape = ([, channels = 1, height = 1, width = 1]) => ({
  kind: "image",
  layout: "nchw",
  channels,
  height,
  width,
  black: new Array(channels).fill(0),
  white: new Array(channels).fill(1),
  luma: [1],
});
/** Pictures of one grey value each, i / count. */
export const pictures = (count: number, classes = 3) =>
  Array.from({ length: count }, (_, i) =>
    sampleOf(
      i,
      {
        x: float32Tensor(
          [1, 1, 4, 4],
          Array.from({ length: 16 }, (_, j) => (16 * i + j) / 16 / count),
        ),
      },
      classOf(i % classes),
    ),
  );
export const pictureStore = (count: number) => storeSamples(pictures(count), { forms: { x: pictureForm } });
export const tokens = (ids: number[], label?: number[]) =>
  sampleOf(0, { ids: tensorOf("int64", [1, ids.length], ids) }, label && { kind: "tokens", tokens: label });
export const tokenForm: FormOfShape = (shape) => ({ kind: "tokens", length: shape[1] as number, special: [0], unknown: 1 });

/** Target options of the pictures. */
export const classes = { classes: 3 };
