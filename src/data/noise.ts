import { createHash } from "node:crypto";

/** Uniform numbers in (0, 1) from a text seed (xorshift, Marsaglia 2003, 32 bits). */
export function uniformFrom(seed: string): () => number {
  // xorshift never leaves zero
  let state = createHash("sha256").update(seed).digest().readUInt32LE(0) || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** White Gaussian noise (Box-Muller) added at `snrDb` decibels below the signal's power; the same seed gives the same noise. */
export function addNoise(signal: Float32Array, snrDb: number, seed: string): Float32Array {
  const uniform = uniformFrom(seed);
  const gaussian = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const noise = Float32Array.from(signal, gaussian);
  const power = (values: Float32Array): number =>
    values.reduce((sum, value) => sum + value * value, 0) / Math.max(1, values.length);
  const noisePower = power(noise);
  const gain = noisePower === 0 ? 0 : Math.sqrt(power(signal) / noisePower / 10 ** (snrDb / 10));
  return signal.map((value, i) => value + gain * (noise[i] as number));
}
