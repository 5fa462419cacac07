import { describe, expect, it } from "vitest";
import { float32Tensor, int64Tensor, type Outputs, type PreparedSample, type Target, type Tensor } from "../ir/index.ts";
import { seededRandom } from "../util/random.ts";
import { weightedAuc } from "./auc.ts";
import { type MetricState, parseOptions, weightedValue } from "./define.ts";
import { type AnyMetric, findDefinition, metrics } from "./registry.ts";
import { editDistance } from "./tokens.ts";

const sampleOf = (target?: Target, id = "s"): PreparedSample => ({ id, origin: id, feeds: {}, target, geometry: {} });
const classSample = (index: number): PreparedSample => sampleOf({ kind: "class", index });
const tokenSample = (...tokens: number[]): PreparedSample => sampleOf({ kind: "tokens", tokens });
const scores = (...values: number[]): Outputs => ({ out: float32Tensor([1, values.length], values) });

const metricOf = (name: string): AnyMetric => findDefinition("metric", name, metrics);
const startOf = (name: string, options?: unknown): MetricState => metricOf(name).start(parseOptions(metricOf(name), options));

function run(name: string, cases: readonly (readonly [Outputs, PreparedSample, Outputs?])[], options?: unknown): number {
  const state = startOf(name, options);
  for (const [outputs, sample, reference] of cases) state.update(outputs, sample, reference);
  return state.value();
}

describe("every metric", () => {
  // one sample of each kind, its outputs, and what the original gave
  const cases: Record<string, [Outputs, Target]> = {
    class: [scores(0.1, 0.7, 0.2, 0, 0, 0), { kind: "class", index: 1 }],
    boxes: [
      { detections: float32Tensor([1, 6], [10, 10, 20, 20, 0.9, 3]) },
      { kind: "boxes", boxes: [{ classIndex: 3, x: 10, y: 10, width: 20, height: 20 }] },
    ],
    tensor: [
      {
        out: float32Tensor(
          [1, 1, 16, 16],
          Array.from({ length: 256 }, (_, i) => i / 256),
        ),
      },
      {
        kind: "tensor",
        tensor: float32Tensor(
          [1, 1, 16, 16],
          Array.from({ length: 256 }, (_, i) => i / 256),
        ),
      },
    ],
    tokens: [{ out: float32Tensor([1, 2, 3], [0, 40, 0, 40, 0, 0]) }, { kind: "tokens", tokens: [1, 0] }],
  };
  const best: Record<string, number> = { ssim: 1, cosine: 1, psnr: 200, sqnr: 200, perplexity: 1 };

  for (const [name, metric] of metrics) {
    it(`${name}: a perfect model gets the best value, resampling agrees with the value`, () => {
      const [outputs, target] = cases[metric.needs[0] ?? "class"] as [Outputs, Target];
      const state = startOf(name);
      state.update(outputs, sampleOf(target, "a"), outputs);
      // AUC needs both classes
      if (name === "auc") state.update(scores(0.9, 0.1, 0, 0, 0, 0), classSample(0), outputs);
      else state.update(outputs, sampleOf(target, "b"), outputs);
      const expected = best[name] ?? (metric.better === "lower" ? 0 : metric.unit === "%" ? 100 : Number.NaN);
      expect(state.value()).toBeCloseTo(expected, 6);
      expect(weightedValue(state, [1, 1])).toBeCloseTo(state.value(), 10);
      expect(weightedValue(state, [2, 2])).toBeCloseTo(state.value(), 10);
    });
  }

  it("counts a sample with weight 2 like two equal samples", () => {
    const random = seededRandom(5);
    for (const name of ["top-1", "f1", "auc"]) {
      const rows = Array.from({ length: 12 }, () => [scores(random(), random()), classSample(random() < 0.5 ? 0 : 1)] as const);
      const weights = rows.map((_, i) => i % 3);
      const repeated = rows.flatMap((row, i) => new Array(weights[i] as number).fill(row));
      const state = startOf(name);
      for (const [outputs, sample] of rows) state.update(outputs, sample);
      expect(weightedValue(state, weights), name).toBeCloseTo(run(name, repeated), 10);
    }
  });

  it("unknown names and options are refused with what is known", () => {
    expect(() => metricOf("top-2")).toThrow(/no metric called "top-2"/);
    expect(() => startOf("psnr", { rang: 255 })).toThrow(/psnr/);
    expect(() => startOf("top-1").update(scores(1, 2), tokenSample(1))).toThrow(/kind "tokens", but the metric needs "class"/);
  });
});

