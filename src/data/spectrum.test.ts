import { describe, expect, it } from "vitest";
import { cosineTransform, melFilters } from "./mel.ts";
import { addNoise, uniformFrom } from "./noise.ts";
import { resample } from "./resample.ts";
import { frameCount, inverseShortTimeFourier, powerOf, shortTimeFourier, transformOf } from "./spectrum.ts";

/** The definition, term by term. */
function slowTransform(input: Float64Array): Float64Array {
  const n = input.length / 2;
  const output = new Float64Array(2 * n);
  for (let k = 0; k < n; k++)
    for (let t = 0; t < n; t++) {
      const angle = (-2 * Math.PI * k * t) / n;
      const [re, im] = [input[2 * t] as number, input[2 * t + 1] as number];
      output[2 * k] = (output[2 * k] as number) + re * Math.cos(angle) - im * Math.sin(angle);
      output[2 * k + 1] = (output[2 * k + 1] as number) + re * Math.sin(angle) + im * Math.cos(angle);
    }
  return output;
}
const random = (count: number): Float32Array => {
  const uniform = uniformFrom("spectrum");
  return Float32Array.from({ length: count }, () => uniform() * 2 - 1);
};
const tone = (hz: number, rate: number, count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));

describe("the Fourier transform", () => {
  it.each([2, 3, 5, 8, 10, 64, 320])("of %i points follows its definition", (size) => {
    const input = Float64Array.from(random(2 * size));
    const [fast, slow] = [transformOf(size)(input), slowTransform(input)];
    // double precision over at most 320 terms
    fast.forEach((value, i) => {
      expect(Math.abs(value - (slow[i] as number))).toBeLessThan(1e-10);
    });
  });
  it("finds a tone in its bin", () => {
    const options = { frame: 320, hop: 160, fftSize: 320, window: "hann" } as const;
    const [first] = shortTimeFourier(tone(1000, 16_000, 1600), options);
    const power = powerOf(first as Float64Array);
    expect(power.indexOf(Math.max(...power))).toBe(20);
  });
  it("comes back from overlapping frames", () => {
    const options = { frame: 320, hop: 160, fftSize: 320, window: "sqrt-hann" } as const;
    const samples = random(3200);
    const back = inverseShortTimeFourier(shortTimeFourier(samples, options), options);
    expect(back).toHaveLength(3200);
    // the outer half frames are covered by one window only; float32 sums
    for (let i = 160; i < 3040; i++) expect(Math.abs((back[i] as number) - (samples[i] as number))).toBeLessThan(1e-6);
  });
  it("counts whole frames", () => {
    expect([399, 400, 559, 560].map((count) => frameCount(count, { frame: 400, hop: 160 }))).toEqual([0, 1, 1, 2]);
  });
});

describe("mel bands and cepstra", () => {
  it("cover the range with triangles of height 1 at most", () => {
    const filters = melFilters({ mels: 20, lowHz: 0, highHz: 8000, sampleRate: 16_000, fftSize: 512 });
    expect(filters).toHaveLength(20);
    for (const filter of filters) {
      expect(Math.max(...filter)).toBeLessThanOrEqual(1);
      expect(Math.max(...filter)).toBeGreaterThan(0);
    }
    const centres = filters.map((filter) => filter.indexOf(Math.max(...filter)));
    expect(centres).toEqual([...centres].sort((a, b) => a - b));
  });
  it("use a cosine transform that keeps length", () => {
    const values = Float64Array.from([1, -2, 3, 0.5]);
    const energy = (list: Float64Array): number => list.reduce((sum, value) => sum + value * value, 0);
    expect(energy(cosineTransform(values, 4))).toBeCloseTo(energy(values), 10);
  });
});

describe("noise", () => {
  it("has the asked level and repeats by seed", () => {
    const clean = tone(440, 16_000, 16_000);
    const noisy = addNoise(clean, 5, "a");
    const power = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
    const snr = 10 * Math.log10(power(clean) / power(noisy.map((value, i) => value - (clean[i] as number))));
    expect(snr).toBeCloseTo(5, 2);
    expect(addNoise(clean, 5, "a")).toEqual(noisy);
    expect(addNoise(clean, 5, "b")).not.toEqual(noisy);
  });
});

describe("resampling", () => {
  it.each([
    [16_000, 8000],
    [8000, 16_000],
    [44_100, 16_000],
  ])("from %i to %i Hz keeps a tone", (from, to) => {
    const result = resample(tone(440, from, from / 4), from, to);
    const expected = tone(440, to, to / 4);
    // inside, away from the ends that the filter reaches over; a Hann-windowed sinc ripples by less than 1 %
    for (let i = 200; i < expected.length - 200; i++)
      expect(Math.abs((result[i] as number) - (expected[i] as number))).toBeLessThan(0.01);
  });
  it("removes what the new rate cannot hold", () => {
    const result = resample(tone(6000, 16_000, 4000), 16_000, 8000);
    expect(Math.max(...result.subarray(200, 1800).map(Math.abs))).toBeLessThan(0.01);
  });
});
