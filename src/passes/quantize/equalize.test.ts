import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  constantOf,
  contextOn,
  modelOf,
  normalFeeds,
  normalTensor,
  perTensor,
  planOf,
  relativeError,
  run,
} from "../../../test/suites/ptq.ts";
import { type Model, tensorOf, toFloat32 } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { equalizedModel } from "../../recipes/ptq/equalized.ts";
import { quantized } from "../../recipes/ptq/quantized.ts";
import { type EqualizeOptions, equalizablePairs, equalize } from "./equalize.ts";
import type { QuantizationRow } from "./row.ts";

type How = Omit<EqualizeOptions, "maxima">;
const byWeights: How = { by: "weights", strength: 0.5, relax: false };
const byActivations: How = { by: "activations", strength: 0.5, relax: false };
const ways: readonly (readonly [string, How])[] = [
  ["weights", byWeights],
  ["activations", byActivations],
];

const times = (factors: readonly number[], inner: number) => (x: number, i: number) =>
  x * (factors[Math.floor(i / inner) % factors.length] as number);
/** Channels that differ by a factor of a thousand. */
const unequal = [0.03, 30, 1, 0.1, 10, 0.3, 3, 1];

const convReluConv = (factors: readonly number[] = unequal): Model =>
  modelOf("(float[1,3,6,6] x) => (float[1,4,6,6] y)", "a = Conv <pads = [1,1,1,1]> (x, w, b) r = Relu (a) y = Conv (r, v, c)", {
    w: normalTensor([8, 3, 3, 3], 1, 0.2, times(factors, 27)),
    b: normalTensor([8], 2, 0.1, times(factors, 1)),
    v: normalTensor([4, 8, 1, 1], 3, 0.3, (x, i) => x / (factors[i % 8] as number)),
    c: normalTensor([4], 4),
  });

const clipDepthwise = (factors: readonly number[] = [0.03, 30, 1, 0.1, 10, 0.3, 0.2, 1]): Model =>
  modelOf(
    "(float[1,3,6,6] x) => (float[1,4,6,6] y)",
    `a = Conv (x, w, b) r = Clip (a, low, high) d = Conv <group = 8, pads = [1,1,1,1]> (r, u, e)
     s = Clip (d, low, high) y = Conv (s, v, c)`,
    {
      w: normalTensor([8, 3, 1, 1], 1, 0.5, times(factors, 3)),
      b: normalTensor([8], 2, 0.1),
      u: normalTensor([8, 1, 3, 3], 3, 0.2, times([20, 0.1, 1, 7, 0.3, 2, 4, 1], 9)),
      e: normalTensor([8], 4, 0.2),
      v: normalTensor([4, 8, 1, 1], 5, 0.3),
      c: normalTensor([4], 6),
      low: tensorOf("float32", [], [0]),
      high: tensorOf("float32", [], [6]),
    },
  );

const gemmChain = (): Model =>
  modelOf(
    "(float[1,16] x) => (float[1,4] y)",
    "a = Gemm (x, w, b) r = Relu (a) h = Gemm <transB = 1> (r, v, c) y = Gemm (h, u)",
    {
      w: normalTensor([16, 8], 1, 0.3, (x, i) => x * (unequal[i % 8] as number)),
      b: normalTensor([8], 2, 0.1, (x, i) => x * (unequal[i] as number)),
      v: normalTensor([8, 8], 3, 0.3),
      c: normalTensor([8], 4, 0.1),
      u: normalTensor([8, 4], 5, 0.3),
    },
  );

const normalized = (): Model =>
  modelOf(
    "(float[1,5,8] x) => (float[1,5,8] q, float[1,5,8] k, float[1,5,4] v)",
    "n = LayerNormalization <axis = -1> (x, g, e) q = MatMul (n, a) k = MatMul (n, b) v = MatMul (n, c)",
    {
      g: tensorOf("float32", [8], unequal),
      e: normalTensor([8], 2, 0.2),
      a: normalTensor([8, 8], 3, 0.3),
      b: normalTensor([8, 8], 4, 0.3),
      c: normalTensor([8, 4], 5, 0.3),
    },
  );