describe("classification", () => {
  it("top-1 and top-5: ties go to the lower index, NaN is never right", () => {
    expect(run("top-1", [[scores(1, 1), classSample(0)]])).toBe(100);
    expect(run("top-1", [[scores(1, 1), classSample(1)]])).toBe(0);
    expect(run("top-5", [[scores(9, 8, 7, 6, 5, 4), classSample(4)]])).toBe(100);
    expect(run("top-5", [[scores(9, 8, 7, 6, 5, 4), classSample(5)]])).toBe(0);
    expect(run("top-5", [[scores(Number.NaN, 1), classSample(0)]])).toBe(0);
    expect(run("top-1", [[scores(Number.NaN, Number.NaN), classSample(0)]])).toBe(0);
  });
  it("a single score is split at the threshold", () => {
    const cases = [
      [scores(0.6), classSample(1)],
      [scores(0.6), classSample(0)],
    ] as const;
    expect(run("top-1", cases)).toBe(50);
    expect(run("top-1", cases.slice(0, 1), { threshold: 0.7 })).toBe(0);
  });
  it("a label outside the classes names the sample and the range", () => {
    expect(() => run("top-1", [[scores(1, 2, 3), classSample(3)]])).toThrow(
      /label 3, but the model tells 3 classes apart \(0 to 2\)/,
    );
    expect(() => run("f1", [[scores(1, 2, 3), classSample(-1)]])).toThrow(/label -1/);
  });
  it("F1 by hand: binary 2·2/(2·2+1+1); macro is the mean of both", () => {
    const predicted = [1, 1, 1, 0, 0, 0];
    const labels = [1, 1, 0, 1, 0, 0];
    const cases = labels.map((label, i) => [predicted[i] ? scores(0, 1) : scores(1, 0), classSample(label)] as const);
    expect(run("f1", cases, { average: "binary" })).toBeCloseTo((100 * 4) / 6, 10);
    expect(run("f1", cases)).toBeCloseTo((100 * 4) / 6, 10);
  });
  it("AUC by hand: 3 of 4 pairs in order; a tie is half a pair; random scores come near 50", () => {
    const order = [0, 1, 2, 3];
    expect(weightedAuc([0.1, 0.35, 0.4, 0.8], [false, true, false, true], order)).toBe(0.75);
    expect(weightedAuc([1, 1], [false, true], [0, 1])).toBe(0.5);
    expect(weightedAuc([1, 2], [true, true], [0, 1])).toBeNaN();
    const random = seededRandom(1);
    const cases = Array.from({ length: 4000 }, (_, i) => [scores(0, random()), classSample(i % 2)] as const);
    // standard error of the statistic at n = 4000 is about 0.9 points
    expect(Math.abs(run("auc", cases) - 50)).toBeLessThan(3);
  });
});

describe("tokens", () => {
  const ids = (...values: number[]): Outputs => ({ tokens: int64Tensor(values).reshape([1, values.length]) });
  it("reads ids or scores, at the end or at an offset", () => {
    expect(run("token-accuracy", [[ids(9, 1, 2, 3), tokenSample(1, 2, 4)]])).toBeCloseTo(200 / 3, 10);
    expect(run("token-accuracy", [[ids(1, 2, 9, 9), tokenSample(1, 2)]], { offset: 0 })).toBe(100);
    expect(
      run("sequence-accuracy", [
        [ids(1, 2, 3), tokenSample(1, 2, 4)],
        [ids(1, 2), tokenSample(1, 2)],
      ]),
    ).toBe(50);
    expect(run("token-accuracy", [[ids(1), tokenSample(1, 2)]])).toBe(50);
    expect(run("token-accuracy", [[ids(1, 7), tokenSample(1, 0)]], { ignore: 0 })).toBe(100);
  });
  it("edit distance of kitten and sitting is 3", () => {
    expect(editDistance([..."kitten"], [..."sitting"])).toBe(3);
    expect(editDistance([], [1, 2])).toBe(2);
  });
  it("word accuracy counts words between separators, pooled", () => {
    const cases = [
      [ids(5, 6, 0, 7, 0, 8), tokenSample(5, 6, 0, 7, 7, 0, 8)],
      [ids(5), tokenSample(5)],
    ] as const;
    expect(run("word-accuracy", cases, { separators: [0] })).toBe(75);
  });
  it("perplexity of a uniform guess is the vocabulary's size", () => {
    const uniform: Outputs = { logits: float32Tensor([1, 2, 4], [1, 1, 1, 1, 5, 5, 5, 5]) };
    expect(run("perplexity", [[uniform, tokenSample(3, 0)]])).toBeCloseTo(4, 10);
    expect(() => run("perplexity", [[uniform, tokenSample(3, 4)]])).toThrow(/Token 1 of "s" is 4/);
  });
});

