import { z } from "zod";
import { beta, randomOrder } from "../random.ts";
import { probability } from "./define.ts";

export const mixupSchema = z.strictObject({
  name: z.literal("mixup"),
  alpha: z
    .number()
    .positive()
    .max(100)
    .default(0.2)
    .describe("Both parameters of the Beta distribution that the share is drawn from"),
  probability: probability(1),
});

/**
 * Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017: each row becomes λ·itself + (1 − λ)·another row of the batch, inputs and
 * targets alike, with λ ≥ ½ drawn for each row from Beta(α, α). `arrays` hold `batch` rows each and are changed in place.
 */
export function mixRows(
  arrays: readonly Float32Array[],
  batch: number,
  { alpha, probability: share }: Pick<z.output<typeof mixupSchema>, "alpha" | "probability">,
  uniform: () => number,
): void {
  const partners = randomOrder(batch, uniform);
  const own = Float64Array.from(partners, () => {
    const mixed = uniform() < share;
    const drawn = beta(alpha, alpha, uniform);
    return mixed ? Math.max(drawn, 1 - drawn) : 1;
  });
  for (const values of arrays) mixArray(values, values.slice(), batch, partners, own);
}

function mixArray(
  values: Float32Array,
  source: Float32Array,
  batch: number,
  partners: ArrayLike<number>,
  own: Float64Array,
): void {
  const size = values.length / batch;
  for (let row = 0; row < batch; row++) {
    const weight = own[row] as number;
    if (weight === 1) continue;
    const other = (partners[row] as number) * size;
    for (let i = 0, at = row * size; i < size; i++, at++)
      values[at] = weight * (source[at] as number) + (1 - weight) * (source[other + i] as number);
  }
}
