/**
 * What a newcomer needs, one function per verb. Everything beneath is in the subpaths: edgewright/ir, /ops, /formats, /passes,
 * /runtime, /data, /metrics, /measure, /targets, /recipes.
 */
export { openDataset } from "./data/index.ts";
export { benchModels as bench } from "./measure/bench.ts";
export { diagnose } from "./measure/doctor.ts";
export { evaluate } from "./measure/evaluate.ts";
export { inspectModel as inspect } from "./measure/inspect.ts";
export { compareLatency, measureLatency } from "./measure/latency.ts";
export { simplifyFile as simplify } from "./measure/simplify-file.ts";
export { explain } from "./recipes/explain/index.ts";
export { optimize } from "./recipes/optimize.ts";
export { quantizeFile as quantize } from "./recipes/quantize.ts";
export { train } from "./recipes/train/index.ts";
export { loadModel as load, saveModel as save } from "./runtime/model-file.ts";
export { ortNode } from "./runtime/ort-node.ts";
export { EdgewrightError } from "./util/errors.ts";
export type { Progress, ProgressEvent, RunOptions } from "./util/progress.ts";
export { buildModel } from "./zoo/index.ts";
