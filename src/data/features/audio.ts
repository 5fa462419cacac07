import { float32Tensor, type Tensor, tensorOf } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import type { Waveform } from "../define.ts";
import { applyFilters, cosineTransform, melFilters } from "../mel.ts";
import { addNoise } from "../noise.ts";
import { type AudioPreprocess, audioPreprocessSchema } from "../preprocess.ts";
import { resample } from "../resample.ts";
import { powerOf, shortTimeFourier } from "../spectrum.ts";
import type { Convert, FeatureKind, ModelInput } from "./define.ts";
import { checkFits } from "./tensor.ts";

const defaults: AudioPreprocess = audioPreprocessSchema.parse({});

/** Rows of equal length: frames of a signal, or one row of samples. */
interface Rows {
  readonly rows: readonly ArrayLike<number>[];
  readonly width: number;
}

function atRate(waveform: Waveform, spec: AudioPreprocess, origin: string): Float32Array {
  if (waveform.sampleRate === spec.sampleRate) return waveform.samples;
  if (spec.resample) return resample(waveform.samples, waveform.sampleRate, spec.sampleRate);
  return fail("PREPROCESS_RATE", `"${origin}" has ${waveform.sampleRate} samples a second; ${spec.sampleRate} are expected.`, {
    subject: origin,
    hint: "Set audio.sampleRate to the model's rate, and audio.resample: true to convert recordings.",
  });
}

function mirrored(samples: Float32Array, by: number): Float32Array {
  const last = samples.length - 1;
  return Float32Array.from({ length: samples.length + 2 * by }, (_, i) => {
    const at = Math.abs(i - by);
    return samples[Math.max(0, at > last ? 2 * last - at : at)] as number;
  });
}

function logarithm(spec: AudioPreprocess): (value: number) => number {
  const raised = (value: number): number => Math.max(value, spec.floor);
  if (spec.log === "ln") return (value) => Math.log(raised(value));
  return spec.log === "log10" ? (value) => Math.log10(raised(value)) : (value) => 10 * Math.log10(raised(value));
}

/** Builds the way from samples to rows of features. */
function extractor(spec: AudioPreprocess): (samples: Float32Array, origin: string) => Rows {
  const fftSize = spec.fftSize ?? spec.frame;
  if (fftSize < spec.frame)
    fail("PREPROCESS_INVALID", `audio.fftSize (${fftSize}) must not be smaller than audio.frame (${spec.frame}).`);
  const highHz = spec.highHz ?? spec.sampleRate / 2;
  if (highHz <= spec.lowHz || highHz > spec.sampleRate / 2)
    fail(
      "PREPROCESS_INVALID",
      `audio.highHz (${highHz}) must lie between audio.lowHz and half the sample rate (${spec.sampleRate / 2}).`,
    );
  const { feature, mels, lowHz, sampleRate, frame, hop, window } = spec;
  const filters = melFilters({ mels, lowHz, highHz, sampleRate, fftSize });
  const log = logarithm(spec);
  const bands = (power: Float64Array): Float64Array => applyFilters(filters, power);
  const perFrame: Readonly<
    Record<Exclude<AudioPreprocess["feature"], "waveform" | "frames">, (power: Float64Array) => Float64Array>
  > = {
    power: (power) => power,
    "log-power": (power) => power.map(log),
    mel: bands,
    "log-mel": (power) => bands(power).map(log),
    mfcc: (power) => cosineTransform(bands(power).map(log), Math.min(spec.coefficients, mels)),
  };
  return (samples, origin) => {
    if (feature === "waveform") return { rows: Array.from(samples, (value) => [value]), width: 1 };
    const padded = spec.center ? mirrored(samples, frame >> 1) : samples;
    if (padded.length < frame)
      fail("PREPROCESS_SIZE", `"${origin}" has ${samples.length} samples, less than one frame of ${frame}.`, { subject: origin });
    const rows =
      feature === "frames"
        ? Array.from({ length: 1 + Math.floor((padded.length - frame) / hop) }, (_, t) =>
            padded.subarray(t * hop, t * hop + frame),
          )
        : shortTimeFourier(padded, { frame, hop, fftSize, window }).map((spectrum) => perFrame[feature](powerOf(spectrum)));
    return { rows, width: rows[0]?.length ?? 0 };
  };
}

/** Cuts or fills to `length` rows and lays them out; mean and std run along the bins. */
function layOut({ rows, width }: Rows, spec: AudioPreprocess, length: number): Float32Array {
  const values = new Float32Array(length * width);
  const pick = (value: number | readonly number[], bin: number): number =>
    typeof value === "number" ? value : (value[bin % value.length] as number);
  for (let t = 0; t < Math.min(length, rows.length); t++)
    for (let bin = 0; bin < width; bin++) {
      const value = ((rows[t] as ArrayLike<number>)[bin] as number) - pick(spec.mean, bin);
      values[spec.layout === "time-first" ? t * width + bin : bin * length + t] = value / pick(spec.std, bin);
    }
  return values;
}

/** The model's shape with `length` x `width` in its last two axes that are not 1 (a free one takes what comes). */
function inputShape(input: ModelInput, spec: AudioPreprocess, length: number, width: number): number[] {
  const body = spec.feature === "waveform" ? [length] : spec.layout === "time-first" ? [length, width] : [width, length];
  const own = input.type.shape;
  if (!own || own.length <= body.length + 1) return [1, ...body];
  // extra axes of size 1 (a channel) may stand before or after
  const last = own.at(-1) === 1;
  const ones = new Array<number>(own.length - body.length - 1).fill(1);
  return last ? [1, ...body, ...ones] : [1, ...ones, ...body];
}

/** The number of frames that the model fixes, if any. */
function fixedLength(input: ModelInput, spec: AudioPreprocess): number | undefined {
  const probe = inputShape(input, spec, -1, -2);
  const dim = input.type.shape?.[probe.indexOf(-1)];
  return typeof dim === "number" ? dim : undefined;
}

/** Recordings: frames, spectra, mel bands or cepstra. */
export const audioFeature: FeatureKind = {
  names: (feature) => [feature.name],
  prepare(feature, bound, preprocess): Convert {
    const spec = preprocess.audio ?? defaults;
    const input = bound.get(feature.name) as ModelInput;
    const extract = extractor(spec);
    const length = spec.length ?? fixedLength(input, spec);
    return (sample, id) => {
      const clean = atRate(sample.waveform as Waveform, spec, sample.origin);
      const samples = spec.noise ? addNoise(clean, spec.noise.snrDb, `${spec.noise.seed}:${id}`) : clean;
      const extracted = extract(samples, sample.origin);
      const count = length ?? extracted.rows.length;
      const shape = inputShape(input, spec, count, extracted.width);
      checkFits(shape, input, sample.origin);
      const feeds = { [input.name]: tensorOf(input.type.dtype, shape, layOut(extracted, spec, count)) };
      const geometry = { sampleRate: spec.sampleRate, samples: samples.length, frames: extracted.rows.length };
      if (!spec.noise) return { feeds, geometry };
      return { feeds, geometry, target: { kind: "tensor", tensor: noisePair(clean, samples) } };
    };
  },
};

/** [2, samples]: the clean signal, then the noisy one that the features were made of, which a mask must be applied to. */
const noisePair = (clean: Float32Array, noisy: Float32Array): Tensor => {
  const both = new Float32Array(clean.length * 2);
  both.set(clean);
  both.set(noisy, clean.length);
  return float32Tensor([2, clean.length], both);
};
