import { type Tensor, toFloat32 } from "../../ir/index.ts";
import { linkedOutputAxis } from "../../passes/quantize/channels.ts";
import { clamp, roundEven } from "../../passes/quantize/parameters.ts";
import { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import { type Grid, integerRange, type Run, realsOf, runsOf } from "./integers.ts";
import type { Pairing, WatchedLayer, WatchedTensor } from "./pairing.ts";

/** Squared error of something against the float model's values, as a share of their squares; undefined before the first value. */
export class NoiseTotal {
  signal = 0;
  noise = 0;

  add(reference: Float32Array, other: ArrayLike<number>): void {
    let signal = 0;
    let noise = 0;
    for (let i = 0; i < reference.length; i++) {
      const value = reference[i] as number;
      const difference = (other[i] as number) - value;
      signal += value * value;
      noise += difference * difference;
    }
    this.signal += signal;
    this.noise += noise;
  }

  get ratio(): number {
    return this.noise === 0 ? 0 : this.noise / Math.max(this.signal, Number.MIN_VALUE);
  }
}

/** Decibels of a ratio of noise to signal; 200 stands for equality, as in `sqnrOf`. */
export const decibels = (ratio: number): number => (ratio <= 0 ? 200 : Math.max(-200, Math.min(200, -10 * Math.log10(ratio))));

/** What is known of one quantized activation, from float values alone. Memory is fixed. */
export class TensorTotals {
  readonly statistics: ActivationStatistics;
  readonly rounding = new NoiseTotal();
  /** Squared error of the clipped values. */
  clipNoise = 0;
  clipped = 0;
  count = 0;
  readonly #grid: Grid;

  constructor({ reference, grid }: WatchedTensor) {
    this.statistics = new ActivationStatistics(reference.name);
    this.#grid = grid;
  }

  add(values: Float32Array, shape: readonly number[]): void {
    this.statistics.update(values);
    for (const run of runsOf(this.#grid, shape)) this.#addRun(values, run);
    this.count += values.length;
  }

  #addRun(values: Float32Array, { start, end, scale, zeroPoint }: Run): void {
    const [low, high] = integerRange(this.#grid.dtype);
    // half a step beyond the border still rounds to it
    const [min, max] = [(low - zeroPoint - 0.5) * scale, (high - zeroPoint + 0.5) * scale];
    let [signal, noise, clipNoise, clipped] = [0, 0, 0, 0];
    for (let i = start; i < end; i++) {
      const value = values[i] as number;
      const difference = (clamp(roundEven(value / scale) + zeroPoint, low, high) - zeroPoint) * scale - value;
      const squared = difference * difference;
      signal += value * value;
      noise += squared;
      if (value < min || value > max) {
        clipped++;
        clipNoise += squared;
      }
    }
    this.rounding.signal += signal;
    this.rounding.noise += noise;
    this.clipNoise += clipNoise;
    this.clipped += clipped;
  }
}

/** What is known of one integer layer. */
export class LayerTotals {
  /** Both models from their inputs. */
  readonly accumulated = new NoiseTotal();
  /** The integer layer on the float model's values. */
  readonly local = new NoiseTotal();
  /** Its weights alone. */
  readonly weights = new NoiseTotal();
  /** Accumulated error summed per output channel. */
  #errors: Float64Array | undefined;
  #perChannel = 0;
  readonly #axis: number | undefined;

  constructor({ float, weight, unit }: WatchedLayer) {
    const def = unit.def;
    this.#axis =
      weight && def && unit.weight ? linkedOutputAxis(float, def, { port: weight.index, axis: unit.weight.axis }) : undefined;
  }

  addAccumulated(reference: Float32Array, other: ArrayLike<number>, shape: readonly number[]): void {
    this.accumulated.add(reference, other);
    const axis = this.#axis;
    const channels = axis === undefined ? undefined : shape[axis];
    if (axis === undefined || !channels) return;
    this.#errors ??= new Float64Array(channels);
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    for (let start = 0, c = 0; start < reference.length; start += inner, c = c + 1 === channels ? 0 : c + 1) {
      let sum = 0;
      for (let i = start; i < start + inner; i++) sum += (other[i] as number) - (reference[i] as number);
      this.#errors[c] = (this.#errors[c] as number) + sum;
    }
    this.#perChannel += reference.length / channels;
  }

  /** Share of the accumulated noise that is a constant offset of each channel, which a bias can take back; 0 … 1. */
  get offsetShare(): number | undefined {
    if (!this.#errors || this.accumulated.noise === 0) return undefined;
    const offsets = this.#errors.reduce((sum, error) => sum + error * error, 0) / this.#perChannel;
    return Math.min(1, offsets / this.accumulated.noise);
  }
}

/** Everything that is summed up over samples. */
export class Totals {
  readonly tensors: ReadonlyMap<WatchedTensor, TensorTotals>;
  readonly layers: ReadonlyMap<WatchedLayer, LayerTotals>;
  readonly outputs: ReadonlyMap<string, NoiseTotal>;
  /** Runs of the model, which may be several a sample. */
  runs = 0;

  constructor({ tensors, layers, reference }: Pairing) {
    this.tensors = new Map(tensors.map((tensor) => [tensor, new TensorTotals(tensor)]));
    this.layers = new Map(layers.map((layer) => [layer, new LayerTotals(layer)]));
    this.outputs = new Map(
      reference.graph.outputs.filter(({ type }) => type?.dtype === "float32").map(({ name }) => [name, new NoiseTotal()]),
    );
  }

  /** All outputs together. */
  get output(): NoiseTotal {
    const sum = new NoiseTotal();
    for (const { signal, noise } of this.outputs.values()) {
      sum.signal += signal;
      sum.noise += noise;
    }
    return sum;
  }
}

/** Reals of a run's result; undefined where it has another size than the float model's. */
export function comparable(
  reference: Tensor | undefined,
  other: Tensor | undefined,
  grid?: Grid,
): [Float32Array, ArrayLike<number>] | undefined {
  if (!reference || !other || reference.size !== other.size || reference.dtype !== "float32") return undefined;
  return [toFloat32(reference), realsOf(other, grid)];
}
