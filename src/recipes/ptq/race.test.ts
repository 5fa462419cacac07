import { describe, expect, test } from "vitest";
import { contextOn, modelOf, normalFeeds, normalTensor, run } from "../../../test/suites/ptq.ts";
import { type Model, tensorOf, toFloat32 } from "../../ir/index.ts";
import { seededNormal, seededRandom } from "../../util/random.ts";
import { divergences, mean } from "./divergence.ts";
import { race, worse } from "./race.ts";

const normals = (count: number, seed: number, middle = 0, deviation = 1): number[] => {
  const normal = seededNormal(seededRandom(seed));
  return Array.from({ length: count }, () => middle + deviation * normal());
};
const plus = (a: readonly number[], b: readonly number[]): number[] => a.map((x, i) => x + (b[i] as number));

describe("worse", () => {
  const leader = normals(16, 1, 10, 3);

  test("a steady difference counts, however much the samples differ from each other", () => {
    expect(worse(plus(leader, normals(16, 2, 0.5, 0.1)), leader)).toBe(true);
    expect(worse(leader, plus(leader, normals(16, 2, 0.5, 0.1)))).toBe(false);
  });

  test("a difference within chance does not", () => {
    expect(worse(plus(leader, normals(16, 3, 0.1, 1)), leader)).toBe(false);
    expect(worse(leader, leader)).toBe(false);
    // the same mean difference, three times as steady and with more samples
    expect(worse(plus(normals(64, 1, 10, 3), normals(64, 3, 0.5, 0.3)), normals(64, 1, 10, 3))).toBe(true);
  });

  test("outputs that are no numbers are worse than any", () => {
    expect(worse([Number.POSITIVE_INFINITY, 1], [1, 1])).toBe(true);
    expect(worse([Number.NaN, 1], [1, 1])).toBe(true);
  });

  test("entrants that are equal but for noise are seldom dropped", () => {
    let dropped = 0;
    for (let trial = 0; trial < 400; trial++) {
      const base = normals(16, 5000 + trial, 10, 3);
      if (worse(plus(base, normals(16, 9000 + trial)), plus(base, normals(16, 13_000 + trial)))) dropped++;
    }
    // one-sided, 15 degrees of freedom, t > 3: 0.45 %
    expect(dropped / 400).toBeLessThan(0.02);
  });
});

const weight = normalTensor([16, 4], 1);
/** y = xw with noise on the weight. */
const noisy = (deviation: number, seed = 2): Model =>
  modelOf("(float[1,16] x) => (float[1,4] y)", "y = MatMul (x, w)", {
    w: tensorOf("float32", [16, 4], plus([...toFloat32(weight)], [...toFloat32(normalTensor([16, 4], seed, deviation))])),
  });

describe("a race", () => {
  const float = noisy(0);
  const feeds = normalFeeds(float, 40);
  const raceOf = async (entrants: readonly { readonly name: string; readonly model: Model }[]) => {
    const context = await contextOn(float, feeds);
    return race(entrants, await run(float, feeds), context);
  };

  test("drops a bad entrant early and runs near ones to the end", async () => {
    const results = await raceOf([
      { name: "bad", model: noisy(0.5) },
      { name: "good", model: noisy(0.01) },
      { name: "equal", model: noisy(0.01) },
    ]);
    expect(results.map(({ name }) => name)).toEqual(["good", "equal", "bad"]);
    const [good, equal, bad] = results;
    expect([good?.dropped, equal?.dropped, bad?.dropped]).toEqual([false, false, true]);
    expect([good?.samples, equal?.samples]).toEqual([40, 40]);
    expect(bad?.samples).toBe(8);
    expect(bad?.divergence).toBeGreaterThan(100 * (good?.divergence as number));
  });

  test("reports the mean divergence from the reference", async () => {
    const [first] = await raceOf([{ name: "only", model: noisy(0.1) }]);
    const [reference, outputs] = [await run(float, feeds), await run(noisy(0.1), feeds)];
    // alone, it runs as many samples as a decision takes
    const samples = first?.samples as number;
    expect(samples).toBe(8);
    const expected = mean(divergences(reference.slice(0, samples), outputs.slice(0, samples), false));
    expect(first?.divergence).toBeCloseTo(expected, 8);
  });

  test("an entrant that gives no numbers is last", async () => {
    const broken = modelOf("(float[1,16] x) => (float[1,4] y)", "z = MatMul (x, w) t = Sub (z, z) y = Div (t, t)", { w: weight });
    const results = await raceOf([
      { name: "broken", model: broken },
      { name: "bad", model: noisy(3) },
      { name: "good", model: noisy(0.01) },
    ]);
    expect(results.at(-1)?.name).toBe("broken");
    expect(results[0]?.name).toBe("good");
  });

  test("an entrant that cannot be loaded counts as infinitely bad", async () => {
    const unknown = modelOf("(float[1,16] x) => (float[1,4] y)", "y = MatMul (x, w) z = Unheard (y)", { w: weight });
    const results = await raceOf([
      { name: "unknown", model: unknown },
      { name: "good", model: noisy(0.01) },
    ]);
    expect(results.map(({ name, divergence }) => [name, Number.isFinite(divergence)])).toEqual([
      ["good", true],
      ["unknown", false],
    ]);
    expect(results[1]).toMatchObject({ dropped: true, samples: 0 });
  });
});

