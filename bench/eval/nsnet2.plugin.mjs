/**
 * Speech enhancement: spectrum of the noisy recording, the model's mask on it, back to a waveform by overlap-add, and the
 * scale-invariant signal-to-distortion ratio (Le Roux et al. 2019) of both.
 */

const frame = 320;
const hop = 160;
const bins = frame / 2 + 1;

/** Square root of a periodic Hann window: its square adds up to 1 at half-frame steps. */
const window = Float64Array.from({ length: frame }, (_, i) => Math.sin((Math.PI * i) / frame));
const cosines = Float64Array.from({ length: frame }, (_, i) => Math.cos((2 * Math.PI * i) / frame));
const sines = Float64Array.from({ length: frame }, (_, i) => Math.sin((2 * Math.PI * i) / frame));

function spectrum(samples, start) {
  const real = new Float64Array(bins);
  const imaginary = new Float64Array(bins);
  for (let k = 0; k < bins; k++)
    for (let i = 0; i < frame; i++) {
      const value = window[i] * samples[start + i];
      real[k] += value * cosines[(k * i) % frame];
      imaginary[k] -= value * sines[(k * i) % frame];
    }
  return { real, imaginary };
}

function addFrame(target, start, { real, imaginary }) {
  for (let i = 0; i < frame; i++) {
    let sum = real[0] + real[bins - 1] * (i % 2 === 0 ? 1 : -1);
    for (let k = 1; k < bins - 1; k++) sum += 2 * (real[k] * cosines[(k * i) % frame] - imaginary[k] * sines[(k * i) % frame]);
    target[start + i] += (window[i] * sum) / frame;
  }
}

/** 10·log10 of the part of `estimate` that is `truth`, scaled, over the rest. */
function siSdr(estimate, truth) {
  let dot = 0;
  let energy = 0;
  for (let i = 0; i < truth.length; i++) {
    dot += estimate[i] * truth[i];
    energy += truth[i] * truth[i];
  }
  const scale = dot / energy;
  let rest = 0;
  for (let i = 0; i < truth.length; i++) rest += (estimate[i] - scale * truth[i]) ** 2;
  return 10 * Math.log10((scale * scale * energy) / rest);
}

export default function plugin({ defineMetric, meanState, targetOf, float32Tensor, toFloat32 }) {
  const ratio = (name, output, summary) =>
    defineMetric({
      name,
      summary,
      unit: "dB",
      better: "higher",
      needs: ["tensor"],
      start: () =>
        meanState((outputs, sample) => {
          const estimate = toFloat32(outputs[output]);
          // the label of a recording that noise was mixed into: the clean samples, then the noisy ones
          const clean = toFloat32(targetOf(sample, "tensor").tensor).subarray(0, estimate.length);
          return siSdr(estimate, clean);
        }),
    });

  return {
    metrics: [
      ratio("si-sdr", "enhanced", "SI-SDR of the enhanced recording"),
      ratio("si-sdr-noisy", "noisy", "SI-SDR of the recording before enhancement"),
    ],

    // the model wants spectra, but its mask is applied to a waveform: ask data preparation for that
    inputs: [{ name: "audio", type: { dtype: "float32", shape: [1, "samples"] } }],

    async run({ session, sample }) {
      const noisy = toFloat32(sample.feeds.audio);
      // half a frame of silence at both ends, so that every sample lies in two frames
      const frames = Math.ceil(noisy.length / hop) + 1;
      const padded = new Float64Array((frames + 1) * hop);
      padded.set(noisy, hop);
      const spectra = Array.from({ length: frames }, (_, t) => spectrum(padded, t * hop));
      const features = new Float32Array(frames * bins);
      spectra.forEach(({ real, imaginary }, t) => {
        for (let k = 0; k < bins; k++)
          features[t * bins + k] = Math.log10(Math.max(real[k] * real[k] + imaginary[k] * imaginary[k], 1e-12));
      });
      const { mask } = await session.run({ input: float32Tensor([1, frames, bins], features) });
      const gains = toFloat32(mask);
      const enhanced = new Float64Array(padded.length);
      spectra.forEach(({ real, imaginary }, t) => {
        const row = gains.subarray(t * bins, (t + 1) * bins);
        addFrame(enhanced, t * hop, {
          real: real.map((value, k) => value * row[k]),
          imaginary: imaginary.map((value, k) => value * row[k]),
        });
      });
      return {
        enhanced: float32Tensor([1, noisy.length], enhanced.subarray(hop, hop + noisy.length)),
        noisy: sample.feeds.audio,
        mask,
      };
    },
  };
}
