import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { example, exampleData, exampleModel, inTemporaryFolder, runCli } from "./run-cli.ts";

describe("edgewright quantize --method weight-only", () => {
  it("stores weights in 4 bits without data, names the algorithm of each, and the file runs", () =>
    inTemporaryFolder(async (folder) => {
      const output = join(folder, "int4.onnx");
      const args = [
        "quantize",
        exampleModel,
        "--method",
        "weight-only",
        "--bits",
        "4",
        "--block",
        "64",
        "--asymmetric",
        "-o",
        output,
      ];
      const { code, stdout, stderr } = await runCli(args);
      expect(stderr).not.toContain("error");
      expect(code).toBe(0);
      expect(stdout).toMatch(/matrices of products: [67]\.\d+x smaller, scales included/);
      expect(stdout).toMatch(/4\/64\s+(hqq|rtn)/);
      expect(stdout).toContain("option convolutions");
      expect(statSync(output).size).toBeLessThan(statSync(exampleModel).size);
      const evaluated = await runCli(["eval", output, "--data", exampleData, "--limit", "40", "--json"]);
      expect(evaluated.code).toBe(0);
    }));

  it("calibrates on data, and says where they do not suffice", () =>
    inTemporaryFolder(async (folder) => {
      const args = ["quantize", exampleModel, "--method", "weight-only", "--data", exampleData, "--algorithm", "gptq", "--json"];
      const { code, stdout } = await runCli([...args, "--calibration", "4", "-o", join(folder, "out.onnx")], { cwd: example });
      expect(code).toBe(0);
      const report = JSON.parse(stdout) as {
        method: string;
        weights: { algorithm: string; error: number }[];
        skipped: unknown[];
      };
      expect(report.method).toBe("weight-only");
      expect(report.weights).toHaveLength(1);
      expect(report.weights[0]?.algorithm).toMatch(/^(rtn|hqq)$/);
    }));

  it("refuses bits and blocks that no kernel has", async () => {
    for (const [flag, value] of [
      ["--bits", "5"],
      ["--block", "48"],
      ["--algorithm", "magic"],
    ] as const) {
      const { code, stderr } = await runCli([
        "quantize",
        exampleModel,
        "--method",
        "weight-only",
        flag,
        value,
        "-o",
        "never.onnx",
      ]);
      expect(code).toBe(1);
      expect(stderr).toContain(`does not take this ${flag.slice(2)}`);
    }
  });
});
