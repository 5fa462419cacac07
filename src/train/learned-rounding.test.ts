import { describe, expect, test } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { Graph, Model, type Tensor, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import { quantizeWeight } from "../passes/quantize/parameters.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { seededNormal, seededRandom } from "../util/random.ts";
import { differentiate } from "./gradient.ts";
import {
  learnRounding,
  type RoundedWeight,
  roundedIntegers,
  roundingExponent,
  roundingName,
  roundingPull,
  shiftedBias,
  shiftName,
  trainedWeightScales,
  weightExponentName,
} from "./learned-rounding.ts";
import { TrainingGraph } from "./training-graph.ts";

const normal = seededNormal(seededRandom(3));
const [rows, columns] = [5, 4];
/** Rests between whole steps that are clear of 0 and 1, where the initial parameter is cut off. */
const steps = Float32Array.from(
  { length: rows * columns },
  () => Math.round(2 * normal()) + 0.1 + 0.8 * Math.abs(Math.sin(normal())),
);
const weight: RoundedWeight = { name: "w", scales: Float32Array.of(0.1, 0.02, 0.3, 0.05), axis: 1, limit: 7, learnScales: false };
const scaleOf = (i: number): number => weight.scales[i % columns] as number;
const weights = tensorOf(
  "float32",
  [rows, columns],
  steps.map((step, i) => step * scaleOf(i)),
);
const bias = tensorOf("float32", [columns], [0.4, -0.3, 0.1, 0.2]);

/** y = xw + b. */
function linear(): Model {
  const graph = new Graph("linear");
  const x = graph.addInput("x", { dtype: "float32", shape: ["N", rows] });
  const y = graph.node("Gemm", [x, graph.addInitializer("w", weights), graph.addInitializer("b", bias)], { outputs: ["y"] });
  graph.addOutput(y.output);
  return new Model({ graph });
}

const x = tensorOf(
  "float32",
  [1, rows],
  Array.from({ length: rows }, () => normal()),
);

/** y, the pull and (with `gradients`) those of Σ cy + pull by every parameter. */
async function program(own: RoundedWeight = weight) {
  const training = new TrainingGraph(linear(), { batch: 1, trainable: [] });
  const pull = learnRounding(training, { weights: [own], biases: ["b"] }) as Value;
  const { b, graph } = training;
  const y = training.output("y");
  const loss = b.add(
    b.reduceSum(b.mul(y, b.constant(tensorOf("float32", [1, columns], [1, -2, 3, 0.5]), "seed")), undefined, false),
    pull,
  );
  const found = differentiate(
    b,
    loss,
    training.parameters.map(({ value }) => value),
  );
  graph.outputs.length = 0;
  const give = (value: Value, name: string): void => {
    graph.addOutput(b.op("Identity", [value]));
    graph.rename(graph.outputs.at(-1) as Value, name);
  };
  give(y, "result");
  give(loss, "loss");
  give(pull, "pull");
  training.parameters.forEach(({ name }, i) => {
    give(found[i] as Value, `d:${name}`);
  });
  const session = await ortNode.load(encodeOnnx(training.model), { optimization: "disabled" });
  const initial = Object.fromEntries(training.parameters.map((parameter) => [parameter.name, parameter.initial]));
  const run = async (parameters: Readonly<Record<string, Tensor>> = {}, scalars: Readonly<Record<string, number>> = {}) => {
    const values = { [roundingPull]: 0, [roundingExponent]: 2, ...scalars };
    const feeds = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, tensorOf("float32", [], [value])]));
    const outputs = await session.run({ x, ...initial, ...parameters, ...feeds });
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, toFloat32(tensor)]));
  };
  return { run, initial, release: () => session.release() };
}

const product = (own: ArrayLike<number>, shift: readonly number[] = [0, 0, 0, 0]): number[] =>
  Array.from({ length: columns }, (_, c) => {
    let sum = (toFloat32(bias)[c] as number) + (shift[c] as number);
    for (let r = 0; r < rows; r++) sum += (toFloat32(x)[r] as number) * (own[r * columns + c] as number);
    return sum;
  });

