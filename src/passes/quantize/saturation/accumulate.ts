import { type PackedWeights, pairLimits } from "./packed-weights.ts";

/** Rows that are summed up together, so that they stay in the processor's cache while all channels pass over them. */
export const blockRows = 64;

/** Sums of products of up to `blockRows` rows with one group of output channels, [columns][blockRows]. */
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
 * of the saturating sums. `rows` holds `blockRows` rows of `weights.stride` bytes, of which `count` matter.
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
    const into = column * blockRows;
    sumExactly(rows, count, values, stride, channel * stride, exact, into);
    const begin = riskyAt[channel] as number;
    const end = riskyAt[channel + 1] as number;
    if (begin === end) excess.fill(0, into, into + count);
    else saturated += addExcess(rows, count, weights, { at: channel * stride, begin, end }, excess.subarray(into, into + count));
  }
  return saturated;
}

/** Four rows at a time share the reading of weights; rows past `count` are summed up and not looked at. */
function sumExactly(
  rows: Uint8Array,
  count: number,
  values: Int8Array,
  stride: number,
  at: number,
  exact: Int32Array,
  into: number,
): void {
  for (let row = 0; row < count; row += 4) {
    const first = row * stride;
    const second = first + stride;
    const third = second + stride;
    const fourth = third + stride;
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let k = 0; k < stride; k++) {
      const weight = values[at + k] as number;
      a = (a + Math.imul(rows[first + k] as number, weight)) | 0;
      b = (b + Math.imul(rows[second + k] as number, weight)) | 0;
      c = (c + Math.imul(rows[third + k] as number, weight)) | 0;
      d = (d + Math.imul(rows[fourth + k] as number, weight)) | 0;
    }
    exact[into + row] = a;
    exact[into + row + 1] = b;
    exact[into + row + 2] = c;
    exact[into + row + 3] = d;
  }
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