describe("images", () => {
  const image = (values: number[]): Tensor => float32Tensor([1, 1, 16, 16], values);
  const ramp = Array.from({ length: 256 }, (_, i) => i / 255);
  const truth = sampleOf({ kind: "tensor", tensor: image(ramp) });
  it("PSNR of an error of 0.1 everywhere is 20 dB", () => {
    const outputs = { y: image(ramp.map((value) => value + 0.1)) };
    expect(run("psnr", [[outputs, truth]], { clamp: false })).toBeCloseTo(20, 4);
    expect(run("psnr", [[outputs, truth]])).toBeGreaterThan(20);
  });
  it("PSNR leaves the border out and rounds to levels", () => {
    const outputs = { y: image(ramp.map((value, i) => (i < 16 ? 0 : value))) };
    expect(run("psnr", [[outputs, truth]], { border: 1 })).toBe(200);
    const nearly = { y: image(ramp.map((value) => value + 0.001)) };
    // the ramp lies on the 256 levels up to float32 rounding
    expect(run("psnr", [[nearly, truth]], { levels: 256 })).toBeGreaterThan(130);
  });
  it("SSIM by hand on constant planes: only the luminance term is left", () => {
    const outputs = { y: image(new Array(256).fill(0.5)) };
    const flat = sampleOf({ kind: "tensor", tensor: image(new Array(256).fill(0.25)) });
    const expected = (2 * 0.5 * 0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4);
    expect(run("ssim", [[outputs, flat]])).toBeCloseTo(expected, 6);
  });
  it("a wrong shape says both", () => {
    const small = { y: float32Tensor([1, 1, 2, 2], [0, 0, 0, 0]) };
    expect(() => run("psnr", [[small, truth]])).toThrow(/\[1,1,2,2\].*\[1,1,16,16\]/);
  });
});

describe("fidelity", () => {
  const original = scores(1, 2, 3);
  it("agreement looks at every row", () => {
    const rows: Outputs = { out: float32Tensor([1, 2, 2], [1, 0, 0, 1]) };
    const other: Outputs = { out: float32Tensor([1, 2, 2], [1, 0, 1, 0]) };
    expect(run("agreement", [[rows, sampleOf(), other]])).toBe(50);
  });
  it("KL by hand, from probabilities and from logits", () => {
    const p = scores(0.5, 0.5);
    const q = scores(0.25, 0.75);
    const expected = 0.5 * Math.log(2) + 0.5 * Math.log(0.5 / 0.75);
    expect(run("kl", [[q, sampleOf(), p]])).toBeCloseTo(expected, 6);
    const logits = scores(Math.log(0.25) + 7, Math.log(0.75) + 7);
    expect(run("kl", [[logits, sampleOf(), p]])).toBeCloseTo(expected, 6);
  });
  it("cosine, SQNR and the largest difference by hand", () => {
    const changed = scores(1, 2, 4);
    expect(run("cosine", [[changed, sampleOf(), original]])).toBeCloseTo(17 / Math.sqrt(21 * 14), 6);
    expect(run("sqnr", [[changed, sampleOf(), original]])).toBeCloseTo(10 * Math.log10(14), 6);
    expect(run("max-abs-difference", [[changed, sampleOf(), original]])).toBe(1);
  });
  it("a broken model (NaN) never looks good", () => {
    const broken = scores(Number.NaN, Number.NaN, Number.NaN);
    expect(run("agreement", [[broken, sampleOf(), original]])).toBe(0);
    for (const name of ["sqnr", "cosine", "kl", "max-abs-difference"])
      expect(
        run(name, [
          [broken, sampleOf(), original],
          [original, sampleOf(), original],
        ]),
        name,
      ).toBeNaN();
  });
  it("needs the original and its shape", () => {
    expect(() => run("sqnr", [[original, sampleOf()]])).toThrow(/none was given/);
    expect(() => run("sqnr", [[scores(1), sampleOf(), original]])).toThrow(/\[1,1\].*\[1,3\]/);
  });
});
