import { describe, expect, test } from "vitest";
import { constantOf, contextOn, modelOf, normalFeeds, normalTensor, planOf, powersOfTwo, run } from "../../../test/suites/ptq.ts";
import { row } from "../../../test/suites/quantize.ts";
import { type Model, type Node, type Outputs, type Tensor, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { RangeCandidate } from "../../passes/quantize/choices.ts";
import { addQuantizePair } from "../../passes/quantize/emit.ts";
import { activationParameters, weightScales } from "../../passes/quantize/parameters.ts";
import { buildProbe, dequantized } from "../../passes/quantize/probe.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { quantized } from "./quantized.ts";
import { searchRanges, uniformRanges } from "./ranges.ts";

const [rows, features] = [16, 64];

/** Rows of which column 0 is enormous in one; the next op weighs that column by `weight`. */
function outlierModel(weight: number): { model: Model; feeds: Feeds[] } {
  const model = modelOf(`(float[${rows},${features}] x) => (float[${rows},8] y)`, "y = MatMul (x, w)", {
    w: normalTensor([features, 8], 1, 0.5, (x, i) => (i < 8 ? weight * x : x)),
  });
  const feeds = Array.from({ length: 8 }, (_, k) => ({
    x: normalTensor([rows, features], 10 + k, 1, (x, i) => (i === 0 ? 60 : x)),
  }));
  return { model, feeds };
}

const search = async (model: Model, feeds: readonly Feeds[], own: QuantizationRow = row) =>
  searchRanges(model, await contextOn(model, feeds, { row: own }));

describe("ranges by measurement", () => {
  test("an outlier that the next op ignores is clipped, one that matters to it is not", async () => {
    const ignored = outlierModel(0);
    const clipped = await search(ignored.model, ignored.feeds);
    expect(clipped.choices.ranges.get("x")?.max).toBeLessThan(12);
    const important = outlierModel(1);
    const kept = await search(important.model, important.feeds);
    expect(kept.choices.ranges.get("x")?.max).toBe(60);
    const { errors, chosen } = kept.measured[0] as NonNullable<(typeof kept.measured)[0]>;
    expect(chosen).toBe("minmax");
    expect(Object.values(errors).every((error) => error >= (errors[chosen] as number))).toBe(true);
    expect(Object.keys(errors).length).toBeGreaterThan(1);
  });

  test("the same inputs give the same choices", async () => {
    const { model, feeds } = outlierModel(0.05);
    expect(await search(model, feeds)).toEqual(await search(model, feeds));
  });

  const branches = (): Model =>
    modelOf(
      "(float[1,3,8,8] x) => (float[1,4,4,4] y)",
      `a = Conv (x, w) b = Conv (x, v) k = Concat <axis = 1> (a, b)
       m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (k) y = Conv (m, u)`,
      {
        w: normalTensor([4, 3, 1, 1], 1, 0.3),
        v: normalTensor([4, 3, 1, 1], 2, 5),
        u: normalTensor([4, 8, 1, 1], 3),
      },
    );
  const scaleBefore = (model: Model, name: string): number | undefined => {
    const node = [...model.graph.nodes].find(({ opType, inputs }) => opType === "QuantizeLinear" && inputs[0]?.name === name);
    const scale = node?.inputs[1]?.constant;
    return scale && toFloat32(scale)[0];
  };

  test("values that share a scale share a range", async () => {
    const model = branches();
    const feeds = normalFeeds(model, 6);
    const context = await contextOn(model, feeds);
    const { choices } = await searchRanges(model, context);
    const shared = choices.ranges.get("k");
    expect(shared).toBeDefined();
    for (const name of ["a", "b", "m"]) expect(choices.ranges.get(name)).toEqual(shared);
    const emitted = await quantized(model, context, choices);
    const scales = ["a", "b", "k", "m"].map((name) => scaleBefore(emitted, name));
    expect(scales[0]).toBeGreaterThan(0);
    expect(new Set(scales).size).toBe(1);
  });

  test("where the kernel rescales its inputs each has its own range", async () => {
    const model = branches();
    const free: QuantizationRow = { ...row, ops: { ...row.ops, Concat: { role: "follow", freeScales: true } } };
    const { ranges } = (await search(model, normalFeeds(model, 6), free)).choices;
    const width = (name: string): number => (ranges.get(name)?.max ?? 0) - (ranges.get(name)?.min ?? 0);
    expect(width("a")).toBeLessThan(width("b") / 5);
    // a pool hands on the integers that it reads
    expect(ranges.get("m")).toEqual(ranges.get("k"));
  });

  test("powers of two: every scale of the emitted model is one", async () => {
    const model = branches();
    const feeds = normalFeeds(model, 6);
    const context = await contextOn(model, feeds, { row: powersOfTwo });
    const { choices, measured } = await searchRanges(model, context);
    expect(measured.filter(({ kind }) => kind === "activation").every(({ chosen }) => chosen.startsWith("power-of-two"))).toBe(
      true,
    );
    const emitted = await quantized(model, context, choices);
    const scales = [...emitted.graph.nodes].flatMap(({ opType, inputs }) =>
      opType.endsWith("Linear") ? [...toFloat32(inputs[1]?.constant as Tensor)] : [],
    );
    expect(scales.length).toBeGreaterThan(10);
    for (const scale of scales) expect(Number.isInteger(Math.log2(scale))).toBe(true);
  });

  test("whole-model estimators give joined values one range too", async () => {
    const model = branches();
    const context = await contextOn(model, normalFeeds(model, 6));
    const ranges = uniformRanges(model, context, "percentile", 99);
    expect(ranges.get("m")).toEqual(ranges.get("k"));
    const full = uniformRanges(model, context, "minmax");
    expect(ranges.get("b")?.max).toBeLessThan(full.get("b")?.max as number);
  });

  test("weights with fewer bits get scales for those bits", async () => {
    const model = branches();
    const context = await contextOn(model, normalFeeds(model, 4));
    const { choices } = await searchRanges(model, context, { bitsOf: (name) => (name === "v" ? 4 : 8) });
    expect([choices.weights.get("v")?.bits, choices.weights.get("w")?.bits]).toEqual([4, 8]);
    const emitted = await quantized(model, context, choices);
    const largest = (name: string): number =>
      Math.max(...[...new Int8Array(constantOf(emitted, `${name}_quantized`).bytes())].map(Math.abs));
    expect(largest("v")).toBe(7);
    expect(largest("w")).toBeGreaterThan(100);
  });
});

const energy = (tensor: Tensor): number => toFloat32(tensor).reduce((sum, x) => sum + x * x, 0);
const distance = (a: Tensor, b: Tensor): number => {
  const other = toFloat32(b);
  return toFloat32(a).reduce((sum, x, i) => sum + (x - (other[i] as number)) ** 2, 0);
};

describe("the probe", () => {
  const model = modelOf("(float[1,3,5,5] x) => (float[1,4,5,5] y)", "a = Conv (x, w, b) y = Relu (a)", {
    w: normalTensor([4, 3, 1, 1], 1),
    b: normalTensor([4], 2),
  });
  const feeds = normalFeeds(model, 1);
  const range: RangeCandidate["range"] = { min: -0.7, max: 0.9 };
  const scales = weightScales(constantOf(model, "w"), 0, false, 3);
  const output = (outputs: readonly Outputs[], name: string): Tensor => outputs[0]?.[name] as Tensor;

  async function expected(changed: Model): Promise<number> {
    const [right, wrong] = [await run(model, feeds), await run(changed, feeds)];
    return distance(output(wrong, "y"), output(right, "y")) / energy(output(right, "y"));
  }

  test("gives the relative squared error that one rounded tensor causes behind the reading op's clamp", async () => {
    const copy = model.clone();
    const probe = buildProbe(copy, planOf(copy), row, {
      groups: [
        {
          values: ["x"],
          candidates: [
            { method: "own", range },
            { method: "wide", range: { min: -9, max: 9 } },
          ],
        },
      ],
      weights: [{ weight: "w", axis: 0, bits: 3, candidates: [{ method: "minmax", scales }] }],
    });
    const outputs = await run(probe.model, feeds);
    const ranges = toFloat32(output(outputs, probe.groups[0] as string));
    const [weight] = toFloat32(output(outputs, probe.weights[0] as string));
    expect(ranges.length).toBe(2);

    const rounded = model.clone();
    const w = [...rounded.graph.initializers].find(({ name }) => name === "w") as Value;
    rounded.graph.setConstant(w, dequantized(constantOf(model, "w"), scales, 0, { reduced: false, bits: 3 }));
    expect((weight as number) / (await expected(rounded))).toBeCloseTo(1, 3);

    const clipped = model.clone();
    const conv = [...clipped.graph.nodes][0] as Node;
    const pair = addQuantizePair(conv.inputs[0] as Value, activationParameters(range, row.activation), conv);
    conv.setInput(0, pair.dequantize.output);
    expect((ranges[0] as number) / (await expected(clipped))).toBeCloseTo(1, 3);
    expect(ranges[1]).toBeLessThan((ranges[0] as number) / 100);
  });

  test("what nothing reads has no output, and an op whose result is zero no error", async () => {
    const dead = modelOf("(float[1,4] x) => (float[1,4] y)", "y = MatMul (x, w)", {
      w: tensorOf("float32", [4, 4], new Array(16).fill(0)),
    });
    const probe = buildProbe(dead, planOf(dead), row, {
      groups: [
        { values: ["nothing"], candidates: [{ method: "own", range }] },
        { values: ["x"], candidates: [{ method: "own", range }] },
      ],
      weights: [],
    });
    expect(probe.groups[0]).toBeUndefined();
    const outputs = await run(probe.model, [{ x: normalTensor([1, 4], 1) }]);
    expect([...toFloat32(output(outputs, probe.groups[1] as string))]).toEqual([0]);
  });

  test("a value that several ops read counts with all of them", async () => {
    const both = modelOf("(float[1,8] x) => (float[1,4] y, float[1,4] z)", "y = MatMul (x, w) z = MatMul (x, v)", {
      w: normalTensor([8, 4], 1),
      v: normalTensor([8, 4], 2),
    });
    const one = (read: readonly string[]) => {
      const copy = both.clone();
      for (const node of [...copy.graph.nodes])
        if (!read.includes(node.output.name)) {
          copy.graph.outputs.splice(copy.graph.outputs.indexOf(node.output), 1);
          copy.graph.remove(node);
        }
      return buildProbe(copy, planOf(copy), row, {
        groups: [{ values: ["x"], candidates: [{ method: "own", range }] }],
        weights: [],
      });
    };
    const input = [{ x: normalTensor([1, 8], 5) }];
    const errorOf = async (read: readonly string[]): Promise<number> => {
      const probe = one(read);
      return toFloat32(output(await run(probe.model, input), probe.groups[0] as string))[0] as number;
    };
    const sum = (await errorOf(["y"])) + (await errorOf(["z"]));
    expect((await errorOf(["y", "z"])) / sum).toBeCloseTo(1, 4);
  });
});