describe("learned rounding", () => {
  test("begins at the float weights, clipped to the integers' limits", async () => {
    const { run, release } = await program();
    const { result } = await run();
    await release();
    const clipped = Float32Array.from(toFloat32(weights), (w, i) => Math.max(-7, Math.min(7, w / scaleOf(i))) * scaleOf(i));
    product(clipped).forEach((value, c) => {
      expect(result?.[c]).toBeCloseTo(value, 4);
    });
  });

  test("parameters as they begin stand for rounding to nearest", async () => {
    const { initial, release } = await program();
    await release();
    const nearest = quantizeWeight(weights, weight.scales, 1, false, 4).tensor;
    const integers = roundedIntegers(weights, weight, initial[roundingName("w")] as Tensor);
    expect([...integers]).toEqual([...new Int8Array(nearest.bytes())]);
    expect(Math.max(...integers.map(Math.abs))).toBeLessThanOrEqual(7);
  });

  test("weights that lie on the grid stay there", () => {
    const exact = tensorOf("float32", [1, 5], [-1, -0.5, 0, 0.5, 1.5]);
    const own: RoundedWeight = { name: "w", scales: Float32Array.of(0.5), axis: undefined, limit: 2, learnScales: false };
    const parameter = tensorOf("float32", [1, 5], new Array(5).fill(-4));
    expect([...roundedIntegers(exact, own, parameter)]).toEqual([-2, -1, 0, 1, 2]);
  });

  test("gradients of rounding, shift and pull are those of finite differences", async () => {
    const { run, initial, release } = await program();
    const uniform = seededRandom(5);
    const scalars = { [roundingPull]: 0.3, [roundingExponent]: 4 };
    // inside the stretched sigmoid, and off |2h − 1| = 0, where the pull has a corner
    const v = Float32Array.from({ length: rows * columns }, (_, i) => (i % 2 ? 1 : -1) * (0.3 + 1.2 * uniform()));
    const at = {
      [roundingName("w")]: tensorOf("float32", [rows, columns], v),
      [shiftName("b")]: tensorOf("float32", [columns], [1, -2, 3, 0]),
    };
    const analytic = await run(at, scalars);
    for (const [name, tensor] of Object.entries(at)) {
      const gradient = analytic[`d:${name}`] as Float32Array;
      for (let i = 0; i < gradient.length; i += 3) {
        const moved = async (by: number): Promise<number> => {
          const values = toFloat32(tensor).slice();
          values[i] = (values[i] as number) + by;
          return (await run({ ...at, [name]: tensorOf("float32", tensor.shape, values) }, scalars)).loss?.[0] as number;
        };
        const numeric = ((await moved(0.02)) - (await moved(-0.02))) / 0.04;
        expect(Math.abs((gradient[i] as number) - numeric)).toBeLessThan(5e-3 * Math.max(1, Math.abs(numeric)));
      }
    }
    expect(Object.keys(initial).sort()).toEqual([shiftName("b"), roundingName("w")].sort());
    await release();
  });

  test("the pull is zero at whole integers and largest half way, at any exponent", async () => {
    const { run, release } = await program();
    const at = async (value: number, exponent: number): Promise<number> => {
      const filled = tensorOf("float32", [rows, columns], new Array(rows * columns).fill(value));
      const { pull } = await run({ [roundingName("w")]: filled }, { [roundingPull]: 1, [roundingExponent]: exponent });
      return pull?.[0] as number;
    };
    for (const exponent of [2, 20]) {
      expect(await at(20, exponent)).toBeCloseTo(0, 5);
      expect(await at(-20, exponent)).toBeCloseTo(0, 5);
      expect(await at(0, exponent)).toBeCloseTo(rows * columns, 3);
      expect(await at(0.2, exponent)).toBeLessThan(await at(0.1, exponent));
    }
    await release();
  });

  test("what training computes with whole roundings is what the exported integers give", async () => {
    const { run, release } = await program();
    const v = Float32Array.from({ length: rows * columns }, (_, i) => (i % 3 ? 20 : -20));
    const parameter = tensorOf("float32", [rows, columns], v);
    const shift = tensorOf("float32", [columns], [2, -1, 0, 5]);
    const { result } = await run({ [roundingName("w")]: parameter, [shiftName("b")]: shift });
    await release();
    const integers = roundedIntegers(weights, weight, parameter);
    expect(Math.max(...integers.map(Math.abs))).toBeLessThanOrEqual(weight.limit);
    const moved = [...shiftedBias(bias, shift)].map((value, c) => value - (toFloat32(bias)[c] as number));
    expect(moved.some((by) => Math.abs(by) > 1e-3)).toBe(true);
    product(
      Float32Array.from(integers, (q, i) => q * scaleOf(i)),
      moved,
    ).forEach((value, c) => {
      expect(result?.[c]).toBeCloseTo(value, 4);
    });
  });

  test("learned scales begin at the given ones, and what training computes is what is exported", async () => {
    const own: RoundedWeight = { ...weight, learnScales: true };
    const { run, initial, release } = await program(own);
    const fixed = await program();
    expect((await run()).result).toEqual((await fixed.run()).result);
    await fixed.release();
    const name = weightExponentName("w");
    expect(trainedWeightScales(own, initial[name])).toEqual(weight.scales);
    const shape = (initial[name] as Tensor).shape;
    const exponents = tensorOf("float32", shape, [10, -20, 5, 0]);
    const v = tensorOf("float32", [rows, columns], new Array(rows * columns).fill(-20));
    const at = { [roundingName("w")]: v, [name]: exponents };
    const { result, [`d:${name}`]: gradient } = await run(at);
    const scales = trainedWeightScales(own, exponents);
    const integers = roundedIntegers(weights, own, v);
    product(Float32Array.from(integers, (q, i) => q * (scales[i % columns] as number))).forEach((value, c) => {
      expect(result?.[c]).toBeCloseTo(value, 4);
    });
    for (let c = 0; c < columns; c++) {
      const moved = async (by: number): Promise<number> => {
        const values = toFloat32(exponents).slice();
        values[c] = (values[c] as number) + by;
        return (await run({ ...at, [name]: tensorOf("float32", shape, values) })).loss?.[0] as number;
      };
      const numeric = ((await moved(1)) - (await moved(-1))) / 2;
      expect(Math.abs((gradient?.[c] as number) - numeric)).toBeLessThan(1e-2 * Math.max(0.1, Math.abs(numeric)));
    }
    await release();
  });

  test("without a weight of that name there is nothing to pull", () => {
    const training = new TrainingGraph(linear(), { batch: 1, trainable: [] });
    expect(training.parameters).toEqual([]);
    expect(learnRounding(training, { weights: [], biases: ["none"] })).toBeUndefined();
    expect(training.parameters).toEqual([]);
  });
});
