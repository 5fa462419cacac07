import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { Graph, Model, type Tensor, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { type ActivationRange, fakeQuantize, scaleExponentName, trainedScale } from "./fake-quantize.ts";
import { differentiate } from "./gradient.ts";
import { TrainingGraph } from "./training-graph.ts";

const scale = 2 ** -4;
/** No multiple of the first lies half way between two of its multiples. */
const other = 0.0931;
const zeroPoint = 100;
const xs = [-8, -0.231, 0.118, 12];
const factors = [0.9, -0.31, 0.12, 0.77];

/** r = pair(x); y = factors·pair(r); both pairs with scales of their own. */
function model(second = scale): Model {
  const graph = new Graph("pairs");
  const x = graph.addInput("x", { dtype: "float32", shape: ["N", 4] });
  const pair = (value: Value, own: number): Value => {
    const s = graph.addInitializer(graph.freshName("s"), tensorOf("float32", [], [own]));
    const z = graph.addInitializer(graph.freshName("z"), tensorOf("uint8", [], [zeroPoint]));
    return graph.node("DequantizeLinear", [graph.node("QuantizeLinear", [value, s, z]).output, s, z]).output;
  };
  const r = graph.node("Neg", [pair(x, scale)], { outputs: ["r"] }).output;
  const c = graph.addInitializer("c", tensorOf("float32", [4], factors));
  graph.addOutput(graph.node("Mul", [pair(r, second), c], { outputs: ["y"] }).output);
  return new Model({ graph });
}

async function compute(
  range: ActivationRange,
  exponents: Readonly<Record<string, number>>,
  { second, fixed }: { second?: number; fixed?: ReadonlySet<string> } = {},
) {
  const training = new TrainingGraph(model(second), { batch: 1, trainable: [] });
  fakeQuantize(training, { weights: [], weightScale: "max", activationRange: range, fixed });
  const { b, graph } = training;
  const y = training.output("y");
  const found = differentiate(
    b,
    b.reduceSum(y, undefined, false),
    training.parameters.map(({ value }) => value),
  );
  const names = training.parameters.map(({ name }) => name);
  for (const [i, gradient] of found.entries()) {
    graph.addOutput(b.op("Identity", [gradient as Value]));
    graph.rename(graph.outputs.at(-1) as Value, `d:${names[i]}`);
  }
  const session = await ortNode.load(encodeOnnx(training.model), { optimization: "disabled" });
  const feeds: Record<string, Tensor> = { x: tensorOf("float32", [1, 4], xs) };
  for (const name of names) feeds[name] = tensorOf("float32", [], [exponents[name] ?? 0]);
  const outputs = await session.run(feeds);
  await session.release();
  return { names, outputs: Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, [...toFloat32(tensor)]])) };
}

const integer = (x: number, s: number): number => Math.min(255 - zeroPoint, Math.max(-zeroPoint, Math.round(x / s)));
const rounded = (x: number, s: number): number => integer(x, s) * s;

describe.each([
  ["relative", 17, Math.exp(0.34), 0.02],
  ["relative", -40, Math.exp(-0.8), 0.02],
  ["power-of-two", 0, 1, 0.2 * Math.LN2],
  ["power-of-two", 4, 2, 0.2 * Math.LN2],
  ["power-of-two", -12, 0.25, 0.2 * Math.LN2],
] as const)("%s ranges with the parameter at %d", (range, u, factor, unit) => {
  const [first, second] = [scaleExponentName("x"), scaleExponentName("r")];

  test("round as a pair with the trained scale does", async () => {
    const { outputs, names } = await compute(range, { [first]: u }, { second: other });
    expect(names).toEqual([first, second]);
    const trained = trainedScale(scale, u, range);
    expect(trained).toBeCloseTo(scale * factor, 8);
    xs.forEach((x, i) => {
      expect(outputs.y?.[i]).toBeCloseTo((factors[i] as number) * rounded(-rounded(x, trained), other), 3);
    });
  });

  test("learn by the slope of learned step sizes times that of the exponent", async () => {
    const { outputs } = await compute(range, { [second]: u }, { second: other });
    const s = other * factor;
    const slope = xs.reduce((sum, x, i) => {
      const steps = -rounded(x, scale) / s;
      const inside = steps >= -zeroPoint && steps <= 255 - zeroPoint;
      return sum + (factors[i] as number) * (inside ? Math.round(steps) - steps : integer(steps * s, s));
    }, 0);
    expect(outputs[`d:${second}`]?.[0]).toBeCloseTo((slope * s * unit) / Math.sqrt(4 * 255), 4);
  });
});

describe("ranges while training", () => {
  test("pairs of equal parameters share one exponent", async () => {
    const { names } = await compute("relative", {});
    expect(names).toEqual([scaleExponentName("x")]);
  });

  test("fixed ranges stay, and so do those that share theirs", async () => {
    const one = await compute("power-of-two", {}, { second: other, fixed: new Set(["x"]) });
    expect(one.names).toEqual([scaleExponentName("r")]);
    const both = await compute("power-of-two", {}, { fixed: new Set(["r"]) });
    expect(both.names).toEqual([]);
    xs.forEach((x, i) => {
      expect(both.outputs.y?.[i]).toBeCloseTo((factors[i] as number) * rounded(-rounded(x, scale), scale), 4);
    });
  });

  test("property: a trained power of two is one, however the parameter moved", () => {
    fc.assert(
      fc.property(fc.integer({ min: -20, max: 10 }), fc.double({ min: -30, max: 30, noNaN: true }), (power, u) => {
        const exponent = Math.log2(trainedScale(2 ** power, u, "power-of-two"));
        expect(Number.isInteger(exponent)).toBe(true);
        expect(Math.abs(exponent - power - 0.2 * u)).toBeLessThanOrEqual(0.5);
      }),
    );
  });
});
