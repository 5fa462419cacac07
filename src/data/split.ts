import { createHash } from "node:crypto";
import type { Tensor } from "../ir/index.ts";
import { fail } from "../util/errors.ts";
import type { RawImage, RawSample } from "./define.ts";

export const splits = ["calibration", "selection", "final"] as const;
/** Calibration is for ranges, selection for choosing among candidates, final for the number that is reported. */
export type Split = (typeof splits)[number];
export type SplitFractions = Readonly<Record<Split, number>>;
export const defaultFractions: SplitFractions = { calibration: 0.2, selection: 0.3, final: 0.5 };

const addImage = (hash: ReturnType<typeof createHash>, image: RawImage): void => {
  if (image.kind === "encoded") hash.update(image.bytes);
  else hash.update(`${image.pixels.width}x${image.pixels.height}x${image.pixels.channels}:`).update(image.pixels.data);
};
const addTensor = (hash: ReturnType<typeof createHash>, name: string, tensor: Tensor): void => {
  hash.update(`${name}:${tensor.dtype}[${tensor.shape}]:`).update(tensor.bytes());
};

/** sha256 (hex) of a sample's stored features. Labels and names take no part: the same picture twice falls into the same split. */
export function sampleDigest(sample: RawSample): string {
  const hash = createHash("sha256");
  if (sample.image) addImage(hash, sample.image);
  if (sample.text !== undefined) hash.update(sample.text);
  if (sample.tokens) hash.update(sample.tokens.join(" "));
  if (sample.waveform) {
    const { samples } = sample.waveform;
    hash.update(`${sample.waveform.sampleRate}:`).update(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
  }
  for (const [name, tensor] of Object.entries(sample.tensors ?? {})) addTensor(hash, name, tensor);
  return hash.digest("hex");
}

/** A number in [0, 1) that depends on the text alone. */
export function unitHash(text: string): number {
  return createHash("sha256").update(text).digest().readUIntBE(0, 6) / 2 ** 48;
}

/**
 * The split of a sample: a pure function of its content digest and the seed, so adding or removing other samples never moves it.
 * Fractions must add up to at most 1; what is left over belongs to no split (undefined).
 */
export function splitOf(id: string, seed = 0, fractions: SplitFractions = defaultFractions): Split | undefined {
  const total = splits.reduce((sum, split) => sum + fractions[split], 0);
  if (splits.some((split) => !(fractions[split] >= 0)) || total > 1 + 1e-9)
    fail("DATA_FRACTIONS", `Split fractions must be 0 or more and add up to at most 1, not ${JSON.stringify(fractions)}.`);
  let left = unitHash(`${seed}:${id}`);
  for (const split of splits) {
    if (left < fractions[split]) return split;
    left -= fractions[split];
  }
  // rounding of the sum must not lose a sample when the fractions add up to 1
  return total > 1 - 1e-9 ? "final" : undefined;
}
