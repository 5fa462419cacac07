import { existsSync, readFileSync, writeFileSync } from "node:fs";
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
    const top1 = report.measurements.find(({ metric }) => metric === "top1");
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
