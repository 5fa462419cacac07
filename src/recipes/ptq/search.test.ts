import { describe, expect, test } from "vitest";
import { contextOn, modelOf, normalFeeds, normalTensor, relativeError, run, smoothPictures } from "../../../test/suites/ptq.ts";
import { type Model, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { findTask, resolveTask } from "../../measure/task.ts";
import { definePostprocess, detectionTensor } from "../../metrics/index.ts";
import { noChoices } from "../../passes/quantize/choices.ts";
import { edgesAtEight } from "../quantize-search.ts";
import type { PtqContext } from "./context.ts";
import { distanceOf } from "./distance.ts";
import { divergences, mean } from "./divergence.ts";
import { quantized } from "./quantized.ts";
import type { Recipe } from "./recipe.ts";
import { type SearchOptions, type SearchResult, searchQuantization } from "./search.ts";

const length = 6;
/** Attention to what came before; what comes later is pushed away by −1e9 before the softmax. */
const causal = (): Model =>
  modelOf(
    `(float[1,${length},8] x) => (float[1,${length},8] y)`,
    `q = MatMul (x, wq) k = MatMul (x, wk) t = Transpose <perm = [0,2,1]> (k) s = MatMul (q, t) m = Add (s, mask)
     p = Softmax <axis = -1> (m) v = MatMul (x, wv) o = MatMul (p, v) h = Add (o, x) y = MatMul (h, wo)`,
    {
      wq: normalTensor([8, 8], 1, 0.4),
      wk: normalTensor([8, 8], 2, 0.4),
      wv: normalTensor([8, 8], 3, 0.4),
      wo: normalTensor([8, 8], 4, 0.4),
      mask: tensorOf(
        "float32",
        [1, length, length],
        Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? -1e9 : 0)),
      ),
    },
  );

const emit = ({ model, statistics, choices, options }: Recipe, { row }: PtqContext): Promise<Model> =>
  quantized(model, { row, statistics }, choices, options);

async function searched(model: Model, options: SearchOptions = {}, feeds = normalFeeds(model, 40)) {
  const context = await contextOn(model, feeds, { judges: 16 });
  const kept: Recipe[] = [];
  const found = await searchQuantization(model, context, { steps: 0, onBetter: (recipe) => void kept.push(recipe), ...options });
  const reference = await run(model, context.judgeFeeds);
  const errorOf = async (recipe: Recipe): Promise<number> =>
    relativeError(reference, await run(await emit(recipe, context), context.judgeFeeds));
  return { context, found, kept, reference, errorOf };
}

