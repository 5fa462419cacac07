import { expect, test } from "vitest";
import { modelOf, normalFeeds, normalTensor, run } from "../../test/suites/ptq.ts";
import { verify } from "../ir/verify.ts";
import { cutModel, valuesByName } from "./cut.ts";

const model = modelOf(
  "(float[1,4] x, float[1,4] z) => (float[1,4] y)",
  "a = MatMul (x, w) b = Relu (a) c = Add (b, z) d = MatMul (c, v) y = Add (d, b)",
  { w: normalTensor([4, 4], 1), v: normalTensor([4, 4], 2) },
);
const feeds = normalFeeds(model, 2);
const names = (values: Iterable<{ readonly name: string }>): string[] => [...values].map(({ name }) => name);

test("every value goes by its name: inputs, constants, results", () => {
  expect([...valuesByName(model).keys()].sort()).toEqual(["a", "b", "c", "d", "v", "w", "x", "y", "z"]);
});

test("up to a value: what nothing needs is gone, the original is untouched", async () => {
  const before = [...model.graph.nodes].length;
  const part = cutModel(model, { outputs: ["b"] });
  verify(part);
  expect(names(part.graph.inputs)).toEqual(["x"]);
  expect(names(part.graph.outputs)).toEqual(["b"]);
  expect(names(part.graph.initializers)).toEqual(["w"]);
  expect([...part.graph.nodes].map(({ opType }) => opType)).toEqual(["MatMul", "Relu"]);
  expect([...model.graph.nodes].length).toBe(before);
  expect(names(model.graph.outputs)).toEqual(["y"]);
});

test("the two parts of a cut put together give what the whole gives", async () => {
  const first = cutModel(model, { outputs: ["b", "c"] });
  const second = cutModel(model, { inputs: [{ name: "b" }, { name: "c" }], outputs: ["y"] });
  verify(second);
  expect(names(second.graph.inputs).sort()).toEqual(["b", "c"]);
  expect(await run(second, await run(first, feeds))).toEqual(await run(model, feeds));
});

test("an inner input keeps its type or gets the one given; a model input that stays needed stays", () => {
  const type = { dtype: "float32", shape: ["N", 4] } as const;
  const part = cutModel(model, { inputs: [{ name: "b", type }], outputs: ["c"] });
  const inputs = Object.fromEntries(part.graph.inputs.map((input) => [input.name, input.type]));
  expect(inputs).toEqual({ b: type, z: { dtype: "float32", shape: [1, 4] } });
  expect(cutModel(model, { inputs: [{ name: "x", type }], outputs: ["a"] }).graph.inputs[0]?.type).toEqual(type);
});

test("a value may be input and output at once", async () => {
  const part = cutModel(model, { inputs: [{ name: "b" }], outputs: ["b", "c"] });
  verify(part);
  const given = { b: normalTensor([1, 4], 7), z: normalTensor([1, 4], 8) };
  const [outputs] = await run(part, [given]);
  expect(outputs?.b?.bytes()).toEqual(given.b.bytes());
});

test("an unknown name is named", () => {
  expect(() => cutModel(model, { outputs: ["nothing"] })).toThrow(/no value "nothing"/);
  expect(() => cutModel(model, { inputs: [{ name: "nowhere" }], outputs: ["y"] })).toThrow(/no value "nowhere"/);
});
