import { describe, expect, test } from "vitest";
import { type Model, parseModel, tensorOf } from "../ir/index.ts";
import { type ParameterSelection, selectParameters, separateSharedVectors } from "./parameters.ts";
import { TrainingGraph } from "./training-graph.ts";

const model = (): Model =>
  parseModel(`<ir_version: 10, opset_import: ["" : 21]> net (float[N, 2] x) => (float[N, 2] y)
    <float[2, 2] w1 = {1, 2, 3, 4}, float[2] b = {0, 0}, float[2, 2] w2 = {1, 0, 0, 1}, float[2] mask = {0, -1e9}, float[2] mean = {0.5, 0.4}>
    { n = Sub (x, mean) h = Gemm (n, w1, b) r = Relu (h) m = Add (r, mask) y = Gemm (m, w2, b) }`);
const names = (selection: ParameterSelection): string[] => {
  const { graph, opsets } = model();
  return selectParameters(graph, opsets, selection).map(({ name }) => name);
};

describe("the parameters of a training", () => {
  test("are what looks learned: no masks, no preprocessing", () => {
    expect(names({})).toEqual(["w1", "b", "w2"]);
  });

  test("follow patterns; frozen wins", () => {
    expect(names({ trainable: ["w*"] })).toEqual(["w1", "w2"]);
    expect(names({ trainable: ["w*", "mask"], frozen: ["w1"] })).toEqual(["w2", "mask"]);
  });

  test("an empty list trains nothing of the model's own, without a complaint", () => {
    expect(names({ trainable: [] })).toEqual([]);
    const training = new TrainingGraph(model(), { batch: 3, trainable: [] });
    expect(training.parameters).toEqual([]);
    expect(training.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
    training.parameter("brought", tensorOf("float32", [2], [0, 0]));
    expect(training.parameters.map(({ name }) => name)).toEqual(["brought"]);
  });

  test("a pattern that matches nothing, and a selection of nothing by frozen, are errors", () => {
    expect(() => names({ trainable: ["nothing*"] })).toThrow(/name like "nothing\*"/);
    expect(() => names({ frozen: ["*"] })).toThrow(/no float32 weights left/);
  });

  test("shared vectors get a copy per reader, shared matrices stay shared", () => {
    const { graph } = model();
    separateSharedVectors(graph);
    const gemms = [...graph.nodes].filter(({ opType }) => opType === "Gemm");
    const [first, second] = gemms.map((node) => node.inputs[2]);
    expect(first).not.toBe(second);
    expect(second?.constant).toEqual(first?.constant);
  });
});
