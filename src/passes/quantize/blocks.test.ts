import { describe, expect, test } from "vitest";
import { modelOf, normalFeeds, normalTensor, planOf, run } from "../../../test/suites/ptq.ts";
import { type Model, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { buildModel } from "../../zoo/index.ts";
import { cutModel, valuesByName } from "../cut.ts";
import { runPass } from "../manager.ts";
import { simplify } from "../simplify/index.ts";
import { type Block, blocksOf } from "./blocks.ts";
import { nodeKey } from "./plan.ts";

async function simplified(name: string, options: Readonly<Record<string, unknown>>): Promise<Model> {
  const model = buildModel(name, options, 1);
  await runPass(simplify, model, {}, ortEvaluate);
  return model;
}

/** Runs the model block by block, each on what the earlier ones gave. */
async function runBlocks(model: Model, blocks: readonly Block[], feeds: Feeds): Promise<Record<string, Tensor>> {
  let known: Record<string, Tensor> = { ...feeds };
  for (const { inputs, outputs } of blocks) {
    const part = cutModel(model, { inputs: inputs.map((name) => ({ name })), outputs });
    const own = Object.fromEntries(part.graph.inputs.map(({ name }) => [name, known[name] as Tensor]));
    known = { ...known, ...(await run(part, [own]))[0] };
  }
  return known;
}

/** What holds for the blocks of any model; gives the borders between them. */
async function check(model: Model, feeds: Feeds): Promise<readonly (readonly string[])[]> {
  const plan = planOf(model);
  const blocks = blocksOf(model, plan);
  const layers = [...plan.nodes.values()].filter(({ weight }) => weight).map(({ node }) => node);
  expect(blocks.flatMap((block) => block.layers)).toEqual(layers);
  const given = new Set(model.graph.inputs.map(({ name }) => name));
  const points = new Map([...plan.nodes.values()].map(({ node, point }) => [node.output.name, point.name]));
  for (const { inputs, outputs } of blocks) {
    for (const name of inputs) expect(given).toContain(name);
    for (const name of outputs) {
      // made here, and not on its way through
      expect(given).not.toContain(name);
      // behind the clamp that the quantize node replaces
      expect(points.get(name) ?? name).toBe(name);
      given.add(name);
    }
  }
  const found = await runBlocks(model, blocks, feeds);
  const [expected] = await run(cutModel(model, { outputs: blocks.flatMap(({ outputs }) => outputs) }), [feeds]);
  for (const [name, tensor] of Object.entries(expected ?? {}))
    toFloat32(tensor).forEach((x, i) => {
      expect(toFloat32(found[name] as Tensor)[i]).toBeCloseTo(x, 3);
    });
  return blocks.slice(1).map(({ inputs }) => inputs);
}

/** Op type of what makes a value. */
const makers = (model: Model, borders: readonly (readonly string[])[]): string[][] => {
  const values = valuesByName(model);
  return borders.map((names) => names.map((name) => values.get(name)?.producer?.opType ?? "input"));
};

describe("blocks", () => {
  test("of a residual net end where a single value crosses, behind whole residual blocks", async () => {
    const model = await simplified("resnet20", { classes: 4, resolution: 16 });
    const borders = await check(model, normalFeeds(model, 1)[0] as Feeds);
    expect(borders.length).toBeGreaterThanOrEqual(4);
    expect(borders.length).toBeLessThanOrEqual(9);
    for (const [maker, ...others] of makers(model, borders)) {
      expect(["Add", "Relu"]).toContain(maker);
      expect(others).toEqual([]);
    }
    // no border is inside a residual block: each of them has two convolutions, a third where the shape changes
    for (const block of blocksOf(model, planOf(model)).slice(1, -1)) expect([3, 4, 5]).toContain(block.layers.length);
  });

  test("of MobileNetV2 are its inverted residuals", async () => {
    const model = await simplified("mobilenet-v2", { classes: 4, resolution: 32, width: 0.25 });
    const borders = await check(model, normalFeeds(model, 1)[0] as Feeds);
    const blocks = blocksOf(model, planOf(model));
    // 17 of them, the first shares its block with the stem; then the last convolution with the classifier
    expect(blocks.length).toBe(18);
    expect(blocks.slice(0, -1).every(({ layers }) => layers.length === 3)).toBe(true);
    for (const [maker] of makers(model, borders)) expect(["Add", "Conv"]).toContain(maker);
    expect(borders.every(({ length }) => length === 1)).toBe(true);
  });

  test("of a plain chain have three layers, the last what is left", async () => {
    const names = ["a", "b", "c", "d", "e", "f", "y"];
    const nodes = names.map((name, i) => `${name} = MatMul (${i ? names[i - 1] : "x"}, w${i})`).join(" ");
    const constants = Object.fromEntries(names.map((_, i) => [`w${i}`, normalTensor([4, 4], i)]));
    const model = modelOf("(float[1,4] x) => (float[1,4] y)", nodes, constants);
    expect(await check(model, normalFeeds(model, 1)[0] as Feeds)).toEqual([["c"], ["f"]]);
  });

  test("one layer makes one block", async () => {
    const model = modelOf("(float[1,4] x) => (float[1,4] y)", "y = MatMul (x, w)", { w: normalTensor([4, 4], 1) });
    expect(blocksOf(model, planOf(model))).toMatchObject([{ inputs: ["x"], outputs: ["y"] }]);
  });

  test("of a net that a mask crosses from end to end are cut all the same; the mask is no result of any", async () => {
    const layers = 24;
    const nodes = Array.from({ length: layers }, (_, i) => {
      const from = i ? `h${i - 1}` : "x";
      return `p${i} = MatMul (${from}, w${i}) h${i} = Mul (p${i}, mask)`;
    });
    const constants = Object.fromEntries(Array.from({ length: layers }, (_, i) => [`w${i}`, normalTensor([4, 4], i, 0.6)]));
    const model = modelOf(`(float[1,4] x, float[1,4] mask) => (float[1,4] h${layers - 1})`, nodes.join(" "), constants);
    const borders = await check(model, normalFeeds(model, 1)[0] as Feeds);
    const blocks = blocksOf(model, planOf(model));
    expect(borders.length).toBeGreaterThanOrEqual(2);
    expect(blocks.every((block) => block.layers.length <= 12)).toBe(true);
    for (const border of borders) expect(border).toContain("mask");
    for (const { outputs } of blocks) {
      expect(outputs).not.toContain("mask");
      expect(outputs.length).toBe(1);
    }
  });

  test("of a small BERT end behind its layers", async () => {
    const model = await simplified("bert", { layers: 4, hidden: 16, heads: 2, vocabulary: 30, length: 8, classes: 3 });
    const feeds = { input_ids: tensorOf("int64", [1, 8], [1, 2, 3, 4, 5, 6, 0, 0]) };
    const borders = await check(model, feeds);
    expect(borders.length).toBeGreaterThanOrEqual(2);
    expect(borders.every(({ length }) => length <= 2)).toBe(true);
  });

  test("several results of the model are results of the last block only where it makes them", async () => {
    const model = modelOf(
      "(float[1,4] x) => (float[1,4] early, float[1,4] y)",
      "a = MatMul (x, w0) early = Relu (a) b = MatMul (early, w1) c = MatMul (b, w2) d = MatMul (c, w3) y = MatMul (d, w4)",
      Object.fromEntries([0, 1, 2, 3, 4].map((i) => [`w${i}`, normalTensor([4, 4], i)])),
    );
    await check(model, normalFeeds(model, 1)[0] as Feeds);
    const blocks = blocksOf(model, planOf(model));
    expect(blocks[0]?.outputs).toContain("early");
    expect(blocks.at(-1)?.outputs).toEqual(["y"]);
    expect(blocks.flatMap(({ layers }) => layers.map(nodeKey))).toEqual(["a", "b", "c", "d", "y"]);
  });
});
