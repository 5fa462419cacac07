import type { Feature } from "../define.ts";
import { audioFeature } from "./audio.ts";
import type { FeatureKind } from "./define.ts";
import { imageFeature } from "./image.ts";
import { tensorFeature } from "./tensor.ts";
import { textFeature, tokensFeature } from "./text.ts";

export const featureKinds: Readonly<Record<Feature["kind"], FeatureKind>> = {
  image: imageFeature,
  text: textFeature,
  tokens: tokensFeature,
  waveform: audioFeature,
  tensor: tensorFeature,
};
