export { parseTrainConfig, readTrainConfig, type TrainConfig, type TrainConfigInput, trainConfigSchema } from "./config.ts";
export { type TrainManifest, trainManifestSchema } from "./manifest.ts";
export { describeTraining, type TrainingOverview, train } from "./train.ts";
