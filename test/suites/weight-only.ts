import { encodeOnnx } from "../../src/formats/index.ts";
import { type Model, type Node, type Outputs, parseModel, type Tensor, tensorOf, toFloat32, verify } from "../../src/ir/index.ts";
import type { Note } from "../../src/passes/define.ts";
import { runPass } from "../../src/passes/manager.ts";
import { dequantizeBlocks, fittingBlock } from "../../src/passes/quantize/weight-only/blocks.ts";
import { quantizeWeightsOnly, type WeightOnlyParams, type WeightReport } from "../../src/passes/quantize/weight-only/index.ts";
import { roundMatrix } from "../../src/passes/quantize/weight-only/round.ts";
import { ortWeightOnly, standardWeightOnly, type WeightOnlyRow } from "../../src/passes/quantize/weight-only/row.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { ortX64 } from "../../src/targets/onnxruntime/targets.ts";
import { constantText } from "./pass.ts";
import { randomSamples, runAll } from "./quantize.ts";

export const header = '<ir_version: 10, opset_import: ["" : 21]>';
export const rowWith = (weightOnly: WeightOnlyRow) => ({ ...ortX64.quantization, weightOnly });
/** Float arithmetic in the kernel, so that results compare to the last digits. */
export const exact = rowWith({ ...ortWeightOnly, accuracyLevel: 0 });
export const fast = rowWith(ortWeightOnly);
export const standard = rowWith(standardWeightOnly);

export interface Run {
  readonly float: Model;
  readonly model: Model;
  readonly notes: readonly Note[];
  readonly weights: readonly WeightReport[];
}

export async function quantize(text: string, params: Partial<WeightOnlyParams> = {}): Promise<Run> {
  const float = parseModel(text);
  const model = float.clone();
  const weights: WeightReport[] = [];
  const given = { row: exact, algorithm: "rtn", ...params, onWeight: (report: WeightReport) => weights.push(report) };
  const { notes } = await runPass(quantizeWeightsOnly, model, given, ortEvaluate);
  verify(model);
  return { float, model, notes, weights };
}

export type Format = Parameters<typeof roundMatrix>[1];

/** The float model with its matrices replaced by what their blocks stand for; `byColumn`: the inner dimension is axis 0. */
export function rounded(float: Model, format: Format, byColumn: boolean): Model {
  const model = float.clone();
  for (const value of model.graph.initializers) {
    const tensor = value.constant as Tensor;
    if (tensor.shape.length !== 2) continue;
    const [a, b] = tensor.shape as [number, number];
    const at = (i: number): number => (byColumn ? (i % a) * b + Math.floor(i / a) : i);
    const [rows, columns] = byColumn ? [b, a] : [a, b];
    const given = toFloat32(tensor);
    const block = fittingBlock(columns, format.block, format, format.scales === "float16");
    const values = given.map((_, i) => given[at(i)] as number);
    const back = dequantizeBlocks(roundMatrix({ rows, columns, values }, { ...format, block }, "rtn"));
    const result = new Float32Array(back.length);
    back.forEach((x, i) => {
      result[at(i)] = x;
    });
    model.graph.setConstant(value, tensorOf("float32", tensor.shape, result));
  }
  return model;
}

export const samplesOf = (model: Model) => randomSamples(model, 3);

/** First outputs, without optimization: onnxruntime would make MatMulNBits of DequantizeLinear and MatMul, and multiply in integers. */
export async function plainOutputs(model: Model): Promise<Float32Array[]> {
  const session = await ortNode.load(encodeOnnx(model), { optimization: "disabled" });
  const outputs: Float32Array[] = [];
  for (const { feeds } of samplesOf(model)) outputs.push(first(await session.run(feeds)));
  await session.release();
  return outputs;
}

/** Root of the mean square difference relative to `a`. */
export async function difference(a: Model, b: Model): Promise<number> {
  const samples = samplesOf(a);
  const [x, y] = [await runAll(a, samples), await runAll(b, samples)];
  return distance(x.map(first), y.map(first));
}

export const first = (outputs: Outputs): Float32Array => toFloat32(Object.values(outputs)[0] as Tensor);

export function distance(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let [error, signal] = [0, 0];
  a.forEach((all, s) => {
    all.forEach((x, i) => {
      error += (x - (b[s]?.[i] as number)) ** 2;
      signal += x * x;
    });
  });
  return Math.sqrt(error / signal);
}

export const node = (model: Model, type: string): Node => [...model.graph.nodes].find(({ opType }) => opType === type) as Node;
export const product = (k: number, n: number): string =>
  `${header} g (float[2,3,${k}] x) => (float[2,3,${n}] y) <${constantText("w", [k, n])}> { y = MatMul (x, w) }`;
export const tied = (rows: number, columns: number): string =>
  `${header} g (int64[1,4] i) => (float[1,4,${rows}] y) <${constantText("e", [rows, columns])}> {
    x = Gather (e, i) r = Relu (x) t = Transpose <perm = [1, 0]> (e) y = MatMul (r, t) }`;

export const formats = ([16, 32, 64, 128, 256] as const).flatMap((block) =>
  ([4, 8] as const).flatMap((bits) => [false, true].map((asymmetric) => ({ bits, block, asymmetric }) as const)),
);
