import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { Graph, Model, type Tensor, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import { bestWeightScales } from "../passes/quantize/parameters.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { fakeQuantize, weightScaleName } from "./fake-quantize.ts";
import { differentiate } from "./gradient.ts";
import { TrainingGraph } from "./training-graph.ts";

const scale = 0.05;
const limit = 3;

/** y = pair(x)·w, with a quantize–dequantize pair around x. */
function model(weight: readonly number[]): Model {
  const graph = new Graph("pair");
  const x = graph.addInput("x", { dtype: "float32", shape: ["N", 4] });
  const [s, z] = [
    graph.addInitializer("s", tensorOf("float32", [], [scale])),
    graph.addInitializer("z", tensorOf("uint8", [], [100])),
  ];
  const q = graph.node("QuantizeLinear", [x, s, z]);
  const d = graph.node("DequantizeLinear", [q.output, s, z]);
  const w = graph.addInitializer("w", tensorOf("float32", [4, 2], weight));
  const y = graph.node("MatMul", [d.output, w], { outputs: ["y"] });
  graph.addOutput(y.output);
  return new Model({ graph });
}

const xs = [-6, -0.231, 0.118, 9];
const ws = [0.9, -0.31, 0.12, 0.77, -0.55, 0.04, 0.33, -0.92];

/** Gradients of Σ y by x's pair input is not a parameter, so of the weights and the learned scales. */
async function gradients(weightScale: "max" | "learned", activationRange: "observed" | "learned") {
  const training = new TrainingGraph(model(ws), { batch: 1 });
  fakeQuantize(training, { weights: [{ name: "w", axis: 1, limit }], weightScale, activationRange });
  const { b, graph } = training;
  const loss = b.reduceSum(training.output("y"), undefined, false);
  const values = training.parameters.map(({ value }) => value);
  const found = differentiate(b, loss, values);
  const y = training.output("y");
  graph.outputs.length = 0;
  const names = training.parameters.map(({ name }) => name);
  for (const [i, gradient] of found.entries()) {
    graph.addOutput(b.op("Identity", [gradient as Value]));
    graph.rename(graph.outputs.at(-1) as Value, `d:${names[i]}`);
  }
  graph.addOutput(y);
  const session = await ortNode.load(encodeOnnx(training.model), { optimization: "disabled" });
  const feeds: Record<string, Tensor> = { x: tensorOf("float32", [1, 4], xs) };
  for (const { name, initial } of training.parameters) feeds[name] = initial;
  for (const { name, initial } of training.statistics) feeds[name] = initial;
  for (const [name, value] of training.hyperparameters) feeds[name] = tensorOf("float32", [], [value]);
  const declared = new Set(session.inputs.map(({ name }) => name));
  const outputs = await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => declared.has(name))));
  await session.release();
  return { outputs: Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, toFloat32(tensor)])), training };
}

const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));
/** What the pair makes of x. */
const dequantized = xs.map((x) => clamp(Math.round(x / scale), -100, 155) * scale);
const column = (c: number): number[] => [0, 1, 2, 3].map((row) => ws[2 * row + c] as number);

it("rounds activations and weights as the quantized model will", async () => {
  const { outputs } = await gradients("max", "observed");
  [0, 1].forEach((c) => {
    const own = Math.max(...column(c).map(Math.abs)) / limit;
    const expected = column(c).reduce((sum, w, row) => sum + Math.round(w / own) * own * (dequantized[row] as number), 0);
    expect(outputs.y?.[c]).toBeCloseTo(expected, 4);
  });
});

it("passes the gradient of weights straight through", async () => {
  const { outputs } = await gradients("max", "observed");
  // dΣy/dw[row, c] is the quantized x[row]
  expect([...(outputs["d:w"] as Float32Array)]).toEqual(
    dequantized.flatMap((x) => [Math.fround(x), Math.fround(x)]).map((v) => expect.closeTo(v, 4)),
  );
});

it("learns scales with the gradient of learned step sizes", async () => {
  const { outputs, training } = await gradients("learned", "learned");
  const scales = toFloat32(training.parameters.find(({ name }) => name === weightScaleName("w"))?.initial as Tensor);
  [0, 1].forEach((c) => {
    const s = scales[c] as number;
    const slope = column(c).reduce((sum, w, row) => {
      const steps = w / s;
      const inside = Math.abs(steps) <= limit;
      const term = inside ? Math.round(steps) - steps : Math.sign(steps) * limit;
      return sum + term * (dequantized[row] as number);
    }, 0);
    expect(outputs[`d:${weightScaleName("w")}`]?.[c]).toBeCloseTo(slope / Math.sqrt(4 * limit), 3);
  });
  const rounded = (c: number): number[] =>
    column(c).map((w) => clamp(Math.round(w / (scales[c] as number)), -limit, limit) * (scales[c] as number));
  const dx = [0, 1, 2, 3].map((row) => (rounded(0)[row] as number) + (rounded(1)[row] as number));
  const slope = xs.reduce((sum, x, row) => {
    const steps = x / scale;
    const inside = steps >= -100 && steps <= 155;
    return sum + (dx[row] as number) * (inside ? Math.round(steps) - steps : clamp(steps, -100, 155));
  }, 0);
  expect(outputs["d:x/scale"]?.[0]).toBeCloseTo(slope / Math.sqrt(4 * 255), 3);
});

it("moves an observed range towards what it sees", async () => {
  const { training } = await gradients("max", "observed");
  expect(training.statistics.map(({ name }) => name)).toEqual(["x/max", "x/min"]);
  expect(training.statistics.every(({ next }) => next)).toBe(true);
  expect([...training.hyperparameters.keys()]).toEqual(["observe"]);
});

it("finds scales that never do worse than the largest magnitude", () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 4, maxLength: 40 }),
      fc.integer({ min: 2, max: 8 }),
      (values, bits) => {
        const most = 2 ** (bits - 1) - 1;
        const tensor = tensorOf("float32", [1, values.length], values);
        const [best] = bestWeightScales(tensor, 0, { bits }) as unknown as [number];
        const largest = Math.max(...values.map(Math.abs)) / most;
        const error = (s: number): number =>
          values.reduce((sum, v) => sum + (s > 0 ? (v - clamp(Math.round(v / s), -most, most) * s) ** 2 : v * v), 0);
        // float32 scales against double sums
        expect(error(best)).toBeLessThanOrEqual(error(Math.max(largest, 2 ** -40)) * (1 + 1e-4) + 1e-9);
        for (const v of values)
          if (Math.abs(v) <= most * best)
            expect(Math.abs(v - Math.round(v / best) * best)).toBeLessThanOrEqual(best * 0.5001 + 1e-12);
      },
    ),
  );
});
