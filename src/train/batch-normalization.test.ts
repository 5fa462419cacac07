import { expect, it } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { Graph, Model, type Tensor, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import { GraphBuilder } from "../ops/builder.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { seededRandom } from "../util/random.ts";
import { normalizeByBatch } from "./batch-normalization.ts";
import { vectorJacobian } from "./gradient.ts";

const shape = [3, 2, 4, 5];
const size = 120;
const uniform = seededRandom(2);
const draw = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * uniform() - 1);
const [x, scale, shift, dy] = [draw(size).map((v) => 3 * v + 1), draw(2).map((v) => v + 1.5), draw(2), draw(size)] as const;

/** Output and gradients by the graph. */
async function byGraph(): Promise<Record<string, Float32Array>> {
  const graph = new Graph("norm");
  const b = new GraphBuilder(graph);
  const inputs = { x: [...shape], scale: [2], shift: [2] };
  const [vx, vs, vb] = Object.entries(inputs).map(([name, extents]) =>
    graph.addInput(name, { dtype: "float32", shape: extents }),
  ) as [Value, Value, Value];
  const { y, mean, variance } = normalizeByBatch(b, { x: vx, scale: vs, shift: vb, epsilon: 1e-5 });
  const [dx, dScale, dShift] = vectorJacobian(b, [{ of: y, seed: b.floats(shape, dy) }], [vx, vs, vb]);
  const outputs: Record<string, Value | undefined> = { y, mean, variance, dx, dScale, dShift };
  for (const [name, value] of Object.entries(outputs)) {
    const output = b.op("Identity", [value as Value]);
    graph.rename(output, name);
    graph.addOutput(output);
  }
  const session = await ortNode.load(encodeOnnx(new Model({ graph })));
  const results = await session.run({
    x: tensorOf("float32", shape, x),
    scale: tensorOf("float32", [2], scale),
    shift: tensorOf("float32", [2], shift),
  });
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, toFloat32(tensor as Tensor)]));
}

const channelOf = (i: number): number => Math.floor(i / 20) % 2;

/** Σ dy·y in double precision. */
function objective(xs: ArrayLike<number>, scales: ArrayLike<number>, shifts: ArrayLike<number>): number {
  let total = 0;
  for (const c of [0, 1]) {
    const own = Array.from({ length: size }, (_, i) => i).filter((i) => channelOf(i) === c);
    const mean = own.reduce((sum, i) => sum + (xs[i] as number), 0) / own.length;
    const variance = own.reduce((sum, i) => sum + ((xs[i] as number) - mean) ** 2, 0) / own.length;
    for (const i of own) {
      const y = (((xs[i] as number) - mean) / Math.sqrt(variance + 1e-5)) * (scales[c] as number) + (shifts[c] as number);
      total += y * (dy[i] as number);
    }
  }
  return total;
}

/** Central differences of the double-precision objective. */
function numeric(values: Float32Array, at: (moved: Float64Array) => number): number[] {
  return Array.from(values, (_, i) => {
    const moved = (by: number): number => {
      const copy = Float64Array.from(values);
      copy[i] = (copy[i] as number) + by;
      return at(copy);
    };
    return (moved(1e-5) - moved(-1e-5)) / 2e-5;
  });
}

it("normalizes by the batch, with the gradient of all that it computes", async () => {
  const found = await byGraph();
  const expected = {
    dx: numeric(x, (xs) => objective(xs, scale, shift)),
    dScale: numeric(scale, (scales) => objective(x, scales, shift)),
    dShift: numeric(shift, (shifts) => objective(x, scale, shifts)),
  };
  for (const [name, values] of Object.entries(expected))
    values.forEach((value, i) => {
      // float32 sums of sixty products
      expect(found[name]?.[i], `${name}[${i}]`).toBeCloseTo(value, 4);
    });
  expect(found.mean).toHaveLength(2);
  expect(found.variance?.every((v) => v > 1)).toBe(true);
});
