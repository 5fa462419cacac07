import { expect, test } from "vitest";
import { constantOf, contextOn, modelOf, normalFeeds, normalTensor, relativeError, run } from "../../test/suites/ptq.ts";
import { row } from "../../test/suites/quantize.ts";
import { type Model, type Outputs, toFloat32, type Value } from "../ir/index.ts";
import { verify } from "../ir/verify.ts";
import { valuesByName } from "../passes/cut.ts";
import { dequantized } from "../passes/quantize/probe.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { imitate } from "./imitation.ts";
import { outputsOf } from "./ptq/divergence.ts";
import { quantized } from "./ptq/quantized.ts";

const convolutions = (): Model =>
  modelOf(
    "(float[1,3,6,6] x) => (float[1,4,6,6] y)",
    "a = Conv <pads = [1,1,1,1]> (x, w, b) r = Relu (a) c = Conv (r, v, d) y = Relu (c)",
    {
      w: normalTensor([8, 3, 3, 3], 1, 0.2),
      b: normalTensor([8], 2, 0.1),
      v: normalTensor([4, 8, 1, 1], 3, 0.3),
      d: normalTensor([4], 4),
    },
  );

/** Rounds the imitation's weights as the static pass would. */
function roundWeights(imitation: Model, integer: Model, names: readonly string[]): Model {
  const model = imitation.clone();
  for (const name of names) {
    const value = valuesByName(model).get(name) as Value;
    const scales = toFloat32(constantOf(integer, `${name}_scale`));
    model.graph.setConstant(value, dequantized(constantOf(model, name), scales, 0, { reduced: row.weight.reduceRange, bits: 8 }));
  }
  return model;
}

test("the imitation with rounded weights computes what the integer model computes", async () => {
  const model = convolutions();
  const feeds = normalFeeds(model, 5);
  const context = await contextOn(model, feeds);
  const { model: imitation, weights } = await imitate(model, { ...context });
  verify(imitation);
  expect(weights).toEqual([
    { name: "w", axis: 0, limit: 127 },
    { name: "v", axis: 0, limit: 127 },
  ]);
  const integer = await quantized(model, context, {});
  // as written: onnxruntime would round the float weights between the pairs by itself
  const plain = (own: Model): Promise<Outputs[]> => outputsOf(own, feeds, ortNode, { optimization: "disabled" });
  const reference = await plain(integer);
  // biases stay float: half an int32 step
  const error = relativeError(reference, await plain(roundWeights(imitation, integer, ["w", "v"])));
  expect(error).toBeLessThan(2e-6);
  expect(relativeError(await run(model, feeds), reference)).toBeGreaterThan(20 * error);
});

test("weights and biases are float again, of the last layer too, and the original is untouched", async () => {
  const model = convolutions();
  const before = [...model.graph.nodes].map(({ opType }) => opType);
  const context = await contextOn(model, normalFeeds(model, 2));
  const { model: imitation } = await imitate(model, { ...context });
  for (const node of imitation.graph.nodes)
    if (node.opType === "Conv") for (const input of node.inputs.slice(1)) expect(input?.constant?.dtype).toBe("float32");
  for (const name of ["w", "b", "v", "d"]) expect(constantOf(imitation, name)).toEqual(constantOf(model, name));
  expect([...model.graph.nodes].map(({ opType }) => opType)).toEqual(before);
});

test("says what the pass calls the values that quantize nodes read: behind Relus, and the model's results", async () => {
  const model = convolutions();
  const context = await contextOn(model, normalFeeds(model, 2));
  const { model: imitation, points } = await imitate(model, { ...context });
  const read = [...imitation.graph.nodes].flatMap(({ opType, inputs }) =>
    opType === "QuantizeLinear" ? [inputs[0]?.name ?? ""] : [],
  );
  expect(read.map((name) => points.get(name) ?? name)).toEqual(["x", "r", "y"]);
  for (const name of ["x", "r", "y"]) expect(context.statistics.has(name)).toBe(true);
});

test("fewer bits and excluded nodes are followed", async () => {
  const model = convolutions();
  const context = await contextOn(model, normalFeeds(model, 2));
  const { weights } = await imitate(model, { ...context, weightBits: 3, weights: new Map([["v", { bits: 4 }]]) });
  expect(weights.map(({ name, limit }) => [name, limit])).toEqual([
    ["w", 3],
    ["v", 7],
  ]);
  const { weights: left, model: imitation } = await imitate(model, { ...context, exclude: ["a"] });
  expect(left.map(({ name }) => name)).toEqual(["v"]);
  expect([...imitation.graph.nodes].some(({ opType }) => opType === "Relu")).toBe(true);
});
