/** Zero crossings of the sinc on each side; 16 keeps the error below 16-bit noise for speech. */
const halfWidth = 16;

/** Changes the sample rate by a Hann-windowed sinc that also removes what lies above the new half rate. */
export function resample(samples: Float32Array, from: number, to: number): Float32Array {
  const step = from / to;
  const cutoff = Math.min(1, to / from);
  const reach = halfWidth / cutoff;
  return Float32Array.from({ length: Math.floor((samples.length * to) / from) }, (_, i) => {
    const centre = i * step;
    let sum = 0;
    for (let at = Math.max(0, Math.ceil(centre - reach)); at <= Math.min(samples.length - 1, Math.floor(centre + reach)); at++) {
      const x = at - centre;
      const angle = Math.PI * x * cutoff;
      const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
      sum += (samples[at] as number) * sinc * cutoff * (0.5 + 0.5 * Math.cos((Math.PI * x) / reach));
    }
    return sum;
  });
}
