export * from "./attributes.ts";
export * from "./define.ts";
export * from "./registry.ts";
