/** HTK's mel scale. */
const toMel = (hz: number): number => 2595 * Math.log10(1 + hz / 700);
const fromMel = (mel: number): number => 700 * (10 ** (mel / 2595) - 1);

export interface MelOptions {
  readonly mels: number;
  readonly lowHz: number;
  readonly highHz: number;
  readonly sampleRate: number;
  readonly fftSize: number;
}

/** Triangular filters, evenly spaced on the mel scale, peak 1 (HTK); row by row over the `fftSize/2 + 1` bins. */
export function melFilters({ mels, lowHz, highHz, sampleRate, fftSize }: MelOptions): readonly Float64Array[] {
  const bins = Math.floor(fftSize / 2) + 1;
  const [low, high] = [toMel(lowHz), toMel(highHz)];
  const edges = Array.from({ length: mels + 2 }, (_, i) => fromMel(low + ((high - low) * i) / (mels + 1)));
  return Array.from({ length: mels }, (_, m) => {
    const [left, centre, right] = edges.slice(m, m + 3) as [number, number, number];
    return Float64Array.from({ length: bins }, (_, k) => {
      const hz = (k * sampleRate) / fftSize;
      return Math.max(0, Math.min((hz - left) / (centre - left), (right - hz) / (right - centre)));
    });
  });
}

export const applyFilters = (filters: readonly Float64Array[], power: Float64Array): Float64Array =>
  Float64Array.from(filters, (filter) => filter.reduce((sum, weight, k) => sum + weight * (power[k] as number), 0));

/** The first `count` coefficients of the orthonormal DCT-II. */
export function cosineTransform(values: Float64Array, count: number): Float64Array {
  const n = values.length;
  return Float64Array.from({ length: count }, (_, k) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (values[i] as number) * Math.cos((Math.PI * k * (i + 0.5)) / n);
    return sum * Math.sqrt((k === 0 ? 1 : 2) / n);
  });
}
