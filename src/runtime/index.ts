export * from "./executor.ts";
export { ortNodeVersion } from "./load-ort.ts";
export { ortNode } from "./ort-node.ts";
