export { type Budget, choose, compareCandidates, dropOf, paretoSet, ratioOf, violations } from "./budget.ts";
export { type Candidate, candidateSchema, type Manifest, manifestSchema, type Sensitivity } from "./manifest.ts";
export { observe } from "./observe.ts";
export { type OptimizeRequest, optimize } from "./optimize.ts";
export { type QuantizeReport, type QuantizeRequest, quantizeFile, quantizeReportSchema } from "./quantize.ts";
export { measureMoments, productRatio, quantizeWeights, type WeightOnlyRequest } from "./quantize-weights.ts";
export { measureSensitivity } from "./sensitivity.ts";
export { openSetup, optimizeFractions, type Setup, type SetupRequest } from "./setup.ts";
export { budgetOf, candidateRows, finalLines } from "./summary.ts";