describe("divergences", () => {
  const scores = (...values: number[]) => ({ y: tensorOf("float32", [1, values.length], values) });

  test("class scores: KL of the distributions, in nats; distributions are taken as they are", () => {
    const [kl] = divergences([scores(0, 0)], [scores(Math.log(3), 0)], true);
    // ½ ln(½ / ¾) + ½ ln(½ / ¼)
    expect(kl).toBeCloseTo(0.5 * Math.log(0.5 / 0.75) + 0.5 * Math.log(2), 6);
    expect(divergences([scores(0.5, 0.5)], [scores(0.75, 0.25)], true)[0]).toBeCloseTo(kl as number, 6);
    expect(divergences([scores(1, 2, 3)], [scores(11, 12, 13)], true)[0]).toBeCloseTo(0, 8);
  });

  test("others: squared error over squared signal", () => {
    // evenly spread errors: the relative squared error
    expect(divergences([scores(3, 4)], [scores(5.5, 1.5)], false)).toEqual([0.5]);
    const [one] = divergences([scores(3, 4)], [scores(3, 4 + Math.sqrt(12.5))], false);
    expect(one).toBeCloseTo(0.5, 6);
    expect(divergences([scores(0, 0)], [scores(2, 2)], false)).toEqual([4]);
    expect(divergences([scores(1, 1)], [scores(Number.NaN, 1)], false)).toEqual([Number.POSITIVE_INFINITY]);
    expect(divergences([scores(1, 1)], [scores(Number.NaN, 1)], true)).toEqual([Number.POSITIVE_INFINITY]);
  });

  test("channels of many rows count alike, whatever their magnitude; a single row has no channels", () => {
    const table = (rows: number, second: number, off: number) => ({
      y: tensorOf(
        "float32",
        [1, rows, 2],
        Array.from({ length: 2 * rows }, (_, i) => (i % 2 ? second + off : 100)),
      ),
    });
    // boxes and scores: a score that is off by half counts although boxes are a hundred times larger
    expect(divergences([table(50, 1, 0)], [table(50, 1, 0.5)], false)[0]).toBeCloseTo(0.125, 5);
    // one of many regression outputs is near zero: its relative error says nothing
    expect(divergences([table(1, 1e-4, 0)], [table(1, 1e-4, 0.01)], false)[0]).toBeLessThan(1e-6);
  });

  test("outputs that are integers or have other sizes are left out", () => {
    const mixed = { y: tensorOf("float32", [1, 2], [1, 1]), count: tensorOf("int64", [1], [3]) };
    expect(divergences([mixed], [{ y: tensorOf("float32", [1, 2], [2, 0]), count: tensorOf("int64", [1], [9]) }], false)).toEqual(
      [1],
    );
  });
});
