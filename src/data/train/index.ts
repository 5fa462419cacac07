export { type Augmentation, defineAugmentation } from "./augment/define.ts";
export {
  type Augment,
  type AugmentInput,
  augmentations,
  augmentSchema,
  resolveAugment,
} from "./augment/index.ts";
export {
  type BatchOptions,
  type EpochSource,
  evaluationBatches,
  type TrainingBatch,
  type TrainingBatchOptions,
  trainingBatches,
} from "./batches.ts";
export type { FormOfShape, InputForm } from "./form.ts";
export {
  openTrainingData,
  type PreparedSourceOptions,
  storeSamples,
  type TrainingData,
  type TrainingDataOptions,
} from "./load.ts";
export { prefetch } from "./prefetch.ts";
export type { SampleStore, StoredInput } from "./store.ts";
export { type TargetOptions, type TargetTensor, targetForms } from "./targets.ts";
