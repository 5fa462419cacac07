import { z } from "zod";
import type { AudioForm } from "../form.ts";
import { between, normal, wholeBetween } from "../random.ts";
import { defineAugmentation, probability } from "./define.ts";

const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

function fillBlock(
  values: Float32Array,
  form: AudioForm,
  steps: readonly [number, number],
  bins: readonly [number, number],
  value: number,
): void {
  for (let t = steps[0]; t < steps[1]; t++)
    for (let bin = bins[0]; bin < bins[1]; bin++) values[t * form.stepStride + bin * form.binStride] = value;
}

/** A span of 0 to `most` places within `extent`. */
function span(most: number, extent: number, uniform: () => number): [number, number] {
  const width = wholeBetween(0, Math.min(most, extent), uniform);
  const start = wholeBetween(0, extent - width, uniform);
  return [start, start + width];
}

/** Park et al., "SpecAugment", 2019, without time warping. */
export const specAugment = defineAugmentation({
  name: "spec-augment",
  summary: "masks spans of time and of frequency in spectral features",
  kind: "audio",
  options: {
    timeMasks: z.int().min(0).max(100).default(2),
    timeWidth: z.int().min(1).default(10).describe("Largest width of a time mask in frames"),
    frequencyMasks: z.int().min(0).max(100).default(2),
    frequencyWidth: z.int().min(1).default(8).describe("Largest width of a frequency mask in bins"),
    fill: z
      .union([z.literal("mean"), z.number()])
      .default("mean")
      .describe("The sample's own mean, or a feature value"),
    probability: probability(1),
  },
  unfit: (form) =>
    form.content === "bands"
      ? undefined
      : `the input holds a ${form.content === "waveform" ? "waveform" : "row of frames"}, not spectral features`,
  apply(values, form, { timeMasks, timeWidth, frequencyMasks, frequencyWidth, fill }, uniform) {
    const value = fill === "mean" ? mean(values) : fill;
    for (let i = 0; i < timeMasks; i++) fillBlock(values, form, span(timeWidth, form.steps, uniform), [0, form.bins], value);
    for (let i = 0; i < frequencyMasks; i++)
      fillBlock(values, form, [0, form.steps], span(frequencyWidth, form.bins, uniform), value);
  },
});

export const audioNoise = defineAugmentation({
  name: "audio-noise",
  summary: "adds white noise; the ratio counts the signal's power about its mean, of the samples or of the features as they are",
  kind: "audio",
  options: {
    snrDb: z.tuple([z.number(), z.number()]).default([10, 30]).describe("Least and largest signal-to-noise ratio in decibels"),
    probability: probability(1),
  },
  apply(values, _form, { snrDb }, uniform) {
    const centre = mean(values);
    const power = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / Math.max(1, values.length);
    const deviation = Math.sqrt(power / 10 ** (between(snrDb[0], snrDb[1], uniform) / 10));
    for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + deviation * normal(uniform);
  },
});

export const timeShift = defineAugmentation({
  name: "time-shift",
  summary: "moves the recording earlier or later",
  kind: "audio",
  options: {
    share: z.number().positive().max(1).default(0.1).describe("Largest shift as a share of the length"),
    fill: z
      .enum(["edge", "wrap", "zero"])
      .optional()
      .describe(
        "What comes in: the first or last step again, the other end, or zeros. Default: zeros for a waveform, else the edge",
      ),
    probability: probability(1),
  },
  apply(values, form, { share, fill = form.content === "waveform" ? "zero" : "edge" }, uniform) {
    const most = Math.floor(share * form.steps);
    const shift = wholeBetween(-most, most, uniform);
    const source = values.slice();
    for (let t = 0; t < form.steps; t++) {
      const asked = t - shift;
      const inside = asked >= 0 && asked < form.steps;
      const from = fill === "wrap" ? (asked + form.steps) % form.steps : Math.min(form.steps - 1, Math.max(0, asked));
      for (let bin = 0; bin < form.bins; bin++) {
        const offset = bin * form.binStride;
        values[t * form.stepStride + offset] =
          inside || fill !== "zero" ? (source[from * form.stepStride + offset] as number) : 0;
      }
    }
  },
});
