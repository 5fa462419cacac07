import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { explanationSchema, quantizeReportSchema } from "../../src/recipes/index.ts";
import { exampleData, exampleModel, inTemporaryFolder, runCli } from "./run-cli.ts";

const data = ["--data", exampleData, "--preprocess", "symmetric", "--no-check"];

describe("quantize and explain", () => {
  it("account for every node, then for every layer's noise", () =>
    inTemporaryFolder(async (folder) => {
      const int8 = join(folder, "int8.onnx");
      const args = ["quantize", exampleModel, ...data, "--ranges", "minmax", "--target", "ort-x64", "-o", int8];
      const made = await runCli([...args, "--json"]);
      expect(made.code, made.stderr).toBe(0);
      const { coverage } = quantizeReportSchema.parse(JSON.parse(made.stdout));
      expect(coverage?.unfused?.filter(({ kind }) => kind === "unfused")).toEqual([]);
      expect(coverage?.nodes.every(({ reason }) => reason !== "")).toBe(true);
      const spoken = await runCli(args);
      expect(spoken.stdout).toMatch(/^\d+ of \d+ compute nodes in integers \([\d.]+ % of MACs\), \d+ fused, \d+ float$/m);

      const page = join(folder, "page.html");
      const call = ["explain", exampleModel, int8, ...data, "--target", "ort-x64", "--samples", "8", "-o", page];
      const { code, stdout, stderr } = await runCli([...call, "--json"]);
      expect(code, stderr).toBe(0);
      const explanation = explanationSchema.parse(JSON.parse(stdout));
      expect(explanation).toMatchObject({ reference: "simplified", samples: 8, unmatched: [] });
      const integer = coverage?.nodes.filter(({ state }) => state === "integer").map(({ node }) => node);
      expect(explanation.layers.map(({ node }) => node)).toEqual(integer);
      expect(readFileSync(page, "utf8")).toContain("What to do next");
      expect(stderr).toContain(`report: ${page}`);
    }));

  it("explain prints what to do, and a table of layers", () =>
    inTemporaryFolder(async (folder) => {
      const int8 = join(folder, "int8.onnx");
      const made = await runCli(["quantize", exampleModel, ...data, "--ranges", "minmax", "--target", "ort-x64", "-o", int8]);
      expect(made.code, made.stderr).toBe(0);
      const { code, stdout, stderr } = await runCli([
        "explain",
        exampleModel,
        int8,
        ...data,
        "--target",
        "ort-x64",
        "--samples",
        "4",
      ]);
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/^outputs: [\d.]+ dB of signal over quantization noise, 4 samples/);
      expect(stdout).toMatch(/^1\. \w+/m);
      expect(stdout).toMatch(/^layer +accumulated dB/m);
    }));

  it("explain refuses a model without quantize nodes in one sentence", () =>
    inTemporaryFolder(async (folder) => {
      const page = join(folder, "page.html");
      const { code, stdout, stderr } = await runCli(["explain", exampleModel, exampleModel, ...data, "-o", page]);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/^error: .+no node between DequantizeLinear and QuantizeLinear nodes\.$/m);
      expect(existsSync(page)).toBe(false);
    }));
});
