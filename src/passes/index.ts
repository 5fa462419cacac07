export * from "./define.ts";
export * from "./manager.ts";
