// Convolution filters without training: each is the difference of two patches of the maps it will look at ("constrained" random
// features; McDonnell et al. 2015, https://arxiv.org/abs/1412.8307), so that it points from one thing that occurs to another.

export interface Maps {
  readonly channels: number;
  /** Height and width. */
  readonly side: number;
  /** One picture's maps, channel by channel. */
  readonly pictures: readonly Float32Array[];
}

function cutPatch(maps: Maps, side: number, random: () => number): Float32Array {
  const picture = maps.pictures[Math.floor(random() * maps.pictures.length)] as Float32Array;
  const top = Math.floor(random() * (maps.side - side + 1));
  const left = Math.floor(random() * (maps.side - side + 1));
  const patch = new Float32Array(maps.channels * side * side);
  for (let channel = 0, i = 0; channel < maps.channels; channel++)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++, i++) patch[i] = picture[(channel * maps.side + top + y) * maps.side + left + x] as number;
  return patch;
}

const average = (values: Float32Array): number => values.reduce((sum, v) => sum + v, 0) / values.length;

function spread(values: Float32Array): number {
  const mean = average(values);
  return values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
}

/** Takes out each group's mean and scales the whole to length 1. */
function normalize(filter: Float32Array, group: number): Float32Array {
  for (let start = 0; start < filter.length; start += group) {
    const part = filter.subarray(start, start + group);
    const mean = average(part);
    for (let i = 0; i < part.length; i++) part[i] = (part[i] as number) - mean;
  }
  const length = Math.sqrt(filter.reduce((sum, v) => sum + v * v, 0)) + 1e-9;
  return filter.map((v) => v / length);
}

/**
 * `count` filters of `side` × `side`. Of twenty patches the liveliest and one of the next five are taken: flat ground is
 * everywhere and says nothing. `perChannel`: every channel's mean is taken out, for filters on colours.
 */
export function differenceFilters(
  maps: Maps,
  count: number,
  side: number,
  random: () => number,
  perChannel: boolean,
): Float32Array {
  const size = maps.channels * side * side;
  const filters = new Float32Array(count * size);
  for (let n = 0; n < count; n++) {
    const patches = Array.from({ length: 20 }, () => cutPatch(maps, side, random));
    const ranked = patches.map((patch) => ({ patch, spread: spread(patch) })).sort((a, b) => b.spread - a.spread);
    const liveliest = (ranked[0] as { patch: Float32Array }).patch;
    const other = (ranked[1 + Math.floor(random() * 5)] as { patch: Float32Array }).patch;
    filters.set(
      normalize(
        liveliest.map((v, i) => v - (other[i] as number)),
        perChannel ? side * side : size,
      ),
      n * size,
    );
  }
  return filters;
}
