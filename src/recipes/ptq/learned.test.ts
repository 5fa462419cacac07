import { expect, test } from "vitest";
import { contextOn, modelOf, normalTensor, relativeError, run, smoothPictures } from "../../../test/suites/ptq.ts";
import { learned } from "./learned.ts";
import { quantized } from "./quantized.ts";
import { searchRanges } from "./ranges.ts";
import type { Recipe } from "./recipe.ts";

const bits = 3;
const model = modelOf(
  "(float[1,3,8,8] x) => (float[1,4,8,8] y)",
  "a = Conv <pads = [1,1,1,1]> (x, w, b) r = Relu (a) y = Conv (r, u, e)",
  {
    w: normalTensor([8, 3, 3, 3], 1, 0.25),
    b: normalTensor([8], 2, 0.3),
    u: normalTensor([4, 8, 1, 1], 5, 0.4),
    e: normalTensor([4], 6, 0.1),
  },
);

test("all inputs but a fifth teach, and what they teach holds for others", async () => {
  const all = smoothPictures(80, 100);
  const context = await contextOn(model, all, { judges: 32 });
  const { choices } = await searchRanges(model, context, { bitsOf: () => bits });
  const { statistics } = context;
  const best: Recipe = { name: "ranges", model, statistics, choices, options: { weightBits: bits }, measured: [] };
  const { recipe, blocks, held } = await learned(best, context, { steps: 200 });
  expect(recipe.name).toBe("ranges, learned rounding");
  expect(held).toEqual(all.slice(48, 64));
  expect(blocks).toHaveLength(1);
  const unseen = smoothPictures(16, 900);
  const errorWith = async (own: Recipe): Promise<number> =>
    relativeError(await run(model, unseen), await run(await quantized(model, context, own.choices, own.options), unseen));
  expect(await errorWith(recipe)).toBeLessThan((await errorWith(best)) / 2);
});

test("where the same few inputs teach and judge, it stays so", async () => {
  const few = smoothPictures(6, 100);
  const context = await contextOn(model, few);
  const { choices } = await searchRanges(model, context);
  const best: Recipe = { name: "r", model, statistics: context.statistics, choices, options: {}, measured: [] };
  expect((await learned(best, context, { steps: 20 })).held).toBe(context.feeds);
});
