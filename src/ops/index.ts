export * from "./attributes.ts";
export * from "./define.ts";
export * from "./infer.ts";
export * from "./registry.ts";
