import { type Dim, isKnown, mulDims, type Shape } from "../ir/index.ts";
import { input, link, output } from "./channel-links.ts";
import type { ChannelCall, ChannelLink } from "./define.ts";

interface Group {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** Splits both shapes into the shortest runs of axes that hold equally many elements each. */
function groups(from: Shape, to: Shape): Group[] {
  const found: Group[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const run = nextGroup(from, to, i, j);
    if (!run) break;
    found.push(run);
    i += run.from.length;
    j += run.to.length;
  }
  return found;
}

function nextGroup(from: Shape, to: Shape, i: number, j: number): Group | undefined {
  let best: { from: number; to: number } | undefined;
  for (let a = i; a <= from.length; a++)
    for (let b = j; b <= to.length; b++) {
      if (a === i && b === j) continue;
      const [x, y] = [product(from, i, a), product(to, j, b)];
      const shorter = !best || a + b < best.from + best.to;
      if (shorter && isKnown(x) && x === y) best = { from: a, to: b };
    }
  return best && { from: range(i, best.from), to: range(j, best.to) };
}

const product = (shape: Shape, start: number, end: number): Dim => shape.slice(start, end).reduce<Dim>(mulDims, 1);
const range = (start: number, end: number): number[] => Array.from({ length: end - start }, (_, k) => start + k);

/**
 * Channels through an op that keeps the order of elements. In a run of axes that become other axes, the outermost axis that is
 * not 1 on either side is linked; the inner ones are interleaved and cannot be said as one link.
 */
export function reshapeLinks({ inputShapes, outputShapes }: ChannelCall): ChannelLink[] {
  const [from, to] = [inputShapes[0], outputShapes[0]];
  if (!from || !to) return [];
  return groups(from, to).flatMap((group) => {
    const a = group.from.find((axis) => from[axis] !== 1);
    const b = group.to.find((axis) => to[axis] !== 1);
    if (a === undefined || b === undefined) return [];
    const [x, y] = [from[a] as Dim, to[b] as Dim];
    if (x === y) return [link(input(0, a), output(0, b))];
    if (typeof x !== "number" || typeof y !== "number") return [];
    if (y % x === 0) return [{ ...link(input(0, a), output(0, b)), repeat: y / x }];
    return x % y === 0 ? [{ ...link(output(0, b), input(0, a)), repeat: x / y }] : [];
  });
}
