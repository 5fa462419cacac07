import { type Model, type Outputs, type Tensor, tensorOf, toFloat32 } from "../../src/ir/index.ts";
import { parseModel } from "../../src/ir/parse.ts";
import type { Feeds } from "../../src/measure/latency.ts";
import { inferShapes } from "../../src/ops/infer.ts";
import { planQuantization, type QuantizationPlan } from "../../src/passes/quantize/plan.ts";
import type { QuantizationRow } from "../../src/passes/quantize/row.ts";
import { valuesToObserve } from "../../src/passes/quantize/static.ts";
import { samplesOf } from "../../src/recipes/drive.ts";
import { observe } from "../../src/recipes/observe.ts";
import type { PtqContext } from "../../src/recipes/ptq/context.ts";
import { classDistance, tensorDistance } from "../../src/recipes/ptq/distance.ts";
import { outputsOf } from "../../src/recipes/ptq/divergence.ts";
import { sqnrOf } from "../../src/recipes/sensitivity.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { seededNormal, seededRandom } from "../../src/util/random.ts";
import { row, stream } from "./quantize.ts";

/** One scale for a whole weight: what equalization is for. */
export const perTensor: QuantizationRow = { ...row, weight: { ...row.weight, perChannel: false } };
export const powersOfTwo: QuantizationRow = {
  ...row,
  activation: { dtype: "int8", symmetric: true, powerOfTwo: true },
  weight: { ...row.weight, powerOfTwo: true },
};

/** Seeded normal numbers times `deviation`, each then changed as `map` says. */
export function normalTensor(
  shape: readonly number[],
  seed: number,
  deviation = 1,
  map: (x: number, i: number) => number = (x) => x,
): Tensor {
  const normal = seededNormal(seededRandom(seed));
  const size = shape.reduce((product, dim) => product * dim, 1);
  const values = Float32Array.from({ length: size }, (_, i) => map(deviation * normal(), i));
  return tensorOf("float32", shape, values);
}

const constantText = (name: string, tensor: Tensor): string =>
  `float${tensor.shape.length ? `[${tensor.shape.join(",")}]` : ""} ${name} = {${[...toFloat32(tensor)].join(", ")}}`;

/** A model of opset 21 from its inputs and outputs ("(float[1,3] x) => (float[1,2] y)"), its nodes and its float constants. */
export function modelOf(signature: string, nodes: string, constants: Readonly<Record<string, Tensor>>): Model {
  const texts = Object.entries(constants).map(([name, tensor]) => constantText(name, tensor));
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]> g ${signature} <${texts.join(", ")}> { ${nodes} }`);
  inferShapes(model);
  return model;
}

/** Seeded normal inputs for a model whose inputs are all float32 of fixed shape but for the batch, which is 1. */
export const normalFeeds = (model: Model, count: number, seed = 1, deviation = 1): Feeds[] =>
  Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      model.graph.inputs.map(({ name, type }, k) => {
        const shape = (type?.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 1));
        return [name, normalTensor(shape, 1000 * seed + 10 * i + k, deviation)];
      }),
    ),
  );

/** Seeded [1, 3, 8, 8] inputs "x" whose pixels go together, as those of pictures do: rounding errors can then cancel each other. */
export const smoothPictures = (count: number, seed: number): Feeds[] =>
  Array.from({ length: count }, (_, k) => {
    const corners = toFloat32(normalTensor([3, 2, 2], seed + k));
    const pixel = (noise: number, i: number): number => {
      const [c, u, v] = [Math.floor(i / 64), (Math.floor(i / 8) % 8) / 7, (i % 8) / 7];
      const at = (row: number, column: number): number => corners[4 * c + 2 * row + column] as number;
      return noise + (1 - u) * ((1 - v) * at(0, 0) + v * at(0, 1)) + u * ((1 - v) * at(1, 0) + v * at(1, 1));
    };
    return { x: normalTensor([1, 3, 8, 8], 7000 + seed + k, 0.1, pixel) };
  });

export { samplesOf };

export const planOf = (model: Model, own: QuantizationRow = row): QuantizationPlan => {
  inferShapes(model);
  return planQuantization(model, own);
};

/** What the steps of post-training quantization share, calibrated on the feeds; the last ones judge where `judges` says so. */
export async function contextOn(
  model: Model,
  feeds: readonly Feeds[],
  { row: own = row, judges = 0, classScores = false }: { row?: QuantizationRow; judges?: number; classScores?: boolean } = {},
): Promise<PtqContext> {
  const made = feeds.slice(0, feeds.length - judges);
  const watched = valuesToObserve(model.clone(), own);
  const statistics = await observe(model, watched, stream(samplesOf(made)), { executor: ortNode });
  const judgeFeeds = judges > 0 ? feeds.slice(-judges) : made;
  const distance = classScores ? classDistance : tensorDistance;
  return { row: own, statistics, feeds: made, judgeFeeds, distance, executor: ortNode, threads: 1, options: {} };
}

export const run = (model: Model, feeds: readonly Feeds[]): Promise<Outputs[]> => outputsOf(model, feeds, ortNode);

/** Squared error over squared signal of all outputs together. */
export const relativeError = (reference: readonly Outputs[], outputs: readonly Outputs[]): number =>
  10 ** (-sqnrOf(reference, outputs) / 10);

/** The constant of that name. */
export function constantOf(model: Model, name: string): Tensor {
  const found = [...model.graph.initializers].find((value) => value.name === name)?.constant;
  if (!found) throw new Error(`the model has no constant "${name}"`);
  return found;
}
