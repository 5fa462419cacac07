import { EdgewrightError } from "../../util/errors.ts";

const binCount = 4096;
const half = binCount / 2;

/**
 * Streaming statistics of one activation: extremes, averages of per-sample extremes, and a histogram over [-reach, reach) whose reach
 * doubles as needed by merging bins in pairs. Memory is fixed, however many samples come. Exact zeros are counted apart: padding and
 * Relu make so many of them that they would hide the shape of the rest, and zero is always exactly representable.
 */
export class ActivationStatistics {
  readonly name: string;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  /** Mean over samples of each sample's minimum and maximum. */
  averageMin = 0;
  averageMax = 0;
  samples = 0;
  count = 0;
  zeros = 0;
  readonly bins = new Float64Array(binCount);
  /** The histogram covers [-reach, reach); a power of two, so that merged bins keep their borders. */
  reach = 0;
  /** Mean per channel (axis 1 of the value, or the last for rank 2 and 3), when asked for; used by bias correction. */
  channelSums: Float64Array | undefined;
  channelCount = 0;

  constructor(name: string) {
    this.name = name;
  }

  get binWidth(): number {
    return (2 * this.reach) / binCount;
  }

  /** Adds one sample's values. */
  update(values: Float32Array): void {
    const [low, high] = extremes(values);
    if (!Number.isFinite(low) || !Number.isFinite(high) || Number.isNaN(low + high)) {
      if (values.length === 0) return;
      throw new EdgewrightError(
        "CALIBRATION_NOT_FINITE",
        `Value "${this.name}" is NaN or infinite on calibration sample ${this.samples + 1}.`,
        {
          subject: this.name,
          hint: "Check that the preprocessing is the one the model was trained with and that the weights are finite (edgewright inspect).",
        },
      );
    }
    if (low < this.min) this.min = low;
    if (high > this.max) this.max = high;
    this.samples++;
    this.averageMin += (low - this.averageMin) / this.samples;
    this.averageMax += (high - this.averageMax) / this.samples;
    this.#grow(Math.max(Math.abs(low), Math.abs(high)));
    this.zeros += fillHistogram(values, this.bins, this.reach);
    this.count += values.length;
  }

  /** Adds per-channel sums of a sample: `channels` along an axis with `inner` elements after it. */
  updateChannels(values: Float32Array, channels: number, inner: number): void {
    this.channelSums ??= new Float64Array(channels);
    const sums = this.channelSums;
    for (
      let start = 0, channel = 0;
      start < values.length;
      start += inner, channel = channel + 1 === channels ? 0 : channel + 1
    ) {
      let sum = 0;
      for (let i = start; i < start + inner; i++) sum += values[i] as number;
      sums[channel] = (sums[channel] as number) + sum;
    }
    this.channelCount += values.length / channels;
  }

  channelMeans(): Float64Array | undefined {
    return this.channelSums?.map((sum) => sum / Math.max(1, this.channelCount));
  }

  #grow(magnitude: number): void {
    if (magnitude === 0) return;
    if (this.reach === 0) this.reach = 2 ** (Math.floor(Math.log2(magnitude)) + 1);
    while (magnitude >= this.reach) {
      mergePairs(this.bins);
      this.reach *= 2;
    }
  }
}

function extremes(values: Float32Array): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let sum = 0; // NaN is seen here: comparisons skip it
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value < low) low = value;
    if (value > high) high = value;
    sum += value;
  }
  return Number.isNaN(sum) ? [Number.NaN, Number.NaN] : [low, high];
}

/** Returns the number of exact zeros, which are not entered. */
function fillHistogram(values: Float32Array, bins: Float64Array, reach: number): number {
  let zeros = 0;
  if (reach === 0) return values.length;
  const scale = half / reach;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value === 0) zeros++;
    else {
      const bin = (value * scale + half) | 0;
      bins[bin] = (bins[bin] as number) + 1;
    }
  }
  return zeros;
}

/** Halves the resolution about the centre: bins (half + 2i, half + 2i + 1) become half + i. */
function mergePairs(bins: Float64Array): void {
  const merged = new Float64Array(binCount);
  for (let i = 0; i < binCount; i++) {
    const target = half + Math.floor((i - half) / 2);
    merged[target] = (merged[target] as number) + (bins[i] as number);
  }
  bins.set(merged);
}
