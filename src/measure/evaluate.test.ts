import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { noRealData, realData, realModel } from "../../test/real-data.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { type EvalReport, evalReportSchema, evaluate } from "./evaluate.ts";
import { expandVariables, parseEvalConfig, readEvalConfig } from "./evaluate-config.ts";
import { loadPlugin } from "./evaluate-plugin.ts";

const bench = resolve(fileURLToPath(new URL("../../bench/eval", import.meta.url)));
let folder: string;
const savedRoot = process.env.EDGEWRIGHT_DATA;
beforeAll(async () => {
  process.env.EDGEWRIGHT_DATA ??= realData();
  folder = await mkdtemp(join(tmpdir(), "edgewright-eval-"));
});
afterAll(async () => {
  if (savedRoot === undefined) delete process.env.EDGEWRIGHT_DATA;
  await rm(folder, { recursive: true, force: true });
});

async function runConfig(name: string, change: Record<string, unknown> = {}): Promise<EvalReport> {
  const config = parseEvalConfig({ ...(await readEvalConfig(join(bench, `${name}.json`))), ...change }, bench);
  return evalReportSchema.parse(await evaluate(config, ortNode));
}

describe("configuration", () => {
  it("paths start from the file's folder", () => {
    const config = parseEvalConfig({ model: "m.onnx", data: { path: "/d" }, plugins: ["p.mjs"] }, "/base");
    expect(config).toMatchObject({
      model: resolve("/base", "m.onnx"),
      data: { path: "/d", options: {} },
      plugins: [resolve("/base", "p.mjs")],
    });
  });
  it("an unset variable, an unknown key, no JSON: a clear sentence each", async () => {
    expect(() => expandVariables("${NOT_SET_ANYWHERE}/x", {})).toThrow(/NOT_SET_ANYWHERE, which is not set/);
    expect(expandVariables("${A}/x", { A: "/a" })).toBe("/a/x");
    expect(() => parseEvalConfig({ model: "m", dta: 1 }, "/")).toThrow(/not valid/);
    await writeFile(join(folder, "bad.json"), "{");
    await expect(readEvalConfig(join(folder, "bad.json"))).rejects.toThrow(/is not JSON/);
    await expect(readEvalConfig(join(folder, "none.json"))).rejects.toThrow(/cannot be read/);
  });
});

describe("plug-ins", () => {
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  };
  it("a function gets the toolkit and its options; named exports do too", async () => {
    const made = await loadPlugin(
      await write(
        "a.mjs",
        "export default (kit, options) => ({ metrics: [kit.defineMetric({ name: options.name, needs: [], start: () => null })] });",
      ),
      { name: "mine" },
    );
    expect(made.metrics?.[0]?.name).toBe("mine");
    expect((await loadPlugin(await write("b.mjs", "export const run = async () => ({});"))).run).toBeTypeOf("function");
  });
  it("what is no plug-in is refused by name", async () => {
    await expect(loadPlugin(join(folder, "missing.mjs"))).rejects.toThrow(/no plug-in file/);
    await expect(loadPlugin(await write("c.mjs", "export const other = 1;"))).rejects.toThrow(/exports none of/);
    await expect(loadPlugin(await write("d.mjs", "export const metrics = [{}];"))).rejects.toThrow(/metric without name/);
    await expect(loadPlugin(await write("e.mjs", "syntax error here"))).rejects.toThrow(/cannot be loaded/);
  });
});

describe.skipIf(noRealData)("baselines on real data", () => {
  for (const name of ["mnist", "resnet8", "sst2", "vww", "gpt-nano-sort", "ultraface"])
    it(`${name} comes out as expected`, async () => {
      const report = await runConfig(name, { check: false });
      expect(report.expectations.length).toBeGreaterThan(0);
      for (const expected of report.expectations) expect(expected, expected.metric).toMatchObject({ met: true });
      for (const measurement of report.measurements) expect(measurement.interval, measurement.metric).toBeDefined();
    });

  it("the example of docs/plugins.md runs as it stands there", async () => {
    const text = await readFile(resolve(bench, "../../docs/plugins.md"), "utf8");
    const block = (language: string): string => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? "";
    await writeFile(join(folder, "confidence.mjs"), block("js"));
    const config = parseEvalConfig({ ...JSON.parse(block("json")), check: false }, folder);
    const report = evalReportSchema.parse(await evaluate(config, ortNode));
    expect(report.measurements[0]).toMatchObject({ metric: "confident-accuracy", n: 500 });
    // on the very same samples, leaving the unsure predictions out must raise the accuracy
    const all = await runConfig("resnet8", { limit: 500, check: false, expect: [] });
    expect(report.measurements[0]?.value).toBeGreaterThan(all.measurements[0]?.value as number);
  });

  it("a wrong preprocessing gets a warning that names a better one", async () => {
    const report = await runConfig("resnet20", { preprocess: "raw-255", limit: 100, expect: [] });
    expect(report.warnings.join("\n")).toMatch(/preset "(cifar|imagenet)[\w-]*" gives top-1 8\d\.\d % instead of/);
    expect(report.warnings.join("\n")).toMatch(/no better than guessing among 10 classes/);
  });
  it("the right one gets none", async () => {
    const report = await runConfig("resnet20", { limit: 100, expect: [] });
    expect(report.warnings).toEqual([]);
  });
  it("finds a preprocessing where none is given, and says so", async () => {
    const report = await runConfig("resnet8", { preprocess: undefined, limit: 200, expect: [] });
    expect(String(report.preprocess)).toMatch(/raw-255$/);
    expect(report.warnings[0]).toContain("No preprocessing was given");
  });
  it("against itself as baseline nothing differs", async () => {
    const report = await runConfig("resnet8", {
      baseline: realModel("resnet8-cifar10-mlperf"),
      limit: 50,
      check: false,
      expect: [],
    });
    expect(report.baseline?.differences[0]).toMatchObject({ difference: 0, mcNemar: { lost: 0, gained: 0, p: 1 } });
    expect(report.measurements.find(({ metric }) => metric === "agreement")?.value).toBe(100);
  });
  it("a missed expectation is said", async () => {
    const report = await runConfig("resnet8", { limit: 50, check: false, expect: [{ metric: "top-1", value: 10, within: 1 }] });
    expect(report.expectations[0]?.met).toBe(false);
  });
});
