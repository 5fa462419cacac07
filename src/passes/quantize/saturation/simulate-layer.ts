import { fromTypedArray, type Tensor, typedArray } from "../../../ir/index.ts";
import { roundEven } from "../parameters.ts";
import { type Accumulators, accumulate, blockRows } from "./accumulate.ts";
import type { IntegerLayer } from "./find-layers.ts";
import type { ProductRows } from "./product-form.ts";

/** How much saturation changed a layer's results; sums over everything simulated so far. */
export interface SaturationTally {
  pairs: number;
  saturated: number;
  /** Largest change of a result, in the result's unit. */
  largestChange: number;
  largestResult: number;
  /** Sums of squares, in the result's unit squared. */
  noise: number;
  signal: number;
}

export const emptyTally = (): SaturationTally => ({
  pairs: 0,
  saturated: 0,
  largestChange: 0,
  largestResult: 0,
  noise: 0,
  signal: 0,
});

/**
 * A layer's result as onnxruntime gives it on x86-64 without VNNI, bit by bit: from the uint8 input to the uint8 output, or to float
 * where no QuantizeLinear follows. `unsaturated`: gives what it would give with VNNI, and only tallies what saturation would change.
 */
export function simulateLayer(layer: IntegerLayer, input: Tensor, tally: SaturationTally, unsaturated = false): Tensor {
  const { weights, result } = layer;
  const { form, stride } = weights;
  const rows = form.rows(typedArray(input) as Uint8Array, input.shape, layer.zeroPoint);
  const size = rows.count * form.groups * form.columns;
  const output = result ? new Uint8Array(size) : new Float32Array(size);
  const block = new Uint8Array(blockRows * stride);
  const sums = { exact: new Int32Array(blockRows * form.columns), excess: new Int32Array(blockRows * form.columns) };
  for (let group = 0; group < form.groups; group++)
    for (let start = 0; start < rows.count; start += blockRows) {
      const end = Math.min(start + blockRows, rows.count);
      rows.fill(group, start, end, block, stride);
      tally.saturated += accumulate(block, end - start, weights, group, sums);
      finish(layer, rows, { group, start, count: end - start, unsaturated }, sums, output, tally);
    }
  if (form.paired) tally.pairs += (size * stride) / 2;
  return fromTypedArray(result ? "uint8" : "float32", rows.outputShape, output);
}

interface Block {
  readonly group: number;
  readonly start: number;
  readonly count: number;
  readonly unsaturated: boolean;
}

/** Adds zero-point correction and bias, rescales, and where a QuantizeLinear follows rounds as MlasRequantizeOutput does. */
function finish(
  { weights, addends, scales, result }: IntegerLayer,
  rows: ProductRows,
  { group, start, count, unsaturated }: Block,
  { exact, excess }: Accumulators,
  output: Uint8Array | Float32Array,
  tally: SaturationTally,
): void {
  const { columns } = weights.form;
  const zeroPoint = result?.zeroPoint ?? 0;
  const places = Int32Array.from({ length: count }, (_, row) => rows.outputAt(start + row));
  for (let column = 0; column < columns; column++) {
    const channel = group * columns + column;
    const addend = addends[channel] as number;
    const scale = scales[scales.length === 1 ? 0 : channel] as number;
    const finished = (sum: number): number =>
      result ? requantize(sum, scale, zeroPoint) : Math.fround(Math.fround(sum) * scale);
    for (let row = 0; row < count; row++) {
      const sum = (exact[column * blockRows + row] as number) + addend;
      const beyond = excess[column * blockRows + row] as number;
      const right = finished(sum);
      const given = beyond === 0 ? right : finished(sum + beyond);
      output[(places[row] as number) + channel * rows.channelStep] = unsaturated ? right : given;
      const magnitude = Math.abs(right - zeroPoint);
      tally.signal += magnitude * magnitude;
      if (magnitude > tally.largestResult) tally.largestResult = magnitude;
      if (given === right) continue;
      const change = Math.abs(given - right);
      tally.noise += change * change;
      if (change > tally.largestChange) tally.largestChange = change;
    }
  }
}

function requantize(sum: number, scale: number, zeroPoint: number): number {
  const value = Math.fround(Math.fround(sum) * scale);
  if (value <= -zeroPoint) return 0;
  if (value >= 255 - zeroPoint) return 255;
  return roundEven(value) + zeroPoint;
}
