import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { OpCase, OpCases } from "../../../test/cases/define.ts";
import { allCases } from "../../../test/suites/op.ts";
import { opModel } from "../../../test/suites/op-model.ts";
import { encodeOnnx } from "../../formats/index.ts";
import { dataTypeCode, type Model, type Node, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { readProfile } from "../../measure/profile-file.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import { ortHalf } from "./half-ops.ts";

const all = await allCases();

/** The first case of an op with a float32 input that onnxruntime runs. */
function caseOf(type: string): [OpCases, number] {
  const cases = all.find((one) => one.type === type && one.domain === "") as OpCases;
  const usable = ({ inputs, noKernel }: OpCase) => noKernel === undefined && inputs[0]?.dtype === "float32";
  const index = cases.cases.findIndex(usable);
  expect(index, `${type} has a float32 case`).toBeGreaterThanOrEqual(0);
  return [cases, index];
}

/** The case with its float32 inputs in float16: what it is fed is float16 too, so that no cast of ours is there. */
function float16Case(type: string): { model: Model; feeds: Record<string, Tensor>; node: Node } {
  const { model, feeds } = opModel(...caseOf(type));
  const fed: Record<string, Tensor> = { ...feeds };
  for (const value of [...model.graph.inputs, ...model.graph.initializers]) {
    const tensor = value.constant ?? (fed[value.name] as Tensor);
    if (tensor.dtype !== "float32") continue;
    const half = tensorOf("float16", tensor.shape, toFloat32(tensor));
    if (value.constant) model.graph.setConstant(value, half);
    else {
      fed[value.name] = half;
      value.type = { dtype: "float16", shape: half.shape };
    }
  }
  return { model, feeds: fed, node: model.graph.firstNode as Node };
}

async function castsOf(type: string): Promise<number> {
  const { model, feeds, node } = float16Case(type);
  const { model: float, feeds: floatFeeds } = opModel(...caseOf(type));
  const session = await ortNode.load(encodeOnnx(float), { optimization: "disabled" });
  const outputs = await session.run(floatFeeds);
  await session.release();
  for (const output of node.outputs) {
    const { dtype, shape } = outputs[output.name] as Tensor;
    output.type = { dtype: dtype === "float32" ? "float16" : dtype, shape };
  }
  const folder = mkdtempSync(join(tmpdir(), "edgewright-"));
  try {
    const half = await ortNode.load(encodeOnnx(model), { optimization: "disabled", profilePrefix: join(folder, "profile") });
    await half.run(feeds);
    half.endProfiling?.();
    await half.release();
    return (await readProfile(folder)).kernels.filter(({ opType }) => opType === "Cast").length;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** bfloat16 cannot be fed: casts around the op, which onnxruntime never adds for this type. */
async function loadsInBfloat16(type: string): Promise<void> {
  const { model } = opModel(...caseOf(type));
  const { graph } = model;
  const node = graph.firstNode as Node;
  node.inputs.forEach((input, index) => {
    if (input?.type?.dtype !== "float32") return;
    const cast = graph.node("Cast", [input], { attributes: { to: dataTypeCode("bfloat16") }, before: node });
    node.setInput(index, cast.output);
  });
  graph.outputs.length = 0;
  const result = graph.node("Shape", [node.output]).output;
  result.type = { dtype: "int64", shape: ["n"] };
  graph.addOutput(result);
  await (await ortNode.load(encodeOnnx(model), { optimization: "disabled" })).release();
}

const listed = (types: (typeof ortHalf)["float16"]): string[] => Object.keys(types).filter((type) => type !== "Cast");
const notListed = ["Conv", "MatMul", "Gemm", "Add", "Mul", "Relu", "Sigmoid", "Softmax", "MaxPool", "ReduceMean", "Pad"];

describe.skipIf(process.arch !== "x64")("what onnxruntime computes in 16 bits itself", () => {
  test.each(listed(ortHalf.float16))("%s runs in float16 without casts of the runtime's own", async (type) => {
    expect(await castsOf(type)).toBe(0);
  });
  test.each(notListed)("%s is rightly absent: it runs in float32 between casts, and not at all in bfloat16", async (type) => {
    expect((ortHalf.float16 as Record<string, true>)[type]).toBeUndefined();
    expect(await castsOf(type)).toBeGreaterThan(0);
    await expect(loadsInBfloat16(type)).rejects.toThrow(/cannot load/);
  });
  test.each(listed(ortHalf.bfloat16))("%s loads in bfloat16", async (type) => {
    await expect(loadsInBfloat16(type)).resolves.toBeUndefined();
  });
});
