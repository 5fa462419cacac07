import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../util/random.ts";
import type { AudioForm, TokenForm } from "../form.ts";
import { augmentations } from "./index.ts";

const timeFirst = (steps: number, bins: number): AudioForm => ({
  kind: "audio",
  content: "bands",
  steps,
  bins,
  stepStride: bins,
  binStride: 1,
});
const binsFirst = (steps: number, bins: number): AudioForm => ({ ...timeFirst(steps, bins), stepStride: 1, binStride: steps });
const waveform = (steps: number): AudioForm => ({ ...timeFirst(steps, 1), content: "waveform" });
const draws = (...values: number[]) => {
  const left = [...values];
  return () => left.shift() ?? expect.fail("more numbers drawn than expected");
};

function apply<T extends Float32Array | Int32Array>(
  name: string,
  values: T,
  of: AudioForm | TokenForm,
  options: object,
  uniform: () => number,
): T {
  const record = augmentations.find((one) => one.name === name);
  const schema = (record as unknown as { schema: { parse(value: unknown): unknown } }).schema;
  const changed = values.slice() as T;
  record?.apply(changed, of, schema.parse({ name, ...options }), uniform);
  return changed;
}
const ramp = (count: number) => Float32Array.from({ length: count }, (_, i) => i);

describe("SpecAugment", () => {
  it("masks whole frames and whole bins with the mean", () => {
    // one time mask: width draw 0.5 of 0..1 is 1, start draw 0.5 of 0..2 is 1
    const time = { timeMasks: 1, timeWidth: 1, frequencyMasks: 0 };
    expect([...apply("spec-augment", ramp(6), timeFirst(3, 2), time, draws(0.5, 0.5))]).toEqual([0, 1, 2.5, 2.5, 4, 5]);
    expect([...apply("spec-augment", ramp(6), binsFirst(3, 2), time, draws(0.5, 0.5))]).toEqual([0, 2.5, 2, 3, 2.5, 5]);
    const frequency = { timeMasks: 0, frequencyMasks: 1, frequencyWidth: 1, fill: -9 };
    expect([...apply("spec-augment", ramp(6), timeFirst(3, 2), frequency, draws(0.5, 0.9))]).toEqual([0, -9, 2, -9, 4, -9]);
  });
  it("never masks more than its widths", () => {
    for (let seed = 0; seed < 50; seed++) {
      const options = { timeMasks: 1, timeWidth: 3, frequencyMasks: 1, frequencyWidth: 2, fill: -1 };
      const out = apply("spec-augment", new Float32Array(80).fill(1), timeFirst(10, 8), options, seededRandom(seed));
      expect([...out].filter((value) => value === -1).length).toBeLessThanOrEqual(3 * 8 + 2 * 10);
    }
  });
  it("masks less when the recording is shorter than a mask", () => {
    const all = apply(
      "spec-augment",
      ramp(2),
      timeFirst(2, 1),
      { timeMasks: 1, timeWidth: 99, frequencyMasks: 0, fill: 7 },
      draws(0.99, 0),
    );
    expect([...all]).toEqual([7, 7]);
  });
});

describe("audio noise", () => {
  it("has the power that the ratio asks for", () => {
    const signal = Float32Array.from({ length: 20_000 }, (_, i) => 0.5 * Math.sin(i / 7));
    const noisy = apply("audio-noise", signal, waveform(signal.length), { snrDb: [20, 20] }, seededRandom(1));
    const power = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value * value, 0);
    const ratio = 10 * Math.log10(power(signal) / power(noisy.map((value, i) => value - (signal[i] as number))));
    // the power of 20,000 normal draws has a relative standard error of 1 %, 0.04 dB
    expect(Math.abs(ratio - 20)).toBeLessThan(0.2);
  });
  it("leaves silence silent", () => {
    expect(apply("audio-noise", new Float32Array(8), waveform(8), {}, seededRandom(1))).toEqual(new Float32Array(8));
  });
});

describe("time shift", () => {
  // two steps of at most two places each way: the draws 0.99 and 0 are +2 and −2
  it("moves by steps and fills as asked", () => {
    const later = (fill?: string) => [...apply("time-shift", ramp(4), timeFirst(4, 1), { share: 0.5, fill }, draws(0.99))];
    expect(later("zero")).toEqual([0, 0, 0, 1]);
    expect(later("wrap")).toEqual([2, 3, 0, 1]);
    expect(later("edge")).toEqual([0, 0, 0, 1]);
    expect([...apply("time-shift", ramp(4), timeFirst(4, 1), { share: 0.5 }, draws(0))]).toEqual([2, 3, 3, 3]);
    expect([...apply("time-shift", ramp(4), waveform(4), { share: 0.5 }, draws(0))]).toEqual([2, 3, 0, 0]);
  });
  it("keeps the bins of a step together in both layouts", () => {
    expect([...apply("time-shift", ramp(6), timeFirst(3, 2), { share: 0.34, fill: "wrap" }, draws(0.99))]).toEqual([
      4, 5, 0, 1, 2, 3,
    ]);
    expect([...apply("time-shift", ramp(6), binsFirst(3, 2), { share: 0.34, fill: "wrap" }, draws(0.99))]).toEqual([
      2, 0, 1, 5, 3, 4,
    ]);
  });
});

describe("text", () => {
  const tokens: TokenForm = { kind: "tokens", length: 6, special: [0, 1, 2], unknown: 3 };
  const ids = Int32Array.of(1, 10, 11, 12, 2, 0);
  it("drops words and never special tokens", () => {
    expect([...apply("token-dropout", ids, tokens, { share: 1 }, seededRandom(1))]).toEqual([1, 3, 3, 3, 2, 0]);
    expect([...apply("token-dropout", ids, tokens, { share: 1, replacement: 99, special: [11] }, seededRandom(1))]).toEqual([
      1, 99, 11, 99, 2, 0,
    ]);
    expect([...apply("token-dropout", ids, tokens, { share: 0.5 }, draws(0.9, 0.1, 0.9, 0.4, 0.1, 0.1))]).toEqual([
      1, 3, 11, 3, 2, 0,
    ]);
  });
  it("swaps neighbouring words only", () => {
    // draws for the pairs (1,10) (10,11), and after the swap (12,2) (2,0)
    expect([...apply("token-swap", ids, tokens, { share: 1 }, draws(0, 0, 0, 0))]).toEqual([1, 11, 10, 12, 2, 0]);
    for (let seed = 0; seed < 20; seed++) {
      const out = apply("token-swap", ids, tokens, { share: 0.5 }, seededRandom(seed));
      expect([...out].sort((a, b) => a - b)).toEqual([...ids].sort((a, b) => a - b));
      expect([out[0], out[4], out[5]]).toEqual([1, 2, 0]);
    }
  });
});
