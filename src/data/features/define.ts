import type { Target, Tensor, TensorType } from "../../ir/index.ts";
import type { Dataset } from "../dataset.ts";
import type { Feature, RawSample } from "../define.ts";
import type { Preprocess } from "../preprocess.ts";

/** A model input as a graph or a session states it. */
export interface ModelInput {
  readonly name: string;
  readonly type: TensorType;
}

export interface ConvertedFeature {
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly geometry?: Readonly<Record<string, number>>;
  /** Set when converting the feature also decides the label (an image's boxes in pixels, a super-resolution target). */
  readonly target?: Target | undefined;
}
export type Convert = (sample: RawSample, id: string) => ConvertedFeature | Promise<ConvertedFeature>;

/** How one kind of feature becomes model inputs. */
export interface FeatureKind {
  /** Names that model inputs may have for it; the first is the feature itself and is bound when only one input is left. */
  readonly names: (feature: Feature) => readonly string[];
  /** Names of inputs that come with it where a model has them (an attention mask). */
  readonly companions?: readonly string[];
  /** `bound` maps those of the names that are used to model inputs. Reads what it needs (a vocabulary) once. */
  readonly prepare: (
    feature: Feature,
    bound: ReadonlyMap<string, ModelInput>,
    preprocess: Preprocess,
    dataset: Dataset,
  ) => Promise<Convert> | Convert;
}
