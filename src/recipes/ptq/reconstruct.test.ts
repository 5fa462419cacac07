import { beforeAll, describe, expect, test } from "vitest";
import {
  constantOf,
  contextOn,
  modelOf,
  normalFeeds,
  normalTensor,
  powersOfTwo,
  relativeError,
  run,
  smoothPictures,
} from "../../../test/suites/ptq.ts";
import { type Model, type Outputs, tensorOf, toFloat32, toNumbers, type Value } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { valuesByName } from "../../passes/cut.ts";
import { noChoices, type QuantizationChoices } from "../../passes/quantize/choices.ts";
import { dequantizedValues } from "../../passes/quantize/probe.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import { imitate } from "../imitation.ts";
import type { ReconstructOptions } from "./block-types.ts";
import type { PtqContext } from "./context.ts";
import { outputsOf } from "./divergence.ts";
import { quantized } from "./quantized.ts";
import { searchRanges } from "./ranges.ts";
import { reconstruct } from "./reconstruct.ts";

const net = (): Model =>
  modelOf(
    "(float[1,3,8,8] x) => (float[1,4,8,8] y)",
    "a = Conv <pads = [1,1,1,1]> (x, w, b) r = Relu (a) c = Conv <pads = [1,1,1,1]> (r, v, d) s = Relu (c) y = Conv (s, u, e)",
    {
      w: normalTensor([8, 3, 3, 3], 1, 0.25),
      b: normalTensor([8], 2, 0.3),
      v: normalTensor([8, 8, 3, 3], 3, 0.15),
      d: normalTensor([8], 4, 0.1),
      u: normalTensor([4, 8, 1, 1], 5, 0.4),
      e: normalTensor([4], 6, 0.1),
    },
  );

const options = (more: Partial<ReconstructOptions> = {}): ReconstructOptions => ({
  steps: 300,
  batch: 16,
  learningRate: 0.1,
  pull: 0.3,
  seed: 1,
  ...more,
});

const bits = 3;
const model = net();
const feeds = smoothPictures(96, 100);
const unseen = smoothPictures(16, 900);

/** Best ranges and scales for weights of few bits: what learned rounding begins with. */
async function start(own: Model, context: PtqContext): Promise<QuantizationChoices> {
  return (await searchRanges(own, context, { bitsOf: () => bits })).choices;
}

async function errorOf(own: Model, context: PtqContext, choices: QuantizationChoices, on: readonly Feeds[]): Promise<number> {
  return relativeError(await run(own, on), await run(await quantized(own, context, choices, { weightBits: bits }), on));
}

describe("reconstruction at three bits", () => {
  let context: PtqContext;
  let before: QuantizationChoices;
  let found: Awaited<ReturnType<typeof reconstruct>>;
  beforeAll(async () => {
    context = await contextOn(model, feeds);
    before = await start(model, context);
    found = await reconstruct(model, context, before, options({ weightBits: bits }));
  });

  test("brings outputs much closer to the float model's, on inputs that it never saw too", async () => {
    expect(found.reports.map(({ layers }) => layers)).toEqual([["a", "c", "y"]]);
    const [report] = found.reports;
    expect(report?.after).toBeLessThan((report?.before as number) / 3);
    const [old, now] = [await errorOf(model, context, before, unseen), await errorOf(model, context, found.choices, unseen)];
    expect(now).toBeLessThan(old / 2);
  });

  test("integers lie within the limits of their bits, one step from the weight, and are emitted as they are", async () => {
    const emitted = await quantized(model, context, found.choices, { weightBits: bits });
    let rounded = 0;
    for (const name of ["w", "v", "u"]) {
      const { integers, scales } = found.choices.weights.get(name) as { integers: Int8Array; scales: Float32Array };
      expect(Math.max(...integers.map(Math.abs))).toBe(2 ** (bits - 1) - 1);
      const weights = toFloat32(constantOf(model, name));
      const inner = weights.length / scales.length;
      integers.forEach((q, i) => {
        const steps = (weights[i] as number) / (scales[Math.floor(i / inner)] as number);
        if (Math.abs(Math.round(steps) - q) === 1) rounded++;
      });
      expect(toNumbers(constantOf(emitted, `${name}_quantized`))).toEqual([...integers]);
      expect(toFloat32(constantOf(emitted, `${name}_scale`))).toEqual(scales);
    }
    // some weights went the other way than the nearest
    expect(rounded).toBeGreaterThan(20);
  });

  test("the emitted model computes what the imitation with these integers predicts", async () => {
    const { model: imitation } = await imitate(model, { ...context, ...found.choices, weightBits: bits });
    const values = valuesByName(imitation);
    for (const [name, { integers, scales }] of found.choices.weights) {
      const { shape } = constantOf(model, name);
      const numbers = dequantizedValues(integers as Int8Array, shape, scales as Float32Array, 0);
      imitation.graph.setConstant(values.get(name) as Value, tensorOf("float32", shape, numbers));
    }
    const emitted = await quantized(model, context, found.choices, { weightBits: bits });
    const biases = { a: "b", c: "d", y: "e" };
    for (const [node, name] of Object.entries(biases)) {
      const bias = found.choices.biases.get(node) as Float32Array;
      // in whole steps of the products' scale, which is coarse at three bits
      const scales = toFloat32(constantOf(emitted, `${name}_scale`));
      const steps = toNumbers(constantOf(emitted, `${name}_quantized`)).map((q, c) => q * (scales[c] as number));
      for (const [c, value] of steps.entries())
        expect(Math.abs(value - (bias[c] as number))).toBeLessThanOrEqual(0.51 * (scales[c] as number));
      imitation.graph.setConstant(values.get(name) as Value, tensorOf("float32", [bias.length], steps));
    }
    const plain = (own: Model): Promise<Outputs[]> => outputsOf(own, unseen, ortNode, { optimization: "disabled" });
    expect(relativeError(await plain(emitted), await plain(imitation))).toBeLessThan(1e-5);
  });

  test("the same seed gives the same, another seed something else", async () => {
    const short = options({ weightBits: bits, steps: 60 });
    const first = (await reconstruct(model, context, before, short)).choices;
    expect((await reconstruct(model, context, before, short)).choices).toEqual(first);
    expect((await reconstruct(model, context, before, { ...short, seed: 2 })).choices).not.toEqual(first);
  });

  test("a block that training makes worse keeps its choices", async () => {
    const wild = options({ weightBits: bits, steps: 3, learningRate: 1000 });
    const { choices, reports } = await reconstruct(model, context, before, wild);
    expect(choices).toBe(before);
    expect(reports[0]?.after).toBe(reports[0]?.before);
  });
});

