import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { encodeOnnx, readOnnx } from "../src/formats/onnx/index.ts";
import {
  canonicalDim,
  type Dim,
  isFloat,
  type Model,
  numel,
  substitute,
  symbolsOf,
  type Tensor,
  type TensorType,
  tensorOf,
  type Value,
} from "../src/ir/index.ts";
import { inferShapes } from "../src/ops/index.ts";
import { runPass } from "../src/passes/manager.ts";
import { upgradeOpset } from "../src/passes/upgrade-opset/index.ts";
import { ortNode } from "../src/runtime/ort-node.ts";
import { seededRandom } from "../src/util/random.ts";
import { noRealData, realModel, realModels } from "./real-data.ts";

/** Extents for the free dims of the real models: the batch, and nsnet2's number of frames. Neither equals another extent. */
const extents: Readonly<Record<string, number>> = { N: 3, batch_size: 3, T: 7 };

async function upgraded(name: (typeof realModels)[number]): Promise<Model> {
  const model = readOnnx(new Uint8Array(readFileSync(realModel(name))));
  await runPass(upgradeOpset, model, {}, () => Promise.reject(new Error("nothing to evaluate")));
  return model;
}

const evaluated = (shape: readonly Dim[] | undefined): readonly Dim[] | undefined =>
  shape?.map((dim) => substitute(dim, extents));

const modelInputs = (model: Model): Value[] => model.graph.inputs.filter((value) => !value.constant);

function staticInputs(model: Model): Record<string, number[]> {
  return Object.fromEntries(
    modelInputs(model).map((value) => {
      const shape = evaluated(value.type?.shape?.map(canonicalDim)) ?? [];
      if (!shape.every((dim) => typeof dim === "number")) throw new Error(`no extents for ${value.name} [${shape}]`);
      return [value.name, shape as number[]];
    }),
  );
}

function randomInputs(model: Model): Record<string, Tensor> {
  const uniform = seededRandom(1);
  const shapes = staticInputs(model);
  return Object.fromEntries(
    modelInputs(model).map(({ name, type }) => {
      const dtype = type?.dtype ?? "float32";
      const shape = shapes[name] as number[];
      // Token inputs: 0..2 are in every vocabulary here.
      const draw = isFloat(dtype) ? uniform : () => Math.floor(uniform() * 3);
      return [name, tensorOf(dtype, shape, Array.from({ length: numel(shape) }, draw))];
    }),
  );
}

/** Runs a clone with every value that a node makes as graph output, undeclared, so that onnxruntime alone says what it is. */
async function realTypes(model: Model): Promise<ReadonlyMap<string, TensorType>> {
  const open = model.clone();
  for (const node of open.graph.nodes)
    for (const value of node.outputs) {
      value.type = undefined;
      if (value.name && !value.isGraphOutput) open.graph.addOutput(value);
    }
  const session = await ortNode.load(encodeOnnx(open), { optimization: "disabled" });
  try {
    const outputs = await session.run(randomInputs(model));
    return new Map(Object.entries(outputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
  } finally {
    await session.release();
  }
}

/** Inferred types by value name, declared types of inner values removed first: inference has to find them all by itself. */
function inferredTypes(model: Model, inputShapes: Record<string, number[]>): Map<string, TensorType> {
  const bare = model.clone();
  for (const node of bare.graph.nodes) for (const value of node.outputs) value.type = undefined;
  const { info, warnings, unknownOps } = inferShapes(bare, { inputShapes });
  expect(unknownOps).toEqual([]);
  expect(warnings).toEqual([]);
  return new Map([...info].map(([value, { dtype, shape }]) => [value.name, { dtype, shape: evaluated(shape) }]));
}

describe.skipIf(noRealData)("inferred shapes of real models", () => {
  it.each(realModels)("%s: every value is what onnxruntime makes", async (name) => {
    const model = await upgraded(name);
    const real = await realTypes(model);
    expect(real.size).toBeGreaterThanOrEqual(model.graph.nodeCount);
    for (const inputShapes of [{}, staticInputs(model)]) {
      const inferred = inferredTypes(model, inputShapes);
      const wrong = [...real].filter(([value, type]) => JSON.stringify(inferred.get(value)) !== JSON.stringify(type));
      expect(wrong.map(([value, type]) => ({ value, type, inferred: inferred.get(value) }))).toEqual([]);
    }
  });

  it("keeps free extents symbolic", async () => {
    const model = await upgraded("nsnet2-20ms");
    inferShapes(model);
    expect(model.graph.outputs[0]?.type?.shape).toEqual(["N", "T", 161]);
    expect(symbolsOf("N")).toEqual(["N"]);
  });
});
