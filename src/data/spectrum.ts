import FFT from "fft.js";

export type WindowName = "hann" | "sqrt-hann" | "hamming" | "rectangular";

/** A periodic window of `length` samples, the form that overlapping frames need. */
function windowOf(name: WindowName, length: number): Float64Array {
  const cosine = (i: number): number => Math.cos((2 * Math.PI * i) / length);
  const shapes: Readonly<Record<WindowName, (i: number) => number>> = {
    hann: (i) => 0.5 - 0.5 * cosine(i),
    "sqrt-hann": (i) => Math.sqrt(0.5 - 0.5 * cosine(i)),
    hamming: (i) => 0.54 - 0.46 * cosine(i),
    rectangular: () => 1,
  };
  return Float64Array.from({ length }, (_, i) => shapes[name](i));
}

/** Complex numbers, real and imaginary parts in turn. */
export type Complex = Float64Array;
export type Transform = (input: Complex) => Complex;

function powerOfTwoTransform(size: number): Transform {
  const fft = new FFT(size);
  return (input) => {
    const output = new Float64Array(2 * size);
    fft.transform(output as unknown as number[], input as unknown as number[]);
    return output;
  };
}

const conjugate = (values: Complex): Complex => values.map((value, i) => (i % 2 === 1 ? -value : value));

/** Any size by a convolution of a power-of-two size (Bluestein 1970, the chirp z-transform). */
function chirpTransform(size: number): Transform {
  let wide = 4;
  while (wide < 2 * size - 1) wide *= 2;
  const inner = powerOfTwoTransform(wide);
  const chirp = new Float64Array(2 * size);
  for (let i = 0; i < size; i++) {
    // i*i modulo 2*size keeps the angle small, so that large sizes stay exact
    const angle = (Math.PI * ((i * i) % (2 * size))) / size;
    chirp[2 * i] = Math.cos(angle);
    chirp[2 * i + 1] = -Math.sin(angle);
  }
  const kernel = new Float64Array(2 * wide);
  for (let i = 0; i < size; i++)
    for (const at of [i, (wide - i) % wide]) {
      kernel[2 * at] = chirp[2 * i] as number;
      kernel[2 * at + 1] = -(chirp[2 * i + 1] as number);
    }
  const kernelSpectrum = inner(kernel);
  return (input) => {
    const padded = new Float64Array(2 * wide);
    multiply(input, chirp, padded, size);
    const spectrum = inner(padded);
    multiply(spectrum, kernelSpectrum, spectrum, wide);
    // the inverse transform is the conjugate of the transform of the conjugate
    const convolved = conjugate(inner(conjugate(spectrum))).map((value) => value / wide);
    const output = new Float64Array(2 * size);
    multiply(convolved, chirp, output, size);
    return output;
  };
}

function multiply(a: Complex, b: Complex, into: Complex, count: number): void {
  for (let i = 0; i < 2 * count; i += 2) {
    const [ar, ai, br, bi] = [a[i], a[i + 1], b[i], b[i + 1]] as [number, number, number, number];
    into[i] = ar * br - ai * bi;
    into[i + 1] = ar * bi + ai * br;
  }
}

/** A discrete Fourier transform of `size` complex numbers. */
export const transformOf = (size: number): Transform =>
  size > 2 && (size & (size - 1)) === 0 ? powerOfTwoTransform(size) : chirpTransform(size);

export interface FrameOptions {
  readonly frame: number;
  readonly hop: number;
  readonly fftSize: number;
  readonly window: WindowName;
}

/** Number of whole frames in `samples`; 0 when it is shorter than one frame. */
export const frameCount = (samples: number, { frame, hop }: Pick<FrameOptions, "frame" | "hop">): number =>
  samples < frame ? 0 : 1 + Math.floor((samples - frame) / hop);

/** The spectrum of each windowed frame: `fftSize/2 + 1` complex bins. */
export function shortTimeFourier(samples: Float32Array, options: FrameOptions): Complex[] {
  const { frame, hop, fftSize } = options;
  const window = windowOf(options.window, frame);
  const transform = transformOf(fftSize);
  const bins = Math.floor(fftSize / 2) + 1;
  const input = new Float64Array(2 * fftSize);
  return Array.from({ length: frameCount(samples.length, options) }, (_, t) => {
    for (let i = 0; i < frame; i++) input[2 * i] = (samples[t * hop + i] as number) * (window[i] as number);
    return transform(input).subarray(0, 2 * bins);
  });
}

/** Overlap-add of frames back to samples, each windowed again: exact for a sqrt-Hann window with half overlap. */
export function inverseShortTimeFourier(frames: readonly Complex[], options: FrameOptions): Float32Array {
  const { frame, hop, fftSize } = options;
  const window = windowOf(options.window, frame);
  const transform = transformOf(fftSize);
  const samples = new Float32Array(frames.length === 0 ? 0 : (frames.length - 1) * hop + frame);
  frames.forEach((half, t) => {
    const full = new Float64Array(2 * fftSize);
    full.set(half);
    for (let k = 1; k < fftSize / 2; k++) {
      full[2 * (fftSize - k)] = half[2 * k] as number;
      full[2 * (fftSize - k) + 1] = -(half[2 * k + 1] as number);
    }
    const time = transform(conjugate(full));
    for (let i = 0; i < frame; i++)
      samples[t * hop + i] = (samples[t * hop + i] as number) + ((time[2 * i] as number) / fftSize) * (window[i] as number);
  });
  return samples;
}

/** |X|² of each bin. */
export const powerOf = (spectrum: Complex): Float64Array =>
  Float64Array.from(
    { length: spectrum.length / 2 },
    (_, k) => (spectrum[2 * k] as number) ** 2 + (spectrum[2 * k + 1] as number) ** 2,
  );
