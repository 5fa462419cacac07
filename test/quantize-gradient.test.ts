import { expect, it } from "vitest";
import { encodeOnnx } from "../src/formats/onnx/index.ts";
import { type DataType, Graph, Model, type Tensor, tensorOf, toFloat32, type Value } from "../src/ir/index.ts";
import { GraphBuilder } from "../src/ops/builder.ts";
import { ortNode } from "../src/runtime/ort-node.ts";
import { vectorJacobian } from "../src/train/gradient.ts";

interface Case {
  readonly x: readonly number[];
  readonly shape: readonly number[];
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  readonly dtype: DataType;
  readonly axis: number;
}

/** Gradients of x and scale through a quantize–dequantize pair, for the given dy. */
async function pairGradients(one: Case, dy: readonly number[]): Promise<{ dx: number[]; dScale: number[] }> {
  const graph = new Graph("pair");
  const b = new GraphBuilder(graph);
  const x = graph.addInput("x", { dtype: "float32", shape: one.shape });
  const scaleShape = one.scale.length === 1 ? [] : [one.scale.length];
  const scale = graph.addInput("scale", { dtype: "float32", shape: scaleShape });
  const zero = b.constant(tensorOf(one.dtype, scaleShape, one.zeroPoint));
  const quantized = b.op("QuantizeLinear", [x, scale, zero], { axis: one.axis });
  const y = b.op("DequantizeLinear", [quantized, scale, zero], { axis: one.axis });
  const [dx, dScale] = vectorJacobian(b, [{ of: y, seed: b.floats(one.shape, dy) }], [x, scale]);
  for (const value of [dx, dScale]) graph.addOutput(b.op("Identity", [value as Value]));
  const session = await ortNode.load(encodeOnnx(new Model({ graph })), { optimization: "disabled" });
  const outputs = await session.run({
    x: tensorOf("float32", one.shape, one.x),
    scale: tensorOf("float32", scaleShape, one.scale),
  });
  await session.release();
  const [first, second] = Object.values(outputs) as [Tensor, Tensor];
  return { dx: Array.from(toFloat32(first), (v) => v + 0), dScale: [...toFloat32(second)] }; // −0 becomes 0
}

/** The definition: dy inside the range, zero outside; by the scale round(x/s) − x/s inside, the limit outside. */
function expected(one: Case, dy: readonly number[], [low, high]: readonly [number, number]): { dx: number[]; dScale: number[] } {
  const inner = one.shape.slice(one.axis + 1).reduce((a, d) => a * d, 1);
  const dScale = new Array<number>(one.scale.length).fill(0);
  const dx = one.x.map((x, i) => {
    const c = one.scale.length === 1 ? 0 : Math.floor(i / inner) % one.scale.length;
    const [s, z] = [one.scale[c] as number, one.zeroPoint[c] as number];
    const steps = x / s;
    const rounded = Math.round(steps) + z;
    const inside = rounded >= low && rounded <= high;
    const clamped = Math.min(high, Math.max(low, rounded)) - z;
    dScale[c] = (dScale[c] as number) + (dy[i] as number) * (clamped - (inside ? steps : 0));
    return inside ? (dy[i] as number) : 0;
  });
  return { dx, dScale };
}

// no quotient is half a step, where rounding rules differ
const values = [-3.1, -1.264, -0.403, 0.034, 0.117, 0.383, 0.904, 1.283, 2.213, 0.644, -0.783, 5];
const dy = [1, -2, 0.5, 3, -1, 0.25, 2, 1.5, -0.75, 1, 1, -1];

it.each<[string, Case, readonly [number, number]]>([
  ["uint8 per tensor", { x: values, shape: [3, 4], scale: [0.01], zeroPoint: [100], dtype: "uint8", axis: 1 }, [0, 255]],
  ["int8 per tensor", { x: values, shape: [3, 4], scale: [0.02], zeroPoint: [0], dtype: "int8", axis: 1 }, [-128, 127]],
  [
    "int8 per channel",
    { x: values, shape: [3, 4], scale: [0.02, 0.005, 0.03], zeroPoint: [0, 0, 0], dtype: "int8", axis: 0 },
    [-128, 127],
  ],
])("a pair passes gradients straight through: %s", async (_, one, range) => {
  const found = await pairGradients(one, dy);
  const right = expected(one, dy, range);
  expect(found.dx).toEqual(right.dx);
  // sums of a dozen products of float32 quotients
  right.dScale.forEach((value, i) => {
    expect(found.dScale[i]).toBeCloseTo(value, 3);
  });
});
