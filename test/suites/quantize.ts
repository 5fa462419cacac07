import { encodeOnnx } from "../../src/formats/index.ts";
import { type Model, type Outputs, type PreparedSample, tensorOf } from "../../src/ir/index.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { verify } from "../../src/ir/verify.ts";
import { profileModel } from "../../src/measure/profile.ts";
import type { Note } from "../../src/passes/define.ts";
import { runPass } from "../../src/passes/manager.ts";
import { quantizeStatic, type StaticParams, valuesToObserve } from "../../src/passes/quantize/static.ts";
import { observe } from "../../src/recipes/observe.ts";
import { sqnrOf } from "../../src/recipes/sensitivity.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { ortX64 } from "../../src/targets/onnxruntime/targets.ts";
import { seededRandom } from "../../src/util/random.ts";

export const row = ortX64.quantization;

/** Seeded samples for a model's inputs: floats in ±1, integers 0..4; open extents are 1. */
export function randomSamples(model: Model, count: number): PreparedSample[] {
  const uniform = seededRandom(7);
  return Array.from({ length: count }, (_, i) => ({
    id: String(i),
    origin: `sample ${i}`,
    target: undefined,
    geometry: {},
    feeds: Object.fromEntries(
      model.graph.inputs.map(({ name, type }) => {
        const shape = (type?.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 1));
        const size = shape.reduce((a, b) => a * b, 1);
        const integer = type !== undefined && type.dtype !== "float32";
        const values = Array.from({ length: size }, () => (integer ? Math.floor(uniform() * 5) : uniform() * 2 - 1));
        return [name, tensorOf(type?.dtype ?? "float32", shape, values)];
      }),
    ),
  }));
}

export async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

export async function runAll(model: Model, samples: readonly PreparedSample[]): Promise<Outputs[]> {
  const session = await ortNode.load(encodeOnnx(model));
  try {
    const outputs: Outputs[] = [];
    for (const { feeds } of samples) outputs.push(await session.run(feeds));
    return outputs;
  } finally {
    await session.release();
  }
}

/** Op types that onnxruntime executes for a model, after its own optimizations. */
export async function kernelsOf(model: Model): Promise<string[]> {
  const feeds = (randomSamples(model, 1)[0] as PreparedSample).feeds;
  const { opTypes } = await profileModel(encodeOnnx(model), feeds, { runs: 1, warmupRuns: 1 });
  return opTypes.map(({ opType }) => opType).sort();
}

export interface Quantized {
  readonly float: Model;
  readonly model: Model;
  readonly notes: readonly Note[];
  readonly sqnr: number;
}

/** Calibrates on seeded samples, quantizes, checks the graph, and compares with the float outputs on the same samples. */
export async function quantizeText(text: string, params: Partial<StaticParams> = {}): Promise<Quantized> {
  const float = parseModel(text);
  const samples = randomSamples(float, 8);
  const statistics = await observe(float, valuesToObserve(float, row), stream(samples), { executor: ortNode });
  const model = float.clone();
  const { notes } = await runPass(quantizeStatic, model, { row, statistics, ...params }, ortEvaluate);
  verify(model);
  return { float, model, notes, sqnr: sqnrOf(await runAll(float, samples), await runAll(model, samples)) };
}
