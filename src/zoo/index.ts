export type { Architecture, Published } from "./define.ts";
export { architectures, buildModel, findArchitecture } from "./registry.ts";