const equalized = async (model: Model, feeds: readonly Feeds[], how: How, row?: QuantizationRow): Promise<Model | undefined> =>
  equalizedModel(model, await contextOn(model, feeds, row ? { row } : {}), how);

/** Largest difference of any output, relative to its largest magnitude. */
async function difference(a: Model, b: Model, feeds: readonly Feeds[]): Promise<number> {
  const [first, second] = [await run(a, feeds), await run(b, feeds)];
  let most = 0;
  for (const name of Object.keys(first[0] ?? {})) {
    let [magnitude, distance] = [0, 0];
    first.forEach((outputs, i) => {
      const other = toFloat32(second[i]?.[name] as never);
      toFloat32(outputs[name] as never).forEach((x: number, j: number) => {
        magnitude = Math.max(magnitude, Math.abs(x));
        distance = Math.max(distance, Math.abs(x - (other[j] as number)));
      });
    });
    most = Math.max(most, distance / magnitude);
  }
  return most;
}

describe.each(ways)("equalizing by %s", (_, how) => {
  test.each([
    ["Conv, Relu, Conv", convReluConv],
    ["Conv, Clip(0, 6), depthwise Conv, Clip, Conv", clipDepthwise],
    ["Gemm chain", gemmChain],
    ["LayerNormalization before three products", normalized],
  ] as const)("changes weights and leaves outputs: %s", async (_name, build) => {
    const model = build();
    const feeds = normalFeeds(model, 6);
    const after = await equalized(model, feeds, how);
    expect(after).toBeDefined();
    expect(await difference(model, after as Model, feeds)).toBeLessThan(1e-4);
  });
});

const spread = (values: readonly number[]): number => Math.max(...values) / Math.min(...values);
const channelMagnitudes = (model: Model, name: string, channels: number): number[] => {
  const values = toFloat32(constantOf(model, name));
  const inner = values.length / channels;
  return Array.from({ length: channels }, (_, c) => Math.max(...values.slice(c * inner, (c + 1) * inner).map(Math.abs)));
};

