import type { ProductForm } from "./product-form.ts";

/** A [..., M, K] · B [K, N], or B [N, K] where it is transposed. Undefined where B is no matrix: those run as something else. */
export function matrixForm(weightShape: readonly number[], transposed: boolean): ProductForm | undefined {
  if (weightShape.length !== 2) return undefined;
  const [depth, columns] = (transposed ? [...weightShape].reverse() : weightShape) as [number, number];
  return {
    groups: 1,
    columns,
    depth,
    paired: true,
    weightAt: transposed ? (channel, k) => channel * depth + k : (channel, k) => k * columns + channel,
    rows: (x, shape) => ({
      count: x.length / depth,
      channelStep: 1,
      outputShape: [...shape.slice(0, -1), columns],
      outputAt: (row) => row * columns,
      fill: (_, start, end, into, stride) => {
        for (let row = start; row < end; row++) into.set(x.subarray(row * depth, (row + 1) * depth), (row - start) * stride);
      },
    }),
  };
}
