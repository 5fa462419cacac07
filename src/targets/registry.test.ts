import { describe, expect, test } from "vitest";
import { findTarget, targets } from "./registry.ts";

const x64 = { arch: "x64", instructionSets: ["avx2", "avx512_vnni"] };

describe("targets", () => {
  test("names and aliases are unique", () => {
    const names = targets.flatMap(({ name, aliases }) => [name, ...aliases]);
    expect(new Set(names).size).toBe(names.length);
  });

  test("here is what the machine is", () => {
    expect(findTarget("here", x64).name).toBe("ort-x64");
    expect(findTarget("here", { arch: "x64", instructionSets: ["avx2"] }).name).toBe("ort-x64-novnni");
    expect(findTarget("auto", { arch: "arm64", instructionSets: [] }).name).toBe("ort-arm64");
  });

  test("aliases find their target, other words list what there is", () => {
    expect(findTarget("android-arm64", x64).name).toBe("ort-arm64");
    expect(findTarget("Browser", x64).executor).toBe("ort-web");
    expect(() => findTarget("toaster", x64)).toThrow(/no target "toaster"/);
  });

  test("names of earlier versions still find their target", () => {
    expect(findTarget("ort-x64-vnni", x64).name).toBe("ort-x64");
    expect(findTarget("ort-web", x64).name).toBe("ort-web-wasm");
  });

  test("without VNNI weights have 7 bits, with it 8", () => {
    expect(findTarget("ort-x64-novnni", x64).quantization.weight.reduceRange).toBe(true);
    expect(findTarget("ort-x64", x64).quantization.weight.reduceRange).toBe(false);
  });

  test("only onnxruntime on a processor is measured here", () => {
    const measured = targets.filter(({ measuredBy }) => measuredBy(x64)).map(({ name }) => name);
    expect(measured).toEqual(["ort-x64", "ort-web-wasm"]);
  });
});
