import { describe, expect, test } from "vitest";
import { contextOn, modelOf, normalTensor, relativeError, run } from "../../../test/suites/ptq.ts";
import type { Model } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { noChoices, type QuantizationChoices } from "../../passes/quantize/choices.ts";
import { correctBiases } from "./bias.ts";
import { type ChannelPoint, channelMeans } from "./channel-statistics.ts";
import type { PtqContext } from "./context.ts";
import { quantized } from "./quantized.ts";

/** Inputs far from zero: rounding errors of weights then shift every mean. */
const shifted = (shape: readonly number[], count: number): Feeds[] =>
  Array.from({ length: count }, (_, i) => ({ x: normalTensor(shape, 50 + i, 1, (x) => x + 3) }));

const convolutions = modelOf(
  "(float[1,4,6,6] x) => (float[1,4,6,6] y)",
  "a = Conv (x, w, b) r = Relu (a) c = Conv (r, v) y = Conv (c, u, d)",
  {
    w: normalTensor([8, 4, 1, 1], 1, 0.4),
    b: normalTensor([8], 2),
    v: normalTensor([6, 8, 1, 1], 3, 0.4),
    u: normalTensor([4, 6, 1, 1], 4, 0.4),
    d: normalTensor([4], 5),
  },
);
const layers: readonly ChannelPoint[] = ["a", "c", "y"].map((output) => ({ output, axis: 1 }));
const threeBits = { weightBits: 3 };

/** Root of the mean square of what separates the channels' means, relative to the float ones, over all layers. */
async function shiftOf(model: Model, choices: QuantizationChoices, context: PtqContext): Promise<number[]> {
  const wanted = await channelMeans(model, layers, context);
  const found = await channelMeans(await quantized(model, context, choices, threeBits), layers, context);
  return wanted.map((means, i) => {
    const noise = means.reduce((sum, mean, c) => sum + (mean - (found[i]?.[c] as number)) ** 2, 0);
    return Math.sqrt(noise / means.reduce((sum, mean) => sum + mean * mean, 0));
  });
}

describe("bias correction", () => {
  test("brings the mean of every channel of every layer to the float model's", async () => {
    const feeds = shifted([1, 4, 6, 6], 8);
    const context = await contextOn(convolutions, feeds);
    const before = await shiftOf(convolutions, noChoices, context);
    for (const shift of before) expect(shift).toBeGreaterThan(0.03);
    const choices = await correctBiases(convolutions, context, noChoices, threeBits);
    // a convolution without a bias gets one
    expect([...choices.biases.keys()]).toEqual(["a", "c", "y"]);
    const after = await shiftOf(convolutions, choices, context);
    after.forEach((shift, i) => {
      expect(shift).toBeLessThan((before[i] as number) / 10);
    });
    const reference = await run(convolutions, feeds);
    const errorOf = async (own: QuantizationChoices): Promise<number> =>
      relativeError(reference, await run(await quantized(convolutions, context, own, threeBits), feeds));
    expect(await errorOf(choices)).toBeLessThan(0.7 * (await errorOf(noChoices)));
  });

  test("corrects biases that were chosen before, and leaves other choices alone", async () => {
    const context = await contextOn(convolutions, shifted([1, 4, 6, 6], 4));
    const wrong = { ...noChoices, biases: new Map([["a", new Float32Array(8).fill(2)]]) };
    const choices = await correctBiases(convolutions, context, wrong, threeBits);
    expect(choices.ranges).toBe(wrong.ranges);
    expect(wrong.biases.get("a")?.[0]).toBe(2);
    for (const shift of await shiftOf(convolutions, choices, context)) expect(shift).toBeLessThan(0.01);
  });

  test("an excluded layer keeps its bias", async () => {
    const context = await contextOn(convolutions, shifted([1, 4, 6, 6], 4));
    const choices = await correctBiases(convolutions, context, noChoices, { ...threeBits, exclude: ["c"] });
    expect([...choices.biases.keys()]).toEqual(["a", "y"]);
  });

  test("a layer whose Relu is the model's output is corrected too", async () => {
    const model = modelOf("(float[1,4,6,6] x) => (float[1,8,6,6] y)", "a = Conv (x, w, b) y = Relu (a)", {
      w: normalTensor([8, 4, 1, 1], 1, 0.4),
      b: normalTensor([8], 2),
    });
    const feeds = shifted([1, 4, 6, 6], 6);
    const context = await contextOn(model, feeds);
    const choices = await correctBiases(model, context, noChoices, threeBits);
    expect([...choices.biases.keys()]).toEqual(["a"]);
    const reference = await run(model, feeds);
    const errorOf = async (own: QuantizationChoices): Promise<number> =>
      relativeError(reference, await run(await quantized(model, context, own, threeBits), feeds));
    expect(await errorOf(choices)).toBeLessThan(0.7 * (await errorOf(noChoices)));
  });

  test("a model without such layers comes back as it is", async () => {
    const model = modelOf("(float[1,4,8] x, float[1,8,4] z) => (float[1,4,4] y)", "y = MatMul (x, z)", {});
    const context = await contextOn(model, [{ x: normalTensor([1, 4, 8], 1), z: normalTensor([1, 8, 4], 2) }]);
    expect(await correctBiases(model, context, noChoices)).toBe(noChoices);
  });
});
