export * from "./define.ts";
export { type Detection, detectionTensor, type SuppressionOptions, suppress } from "./detections.ts";
export { type DistanceDef, detectionDistance, distances } from "./distance.ts";
export { type AnyMetric, type AnyPostprocess, metrics, postprocesses } from "./registry.ts";
export * from "./statistics/bootstrap.ts";
export * from "./statistics/distributions.ts";
export * from "./statistics/mcnemar.ts";
export * from "./statistics/percentile.ts";
export * from "./statistics/wilson.ts";
