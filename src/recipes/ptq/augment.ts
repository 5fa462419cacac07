import { Tensor } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";

/** Pictures have this many channels at most, and at least this many rows and columns. */
const mostChannels = 4;
const leastExtent = 16;
/** With this many inputs nothing needs to be added. */
const enough = 1024;

/**
 * The inputs, and behind them, where an input is a picture ([N, C, H, W] or [N, H, W, C]), the same ones mirrored left to right: what the
 * float model makes of a mirrored picture is as good an example to learn from as any other, and a few dozen pictures are soon learned by heart.
 */
export function withMirrored(feeds: readonly Feeds[]): Feeds[] {
  if (feeds.length >= enough) return [...feeds];
  return [...feeds, ...feeds.map(mirroredFeeds).filter((one) => one !== undefined)];
}

function mirroredFeeds(feeds: Feeds): Feeds | undefined {
  const axes = Object.entries(feeds).flatMap(([name, { shape }]) => {
    const axis = columnAxis(shape);
    return axis === undefined ? [] : [[name, axis] as const];
  });
  if (axes.length === 0) return undefined;
  return { ...feeds, ...Object.fromEntries(axes.map(([name, axis]) => [name, mirrored(feeds[name] as Tensor, axis)])) };
}

function columnAxis(shape: readonly number[]): number | undefined {
  const [, a = 0, b = 0, c = 0] = shape;
  if (shape.length !== 4) return undefined;
  if (a <= mostChannels && b >= leastExtent && c >= leastExtent) return 3;
  return c <= mostChannels && a >= leastExtent && b >= leastExtent ? 2 : undefined;
}

function mirrored(tensor: Tensor, axis: number): Tensor {
  const bytes = tensor.bytes();
  const columns = tensor.shape[axis] as number;
  const inner = (tensor.shape.slice(axis + 1).reduce((product, dim) => product * dim, 1) * bytes.length) / tensor.size;
  const flipped = new Uint8Array(bytes.length);
  const row = columns * inner;
  for (let start = 0; start < bytes.length; start += row)
    for (let column = 0; column < columns; column++) {
      const from = start + column * inner;
      flipped.set(bytes.subarray(from, from + inner), start + row - (column + 1) * inner);
    }
  return new Tensor(tensor.dtype, tensor.shape, flipped);
}
