export * from "./executor.ts";
export * from "./executors.ts";
export { ortNodeVersion } from "./load-ort.ts";
export { fileDigest, loadModel, saveModel } from "./model-file.ts";
export { ortNode } from "./ort-node.ts";
export * from "./stateful.ts";
export { localRuntime } from "./stateful-local.ts";
export { workerRuntime } from "./stateful-worker.ts";
