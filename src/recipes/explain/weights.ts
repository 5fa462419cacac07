import { toFloat32 } from "../../ir/index.ts";
import { channelLayout } from "../../passes/quantize/parameters.ts";
import { integerRange, integersIn } from "./integers.ts";
import { dequantizedWeight, type WatchedLayer, type WatchedWeight } from "./pairing.ts";
import type { WeightNoise } from "./schema.ts";
import { decibels, NoiseTotal } from "./totals.ts";

/** What the stored integers of a layer's weights use of their type, and how far they are from the float weights. */
export function weightNoise(layer: WatchedLayer, weight: WatchedWeight): WeightNoise {
  const { scheme, tensor } = weight;
  const noise = new NoiseTotal();
  noise.add(toFloat32(tensor), dequantizedWeight(weight));
  const levels = levelsByChannel(weight, layer.unit.weight?.axis);
  const [low, high] = integerRange(scheme.dtype);
  return {
    node: layer.key,
    weight: layer.float.inputs[weight.index]?.name ?? weight.value.name,
    dtype: scheme.dtype,
    channels: levels.length,
    perChannel: scheme.axis !== undefined,
    levels: levels.reduce((a, b) => Math.max(a, b), 0),
    // the most negative integer has no counterpart
    availableLevels: high - low + (low < 0 ? 0 : 1),
    medianChannelLevels: [...levels].sort((a, b) => a - b)[Math.floor(levels.length / 2)] ?? 0,
    clipped: clippedShare(weight),
    sqnr: decibels(noise.ratio),
    histogram: null,
  };
}

/** 2·max|q − z| + 1 of each output channel, at most as many as the type has. */
function levelsByChannel({ scheme }: WatchedWeight, axis: number | undefined): number[] {
  const stored = integersIn(scheme.integers);
  const { channels, inner } = channelLayout(scheme.integers.shape, axis);
  const [low, high] = integerRange(scheme.dtype);
  const largest = new Array<number>(channels).fill(0);
  for (let i = 0; i < stored.length; i++) {
    const channel = channels === 1 ? 0 : Math.floor(i / inner) % channels;
    const zero = scheme.zeroPoints[scheme.zeroPoints.length === 1 ? 0 : channel] ?? 0;
    largest[channel] = Math.max(largest[channel] as number, Math.abs((stored[i] as number) - zero));
  }
  return largest.map((most) => Math.min(2 * most + 1, high - low + (low < 0 ? 0 : 1)));
}

/** Share of float weights that lie beyond the integer that they are stored as, by more than half a step. */
function clippedShare({ scheme, tensor }: WatchedWeight): number {
  if (scheme.axis === "blocks") return 0;
  const real = toFloat32(tensor);
  const stored = integersIn(scheme.integers);
  const { channels, inner } = channelLayout(tensor.shape, scheme.axis);
  let [least, most] = [0, 0];
  for (let i = 0; i < stored.length; i++) {
    least = Math.min(least, stored[i] as number);
    most = Math.max(most, stored[i] as number);
  }
  let clipped = 0;
  for (let i = 0; i < stored.length; i++) {
    const q = stored[i] as number;
    if (q !== least && q !== most) continue;
    const channel = channels === 1 ? 0 : Math.floor(i / inner) % channels;
    const steps = (real[i] as number) / (scheme.scales[channel] as number) + (scheme.zeroPoints[channel] ?? 0);
    if (q === most ? steps > q + 1 : steps < q - 1) clipped++;
  }
  return clipped / Math.max(1, stored.length);
}

const bins = 64;

/** Float weights and what is stored of them, over common bins. */
export function weightHistogram(weight: WatchedWeight): NonNullable<WeightNoise["histogram"]> {
  const real = toFloat32(weight.tensor);
  const stored = dequantizedWeight(weight);
  let [low, high] = [0, 0];
  for (const values of [real, stored])
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  const count = (values: Float32Array): number[] => {
    const counts = new Array<number>(bins).fill(0);
    const width = (high - low) / bins || 1;
    for (const value of values) {
      const bin = Math.min(bins - 1, Math.floor((value - low) / width));
      counts[bin] = (counts[bin] as number) + 1;
    }
    return counts;
  };
  return { low, high, float: count(real), stored: count(stored) };
}