describe("equalizing", () => {
  test("brings channels together, and one scale per tensor then does far better", async () => {
    const model = convReluConv();
    const feeds = normalFeeds(model, 8);
    const after = (await equalized(model, feeds, byWeights, perTensor)) as Model;
    expect(spread(channelMagnitudes(model, "w", 8))).toBeGreaterThan(300);
    expect(spread(channelMagnitudes(after, "w", 8))).toBeLessThan(10);
    const reference = await run(model, feeds);
    const errorOf = async (float: Model): Promise<number> => {
      const context = await contextOn(float, feeds, { row: perTensor });
      return relativeError(reference, await run(await quantized(float, context, {}), feeds));
    };
    const [before, then] = [await errorOf(model), await errorOf(after)];
    expect(before).toBeGreaterThan(0.01);
    expect(then).toBeLessThan(before / 20);
  });

  test("both weights of a pair end with the same magnitude in every channel", async () => {
    const model = convReluConv();
    const after = (await equalized(model, normalFeeds(model, 4), byWeights)) as Model;
    const making = channelMagnitudes(after, "w", 8);
    const v = toFloat32(constantOf(after, "v"));
    const reading = making.map((_, c) => Math.max(...[0, 1, 2, 3].map((o) => Math.abs(v[8 * o + c] as number))));
    const ratios = making.map((most, c) => most / (reading[c] as number));
    // one common factor is left: scales are centred on one
    expect(spread(ratios)).toBeLessThan(1.01);
  });

  test("a channel that reaches the bound of its clip keeps its weights; no other is lifted above it", async () => {
    const model = clipDepthwise();
    const feeds = normalFeeds(model, 6);
    const context = await contextOn(model, feeds);
    const pairs = equalizablePairs(model, planOf(model));
    const [first] = pairs;
    expect(first?.limit).toBe(6);
    const maximaOf = async (own: Model): Promise<number[]> => {
      const watched = own.clone();
      watched.graph.outputs.length = 0;
      for (const node of watched.graph.nodes) if (node.output.name === first?.value.name) watched.graph.addOutput(node.output);
      const most = new Array<number>(8).fill(0);
      for (const outputs of await run(watched, feeds))
        toFloat32(Object.values(outputs)[0] as never).forEach((x: number, i: number) => {
          most[Math.floor(i / 36) % 8] = Math.max(most[Math.floor(i / 36) % 8] as number, x);
        });
      return most;
    };
    const before = await maximaOf(model);
    const after = (await equalizedModel(model, context, byWeights)) as Model;
    const reached = before.flatMap((most, c) => (most >= 6 * 0.999 ? [c] : []));
    expect(reached.length).toBeGreaterThan(0);
    const [old, now] = [channelMagnitudes(model, "w", 8), channelMagnitudes(after, "w", 8)];
    for (const c of reached) expect(now[c]).toBe(old[c]);
    expect(now.some((magnitude, c) => Math.abs(magnitude / (old[c] as number) - 1) > 0.1)).toBe(true);
    (await maximaOf(after)).forEach((most, c) => {
      expect(most).toBeLessThanOrEqual(reached.includes(c) ? 6 : 6 * (1 + 1e-6));
    });
  });

  test("relaxed, the clip loses its upper bound and every channel may move", async () => {
    const model = clipDepthwise();
    const after = (await equalized(model, normalFeeds(model, 6), { ...byWeights, relax: true })) as Model;
    const bounds = [...after.graph.nodes].filter(({ opType }) => opType === "Clip").map((node) => node.inputs[2]);
    expect(bounds).toEqual([undefined, undefined]);
  });

  test("values that others read too, or that are results, are left alone", () => {
    const read = modelOf(
      "(float[1,3,6,6] x) => (float[1,4,6,6] y, float[1,8,6,6] e)",
      "a = Conv (x, w, b) y = Conv (a, v, c) e = Erf (a)",
      {
        w: normalTensor([8, 3, 1, 1], 1),
        b: normalTensor([8], 2),
        v: normalTensor([4, 8, 1, 1], 3),
        c: normalTensor([4], 4),
      },
    );
    expect(equalizablePairs(read, planOf(read))).toEqual([]);
    const given = modelOf("(float[1,3,6,6] x) => (float[1,4,6,6] y, float[1,8,6,6] a)", "a = Conv (x, w) y = Conv (a, v)", {
      w: normalTensor([8, 3, 1, 1], 1),
      v: normalTensor([4, 8, 1, 1], 3),
    });
    expect(equalizablePairs(given, planOf(given))).toEqual([]);
  });

  test("a weight that two layers share is not rescaled", () => {
    const shared = modelOf("(float[1,8,4,4] x) => (float[1,8,4,4] y)", "a = Conv (x, w) r = Relu (a) y = Conv (r, w)", {
      w: normalTensor([8, 8, 1, 1], 1),
    });
    expect(equalizablePairs(shared, planOf(shared))).toEqual([]);
  });

  test("property: whatever the channels' scales, outputs stay and channels come closer", async () => {
    const factors = fc.array(fc.float({ min: -3, max: 3, noNaN: true }), { minLength: 8, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(factors, fc.constantFrom(byWeights, byActivations), async (powers, how) => {
        const model = convReluConv(powers.map((power) => 2 ** power));
        const feeds = normalFeeds(model, 2);
        const after = (await equalized(model, feeds, how)) ?? model;
        expect(await difference(model, after, feeds)).toBeLessThan(1e-4);
        const clipped = clipDepthwise(powers.map((power) => 2 ** power));
        expect(await difference(clipped, (await equalized(clipped, feeds, how)) ?? clipped, feeds)).toBeLessThan(1e-4);
        if (how === byWeights && spread(powers.map((power) => 2 ** power)) > 8)
          expect(spread(channelMagnitudes(after, "w", 8))).toBeLessThan(spread(channelMagnitudes(model, "w", 8)));
      }),
      { numRuns: 20 },
    );
  });

  test("dead channels stay as they are", () => {
    const model = convReluConv();
    const pairs = equalizablePairs(model, planOf(model));
    const maxima = new Map(pairs.map(({ value }) => [value.name, Float64Array.of(0, 1, 1, 1, 1, 1, 1, 1)]));
    const before = channelMagnitudes(model, "w", 8)[0];
    equalize(pairs, { ...byActivations, maxima });
    expect(channelMagnitudes(model, "w", 8)[0]).toBe(before);
  });
});
