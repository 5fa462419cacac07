import { describe, expect, it } from "vitest";
import { targetListSchema, targetSchema, targets } from "../../src/targets/index.ts";
import { runCli } from "./run-cli.ts";

describe("edgewright targets", () => {
  it("lists every target with its scheme and marks this machine", async () => {
    const { code, stdout, stderr } = await runCli(["targets"]);
    expect([code, stderr]).toEqual([0, ""]);
    for (const { name } of targets) expect(stdout).toMatch(new RegExp(`^${name}( \\*)? +\\w`, "m"));
    expect(stdout.match(/^ort-[\w-]+ \*/gm)).toHaveLength(1);
    expect(stdout).toMatch(/^tensorrt .*int8 symmetric × int8 per channel$/m);
  });

  it("shows one, by alias too", async () => {
    const { code, stdout } = await runCli(["targets", "coral"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^edgetpu {2}/);
    expect(stdout).toMatch(/^shapes +static, only the 3 innermost axes longer than 1$/m);
    expect(stdout).toMatch(/^Softmax +follow +output scale 1\/256, zero point -128$/m);
    expect(stdout).toMatch(/^source +\w/m);
  });

  it("prints documents that their schemas promise", async () => {
    const list = targetListSchema.parse(JSON.parse((await runCli(["targets", "--json"])).stdout));
    expect(list.targets.map(({ name }) => name)).toEqual(targets.map(({ name }) => name));
    const one = targetSchema.parse(JSON.parse((await runCli(["targets", "nnapi", "--json"])).stdout));
    expect(one).toEqual(list.targets.find(({ name }) => name === "nnapi"));
  });

  it("names what there is where a target is none", async () => {
    const { code, stdout, stderr } = await runCli(["targets", "toaster"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^error: There is no target "toaster"\.\nhint: Use one of: here, ort-x64 /);
  });
});
