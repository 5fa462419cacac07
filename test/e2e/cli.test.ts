import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { verbs } from "../../src/cli/verbs.ts";
import { exampleData, exampleModel, inTemporaryFolder, root, runCli } from "./run-cli.ts";

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

describe("edgewright", () => {
  it("lists every verb", async () => {
    const { code, stdout, stderr } = await runCli(["--help"]);
    expect(code).toBe(0);
    expect(stderr).toBe("");
    for (const verb of Object.keys(verbs)) expect(stdout).toMatch(new RegExp(`^ {2}${verb} +\\w`, "m"));
  });

  it("tells its version", async () => {
    expect(await runCli(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("calls it a mistake to name no verb, or one that does not exist, and guesses", async () => {
    expect((await runCli([])).code).toBe(1);
    const { code, stdout, stderr } = await runCli(["inspcet", "model.onnx"]);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toBe(
      "error: There is no verb 'inspcet'.\nhint: Did you mean 'inspect'? `edgewright --help` lists the verbs.\n",
    );
    // a property of every object is no verb
    expect((await runCli(["constructor"])).code).toBe(1);
  });

  it.each(Object.keys(verbs))("%s --help explains with an example", async (verb) => {
    const { code, stdout } = await runCli([verb, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: edgewright ${verb} `);
    expect(stdout).toContain("--json");
    expect(stdout).toMatch(new RegExp(`^ +edgewright ${verb}`, "m"));
    expect((await runCli(["help", verb])).stdout).toBe(stdout);
  });

  it.each(Object.keys(verbs))("%s refuses an option that it does not have", async (verb) => {
    const { code, stdout, stderr } = await runCli([verb, "--frobnicate"]);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    // where something required is missing too, either may be told first
    expect(stderr).toMatch(/^error: (unknown option '--frobnicate'|required option|missing required argument)/);
    expect(stderr).toContain(`hint: \`edgewright ${verb} --help\``);
    expect(stderr).not.toContain("    at ");
  });
});

const modelVerbs = Object.keys(verbs).filter((verb) => verb !== "doctor");
const callOn = (verb: string, model: string, folder: string): string[] => {
  const out = join(folder, "out");
  const rest: Record<string, string[]> = {
    simplify: ["-o", join(folder, "out.onnx")],
    eval: ["--data", exampleData],
    quantize: ["--data", exampleData, "-o", join(folder, "out.onnx")],
    explain: [exampleModel, "--data", exampleData],
    optimize: ["--data", exampleData, "--out", out],
  };
  return [verb, model, ...(rest[verb] ?? [])];
};

describe("broken input", () => {
  it.each(modelVerbs)("%s: one sentence, exit code 1, nothing written", (verb) =>
    inTemporaryFolder(async (folder) => {
      const broken = join(folder, "broken.onnx");
      writeFileSync(broken, readFileSync(exampleModel).subarray(0, 5000));
      for (const model of [broken, join(folder, "missing.onnx"), folder]) {
        const { code, stdout, stderr } = await runCli(callOn(verb, model, folder));
        expect([code, stdout], stderr).toEqual([1, ""]);
        expect(stderr).toMatch(/^error: .+$/m);
        expect(stderr).not.toContain("    at ");
      }
      expect(existsSync(join(folder, "out.onnx"))).toBe(false);
    }),
  );
});

describe("the example", () => {
  it("simplifies to fewer nodes", () =>
    inTemporaryFolder(async (folder) => {
      const output = join(folder, "simple.onnx");
      const { simplifyReportSchema } = await import("../../src/measure/simplify-file.ts");
      const { code, stdout, stderr } = await runCli(["simplify", exampleModel, "-o", output, "--json"]);
      expect(code, stderr).toBe(0);
      simplifyReportSchema.parse(JSON.parse(stdout));
      expect(existsSync(output)).toBe(true);
    }));

  it("evaluates to the accuracy that its own test finds", async () => {
    const { evalReportSchema } = await import("../../src/measure/evaluate.ts");
    const args = ["eval", exampleModel, "--data", exampleData, "--preprocess", "symmetric", "--no-check", "--json"];
    const { code, stdout, stderr } = await runCli(args);
    expect(code, stderr).toBe(0);
    const report = evalReportSchema.parse(JSON.parse(stdout));
    const top1 = report.measurements.find(({ metric }) => metric === "top-1");
    expect(top1?.value, stdout).toBeGreaterThan(95);
  });

  it("says what the machine has", async () => {
    const { doctorSchema } = await import("../../src/measure/doctor.ts");
    const { code, stdout } = await runCli(["doctor", "--json"]);
    expect(code).toBe(0);
    const { checks } = doctorSchema.parse(JSON.parse(stdout));
    expect(checks.find(({ name }) => name === "ort-node")?.status).toBe("ok");
  });
});

describe("documents on stdout", () => {
  it("inspect: the facts that the contract names", async () => {
    const { inspectSchema } = await import("../../src/measure/inspect-schema.ts");
    const { code, stdout, stderr } = await runCli(["inspect", exampleModel, "--json"]);
    expect(code, stderr).toBe(0);
    const facts = inspectSchema.parse(JSON.parse(stdout));
    expect(facts.model).toMatchObject({ bytes: statSync(exampleModel).size, opset: 21 });
    expect(facts.model.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.inputs.map(({ name }) => name)).toEqual(["image"]);
    expect(facts.outputs.map(({ name }) => name)).toEqual(["logits"]);
    expect(facts.nodes).toBe(13);
    // block by block: 48²·32·27 + 24²·64·288 + 12²·128·576, one per element to normalise, and 18,432·10 for the head
    const normalised = 48 ** 2 * 32 + 24 ** 2 * 64 + 12 ** 2 * 128;
    expect(facts.macs).toBe(1_990_656 + 10_616_832 + 10_616_832 + normalised + 184_320);
    expect(facts.opTypes).toMatchObject({ Conv: 3, BatchNormalization: 3, Gemm: 1 });
    expect(facts.peakActivationBytes).toBeGreaterThan(0);
    expect(facts.layers).toHaveLength(13);
    expect(facts.warnings).toBeInstanceOf(Array);
  });

  it("bench: samples of both subjects and the ratio with its interval", async () => {
    const { benchSchema } = await import("../../src/measure/bench.ts");
    const args = ["bench", exampleModel, exampleModel, "--rounds", "20", "--no-memory", "--no-energy", "--json"];
    const { code, stdout, stderr } = await runCli(args);
    expect(code, stderr).toBe(0);
    const report = benchSchema.parse(JSON.parse(stdout));
    expect(report.models.map(({ latency }) => latency.p50.samples?.length)).toEqual([20, 20]);
    const { ratio, verdict } = report.ratios[0] as (typeof report.ratios)[number];
    const [low, high] = ratio.interval as [number, number];
    expect(low).toBeLessThanOrEqual(ratio.value);
    expect(high).toBeGreaterThanOrEqual(ratio.value);
    // one file against itself: no verdict on a ratio that may well be 1 (on a busy machine one interval in twenty misses it)
    if (low <= 1 && high >= 1) expect(verdict).toBe("not distinguishable");
  });
});