describe("reconstruction of several blocks", () => {
  const names = ["a", "b", "c", "d", "e", "y"];
  const deep = modelOf(
    "(float[1,8] x) => (float[1,8] y)",
    names.map((name, i) => `${name} = Gemm (${i ? names[i - 1] : "x"}, w${i}, z${i})`).join(" "),
    Object.fromEntries(
      names.flatMap((_, i) => [
        [`w${i}`, normalTensor([8, 8], 20 + i, 0.4)],
        [`z${i}`, normalTensor([8], 40 + i, 0.2)],
      ]),
    ),
  );
  const inputs = normalFeeds(deep, 96);

  test("after the deadline no block is begun, and what is done is kept", async () => {
    const context = await contextOn(deep, inputs);
    const before = await start(deep, context);
    const late = await reconstruct(deep, context, before, options({ deadline: performance.now() - 1 }));
    expect(late).toEqual({ choices: before, reports: [] });
    const limit = { deadline: Number.POSITIVE_INFINITY };
    const seen: QuantizationChoices[] = [];
    const part = await reconstruct(deep, context, before, {
      ...options({ weightBits: bits, steps: 60 }),
      get deadline() {
        return limit.deadline;
      },
      onBlock: (choices) => {
        seen.push(choices);
        limit.deadline = 0;
      },
    });
    expect(part.reports.map(({ layers }) => layers)).toEqual([["a", "b", "c"]]);
    expect(part.choices).toBe(seen[0]);
    expect([...part.choices.weights].flatMap(([name, { integers }]) => (integers ? [name] : []))).toEqual(["w0", "w1", "w2"]);
    expect(await errorOf(deep, context, part.choices, inputs)).toBeLessThan(await errorOf(deep, context, before, inputs));
  });

  test("the second block is tuned on what the first one gives in integers", async () => {
    const context = await contextOn(deep, inputs);
    const before = await start(deep, context);
    const { reports, choices } = await reconstruct(deep, context, before, options({ weightBits: bits, steps: 100 }));
    expect(reports.map(({ layers }) => layers)).toEqual([
      ["a", "b", "c"],
      ["d", "e", "y"],
    ]);
    for (const report of reports) expect(report.after).toBeLessThan(report.before);
    expect(await errorOf(deep, context, choices, inputs)).toBeLessThan((await errorOf(deep, context, before, inputs)) / 2);
  });
});

describe("reconstruction with scales that are powers of two", () => {
  test("keeps them so, and keeps what it learned", async () => {
    const context = await contextOn(model, feeds, { row: powersOfTwo });
    const { choices, reports } = await reconstruct(model, context, noChoices, options({ weightBits: 4, steps: 80 }));
    expect(reports[0]?.after).toBeLessThan((reports[0]?.before as number) / 1.5);
    const emitted = await quantized(model, context, choices, { weightBits: 4 });
    for (const node of emitted.graph.nodes)
      if (node.opType.endsWith("Linear"))
        for (const scale of toFloat32(node.inputs[1]?.constant as NonNullable<Value["constant"]>))
          if (node.inputs[0]?.constant?.dtype !== "int32") expect(Number.isInteger(Math.log2(scale))).toBe(true);
    for (const [name, { integers }] of choices.weights)
      expect(toNumbers(constantOf(emitted, `${name}_quantized`))).toEqual([...(integers as Int8Array)]);
  });
});
