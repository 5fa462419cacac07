export * from "./define.ts";
export * from "./describe.ts";
export * from "./registry.ts";
