import { type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { seededRandom } from "../../util/random.ts";

/** Pictures have this many channels at most, and at least this many rows and columns. */
const mostChannels = 4;
const leastExtent = 16;
/** With this many inputs nothing needs to be added, and no more are made. */
const enough = 512;
/** Views of one picture, itself included. */
const mostViews = 6;
/** Least side of a cut-out, as a share of the picture's. */
const leastSide = 0.5;

/**
 * The inputs, and behind them, where an input is a picture ([N, C, H, W] or [N, H, W, C]), other views of the same ones: mirrored left to
 * right, then cut-outs of random size and place, brought back to the picture's size. What the float model makes of them is as good an
 * example to learn from as any other, and a hundred pictures are soon learned by heart: block by block that hardly shows, but errors that
 * cancel each other at the end do so on these pictures only. Seeded.
 */
export function withViews(feeds: readonly Feeds[]): Feeds[] {
  const all = [...feeds];
  const random = seededRandom(1);
  for (let view = 1; view < mostViews; view++)
    for (const one of feeds) {
      const axes = pictureAxes(one);
      if (axes.size === 0 || all.length >= Math.max(enough, feeds.length)) return all;
      const flip = view === 1 || random() < 0.5;
      const side = view === 1 ? 1 : leastSide + (1 - leastSide) * random();
      const window = { side, top: random() * (1 - side), left: random() * (1 - side), flip };
      all.push({
        ...one,
        ...Object.fromEntries([...axes].map(([name, first]) => [name, viewOf(one[name] as Tensor, first, window)])),
      });
    }
  return all;
}

/** Part of a picture: side and place as shares of the picture's. */
interface Window {
  readonly side: number;
  readonly top: number;
  readonly left: number;
  readonly flip: boolean;
}

/** The axis of rows of each input that is a picture; columns are the next. */
function pictureAxes(feeds: Feeds): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, { shape, dtype }] of Object.entries(feeds)) {
    const [, a = 0, b = 0, c = 0] = shape;
    if (shape.length !== 4 || dtype !== "float32") continue;
    if (a <= mostChannels && b >= leastExtent && c >= leastExtent) found.set(name, 2);
    else if (c <= mostChannels && a >= leastExtent && b >= leastExtent) found.set(name, 1);
  }
  return found;
}

/** Two neighbours on one axis and the weight of the second, for each of `extent` places of the view. */
function places(extent: number, start: number, side: number, flip: boolean): readonly (readonly [number, number, number])[] {
  return Array.from({ length: extent }, (_, i) => {
    const at = start * extent + ((flip ? extent - 1 - i : i) + 0.5) * side - 0.5;
    const low = Math.min(extent - 1, Math.max(0, Math.floor(at)));
    return [low, Math.min(extent - 1, low + 1), Math.min(1, Math.max(0, at - low))] as const;
  });
}

/** Bilinear. */
function viewOf(tensor: Tensor, rowAxis: number, { side, top, left, flip }: Window): Tensor {
  const values = toFloat32(tensor);
  const [height, width] = tensor.shape.slice(rowAxis) as [number, number];
  const inner = tensor.shape.slice(rowAxis + 2).reduce((product, dim) => product * dim, 1);
  const rows = places(height, top, side, false);
  const columns = places(width, left, side, flip);
  const result = new Float32Array(values.length);
  const plane = height * width * inner;
  let at = 0;
  for (let start = 0; start < values.length; start += plane)
    for (const [above, below, v] of rows)
      for (const [before, behind, u] of columns)
        for (let k = 0; k < inner; k++) {
          const value = (row: number, column: number): number => values[start + (row * width + column) * inner + k] as number;
          const upper = (1 - u) * value(above, before) + u * value(above, behind);
          const lower = (1 - u) * value(below, before) + u * value(below, behind);
          result[at++] = (1 - v) * upper + v * lower;
        }
  return tensorOf("float32", tensor.shape, result);
}
