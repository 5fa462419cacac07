export * from "./attributes.ts";
export * from "./cost.ts";
export * from "./define.ts";
export * from "./infer.ts";
export * from "./liveness.ts";
export * from "./registry.ts";
export * from "./static-shapes.ts";