describe("search for the best way to quantize", () => {
  test("an Add whose mask ruins every range goes back to float, and outputs come close", async () => {
    const model = causal();
    const { context, found, reference, errorOf } = await searched(model);
    const plain = await quantized(model, context, noChoices);
    expect(relativeError(reference, await run(plain, context.judgeFeeds))).toBeGreaterThan(0.1);
    expect(found.best.options.exclude).toContain("m");
    expect(found.best.options.exclude).not.toContain("q");
    expect(await errorOf(found.best)).toBeLessThan(1e-3);
    expect(found.trials.some(({ name, kept }) => kept && name.includes("in float"))).toBe(true);
    // what it would be with everything in integers is given too
    expect(found.full?.options.exclude ?? []).toEqual([]);
    expect(await errorOf(found.full as Recipe)).toBeGreaterThan(10 * (await errorOf(found.best)));
  });

  const convolutions = (): Model =>
    modelOf(
      "(float[1,3,8,8] x) => (float[1,4,8,8] y)",
      "a = Conv <pads = [1,1,1,1]> (x, w, b) r = Relu (a) c = Conv <pads = [1,1,1,1]> (r, v, d) s = Relu (c) y = Conv (s, u, e)",
      {
        w: normalTensor([8, 3, 3, 3], 1, 0.2),
        b: normalTensor([8], 2, 0.1),
        v: normalTensor([8, 8, 3, 3], 3, 0.15),
        d: normalTensor([8], 4, 0.1),
        u: normalTensor([4, 8, 1, 1], 5, 0.3),
        e: normalTensor([4], 6, 0.1),
      },
    );

  function checkTrials({ best, divergence, trials }: SearchResult): void {
    expect(trials.length).toBeGreaterThan(3);
    for (const trial of trials) {
      expect(trial.seconds).toBeGreaterThan(0);
      expect(trial.samples).toBeGreaterThan(0);
      expect(trial.divergence).toBeGreaterThanOrEqual(0);
    }
    const kept = trials.filter((trial) => trial.kept);
    expect(kept.length).toBeGreaterThan(0);
    expect(best.name).toBe(kept.at(-1)?.name);
    // later races may have run it on fewer of the inputs
    expect(divergence / (kept.at(-1)?.divergence as number)).toBeCloseTo(1, 0);
  }

  test("lists what it tried; what it keeps is the best on inputs that it was not made from", async () => {
    const model = convolutions();
    const { context, found, kept, reference } = await searched(model);
    checkTrials(found);
    expect(kept.at(-1)).toBe(found.best);
    const names = found.trials.map(({ name }) => name);
    for (const name of ["measured ranges", "averaged ranges", "min-max ranges"]) expect(names).toContain(name);
    expect(names.some((name) => name.includes("corrected biases"))).toBe(true);
    // reported divergence is that of the emitted model on the judging inputs
    const outputs = await run(await emit(found.best, context), context.judgeFeeds);
    const scores = divergences(reference, outputs, false);
    const ratios = [8, 12, 16].map((samples) => found.divergence / mean(scores.slice(0, samples)));
    expect(Math.min(...ratios.map((ratio) => Math.abs(ratio - 1)))).toBeLessThan(1e-4);
  });

  test("an idea that does not help is tried and not kept", async () => {
    const { found } = await searched(convolutions());
    const lost = found.trials.filter((trial) => !trial.kept);
    expect(lost.length).toBeGreaterThan(0);
    // nothing in this model deserves to be float
    expect(found.best.options.exclude ?? []).toEqual([]);
    expect(found.full).toBeUndefined();
    expect(found.trials.filter(({ name }) => name.includes("in float")).every(({ kept }) => !kept)).toBe(true);
  });

  test("learned rounding wins at three bits, and edge layers keep eight", async () => {
    const model = convolutions();
    const context = await contextOn(model, normalFeeds(model, 2));
    const pictures = smoothPictures(112, 300);
    const bitsOf = edgesAtEight(model, context.row, 3);
    expect(["w", "v", "u"].map(bitsOf)).toEqual([8, 3, 8]);
    const { found, errorOf } = await searched(model, { weightBits: 3, bitsOf, steps: 150 }, pictures);
    checkTrials(found);
    expect(found.blocks.length).toBe(1);
    expect(found.best.name).toContain("learned rounding");
    const { weights } = found.best.choices;
    expect(Math.max(...[...(weights.get("v")?.integers ?? [])].map(Math.abs))).toBe(3);
    expect(["w", "v", "u"].map((name) => weights.get(name)?.bits)).toEqual([8, 3, 8]);
    const without = await searched(model, { weightBits: 3, bitsOf }, pictures);
    expect(await errorOf(found.best)).toBeLessThan(await without.errorOf(without.found.best));
  });

  /** Fifteen channels of coordinates in thousands, and one of scores that the last layer's grid for all of them wipes out. */
  const detector = (): Model =>
    modelOf(
      "(float[1,3,8,8] x) => (float[1,16,8,8] y)",
      "a = Conv <pads = [1,1,1,1]> (x, w) r = Relu (a) c = Conv <pads = [1,1,1,1]> (r, v) s = Relu (c) y = Conv (s, u)",
      {
        w: normalTensor([8, 3, 3, 3], 1, 0.2),
        v: normalTensor([8, 8, 3, 3], 2, 0.15),
        u: normalTensor([16, 8, 1, 1], 3, 1, (value, i) => (i < 120 ? 1000 * value : 4 * value)),
      },
    );
  /** Each cell is a box of one pixel. */
  const cells = definePostprocess({
    name: "cells",
    summary: "a score for every cell",
    apply: ({ y }) => {
      const scores = toFloat32(y as Tensor).subarray(15 * 64);
      const box = (i: number) => ({ x: i % 8, y: Math.floor(i / 8), width: 1, height: 1, classIndex: 0 });
      return {
        detections: detectionTensor(Array.from(scores, (score, i) => ({ ...box(i), score: 1 / (1 + Math.exp(-score)) }))),
      };
    },
  });

  test("a detector is judged by its detections: the last layer stays float where they suffer, though its numbers hardly do", async () => {
    const model = detector();
    const own = await contextOn(model, normalFeeds(model, 24), { judges: 16 });
    const detection = findTask("detection");
    const task = resolveTask(
      { ...detection, metrics: [] },
      { postprocess: [{ name: "cells" }], plugins: [{ postprocess: [cells] }] },
    );
    const context: PtqContext = { ...own, distance: distanceOf(task) };
    const found = await searchQuantization(model, context, { steps: 0 });
    expect(found.best.options.exclude).toContain("y");
    const reference = await run(model, context.judgeFeeds);
    const outputsFor = async (recipe: Recipe) => run(await emit(recipe, context), context.judgeFeeds);
    const [best, full] = [await outputsFor(found.best), await outputsFor(found.full as Recipe)];
    const costs = (outputs: typeof best): number[] => context.distance.between(reference, outputs, context.judgeFeeds);
    expect(relativeError(reference, full)).toBeLessThan(1e-3);
    expect(mean(costs(full))).toBeGreaterThan(0.1);
    expect(mean(costs(best))).toBeLessThan(0.1 * mean(costs(full)));
    // and that is what is reported
    const ratios = [8, 12, 16].map((samples) => found.divergence / mean(costs(best).slice(0, samples)));
    expect(Math.min(...ratios.map((ratio) => Math.abs(ratio - 1)))).toBeLessThan(1e-3);
  });

  test("excluded nodes stay excluded", async () => {
    const { found, context } = await searched(convolutions(), { exclude: ["c"] });
    expect(found.best.options.exclude).toContain("c");
    const types = [...(await emit(found.best, context)).graph.initializers].filter(({ name }) => name === "v");
    expect(types[0]?.constant?.dtype).toBe("float32");
  });

  test("past the deadline the cheapest ideas are still compared, and nothing else", async () => {
    const { found } = await searched(convolutions(), { deadline: performance.now() - 1, steps: 50 });
    expect(found.trials.map(({ name }) => name).sort()).toEqual(
      ["measured ranges", "averaged ranges", "min-max ranges", "percentile ranges"].sort(),
    );
    expect(found.blocks).toEqual([]);
    expect(found.best.choices.biases.size).toBe(0);
  });
});
