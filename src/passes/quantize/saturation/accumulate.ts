import { type PackedWeights, pairLimits } from "./packed-weights.ts";

/** Sums of products of some rows with one group of output channels, [columns][rows]. */
export interface Accumulators {
  /** Without saturation. */
  readonly exact: Int32Array;
  /** What saturation adds to `exact`: zero almost everywhere. */
  readonly excess: Int32Array;
}

const [least, most] = pairLimits;

/**
 * Σ a·w over rows of uint8 as x86 kernels without VNNI compute it: VPMADDUBSW adds the products of two neighbours with signed 16-bit
 * saturation, and the sums of two are added in 32 bits (Intel SDM, VPMADDUBSW; MLAS, QgemmU8S8KernelAvx2). Only pairs that could
 * saturate are looked at twice. Gives the number of pairs that did. The zero point plays no part here: kernels correct for it outside
 * of the saturating sums.
 */
export function accumulate(
  rows: Uint8Array,
  count: number,
  weights: PackedWeights,
  group: number,
  { exact, excess }: Accumulators,
): number {
  const { stride, values, riskyAt } = weights;
  const { columns } = weights.form;
  let saturated = 0;
  for (let column = 0; column < columns; column++) {
    const channel = group * columns + column;
    const at = channel * stride;
    for (let row = 0, from = 0; row < count; row++, from += stride) {
      let sum = 0;
      for (let k = 0; k < stride; k += 4)
        sum +=
          (rows[from + k] as number) * (values[at + k] as number) +
          (rows[from + k + 1] as number) * (values[at + k + 1] as number) +
          (rows[from + k + 2] as number) * (values[at + k + 2] as number) +
          (rows[from + k + 3] as number) * (values[at + k + 3] as number);
      exact[column * count + row] = sum;
    }
    const begin = riskyAt[channel] as number;
    const end = riskyAt[channel + 1] as number;
    if (begin === end) excess.fill(0, column * count, (column + 1) * count);
    else saturated += addExcess(rows, count, weights, { at, begin, end }, excess.subarray(column * count, (column + 1) * count));
  }
  return saturated;
}

function addExcess(
  rows: Uint8Array,
  count: number,
  { stride, values, risky }: PackedWeights,
  { at, begin, end }: { readonly at: number; readonly begin: number; readonly end: number },
  excess: Int32Array,
): number {
  let saturated = 0;
  for (let row = 0, from = 0; row < count; row++, from += stride) {
    let beyond = 0;
    for (let i = begin; i < end; i++) {
      const k = risky[i] as number;
      const pair =
        (rows[from + k] as number) * (values[at + k] as number) + (rows[from + k + 1] as number) * (values[at + k + 1] as number);
      if (pair > most || pair < least) {
        beyond += (pair > most ? most : least) - pair;
        saturated++;
      }
    }
    excess[row] = beyond;
  }
  return saturated;
}
