import type { ProductForm } from "./product-form.ts";

/** Largest and smallest sum of two products that VPMADDUBSW can hold. */
export const pairLimits = [-32768, 32767] as const;
const largestActivation = 255;

/** Weights as a kernel of paired products reads them. */
export interface PackedWeights {
  readonly form: ProductForm;
  /** Bytes between output channels: the depth, padded with zeros to fours as the kernel pads it. */
  readonly stride: number;
  /** [channels][stride]. */
  readonly values: Int8Array;
  /** Positions `k` (even) of pairs that some activations could saturate, channel after channel. */
  readonly risky: Int32Array;
  /** Where a channel's risky pairs begin; one entry more than there are channels. */
  readonly riskyAt: Int32Array;
  /** Σ w of each channel, for the zero point's correction. */
  readonly sums: Int32Array;
}

export function packWeights(form: ProductForm, weights: Int8Array): PackedWeights {
  const channels = form.groups * form.columns;
  const stride = Math.ceil(form.depth / 4) * 4;
  const values = new Int8Array(channels * stride);
  const sums = new Int32Array(channels);
  const riskyAt = new Int32Array(channels + 1);
  const risky: number[] = [];
  for (let channel = 0; channel < channels; channel++) {
    let sum = 0;
    for (let k = 0; k < form.depth; k++) {
      const weight = weights[form.weightAt(channel, k)] as number;
      values[channel * stride + k] = weight;
      sum += weight;
    }
    sums[channel] = sum;
    if (form.paired)
      for (let k = 0; k < stride; k += 2)
        if (canSaturate(values[channel * stride + k] as number, values[channel * stride + k + 1] as number)) risky.push(k);
    riskyAt[channel + 1] = risky.length;
  }
  return { form, stride, values, risky: Int32Array.from(risky), riskyAt, sums };
}

/** Whether 255·w₀ + 255·w₁, or one of them alone where the other has the other sign, leaves 16 bits. */
export function canSaturate(first: number, second: number): boolean {
  const above = Math.max(first, 0) + Math.max(second, 0);
  const below = Math.min(first, 0) + Math.min(second, 0);
  return largestActivation * above > pairLimits[1] || largestActivation * below < pairLimits[0];
}
