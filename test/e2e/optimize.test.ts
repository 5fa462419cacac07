import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { float32Tensor, toFloat32 } from "../../src/ir/index.ts";
import { type Manifest, manifestSchema, quantizeReportSchema } from "../../src/recipes/index.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { seededRandom } from "../../src/util/random.ts";
import { launchBrowser, noBrowser, ortWebFolder, serveFiles } from "./browser.ts";
import { exampleData, exampleModel, inTemporaryFolder, type Run, type RunCliOptions, runCli } from "./run-cli.ts";

const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const given = ["--data", exampleData, "--preprocess", "symmetric", "--limit", "300"];
const optimize = (out: string, args: readonly string[] = [], options: RunCliOptions = {}): Promise<Run> =>
  runCli(["optimize", exampleModel, ...given, "--out", out, ...args], options);
const manifestIn = (folder: string): Manifest =>
  manifestSchema.parse(JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")));

/** A whole run on a busy machine with two cores. */
const runMs = 240_000;

describe("optimize", () => {
  let out: string;
  let result: Run;
  beforeAll(async () => {
    out = mkdtempSync(join(tmpdir(), "edgewright-optimize-"));
    // a loose budget: at 300 pictures the accuracy of INT8 is not this test's subject
    result = await optimize(out, ["--max-drop", "5", "--json"]);
  }, runMs);
  afterAll(() => rmSync(out, { recursive: true, force: true }));

  it("prints its manifest, the same that it writes", () => {
    expect(result.code, result.stderr).toBe(0);
    const printed = manifestSchema.parse(JSON.parse(result.stdout));
    expect(printed).toEqual(manifestIn(out));
    expect(printed.status).toBe("done");
    expect(printed.verdict.budgetMet).toBe(true);
  });

  it("writes the files that the manifest names, and no others", async () => {
    const { files, chosen, candidates } = manifestIn(out);
    for (const { path, digest } of files) expect(digestOf(join(out, path)), path).toBe(digest);
    expect(readdirSync(out).sort()).toEqual([...files.map(({ path }) => path), "manifest.json", "report.html"].sort());
    expect(candidates.map(({ name }) => name)).toContain(chosen);
    const session = await ortNode.load(join(out, "model.onnx"));
    const { logits } = await session.run({ image: float32Tensor([1, 3, 48, 48], new Float32Array(6912)) });
    await session.release();
    expect(logits?.shape).toEqual([1, 10]);
  });

  it("measures every number that it reports", () => {
    const { candidates, final, memory, energy } = manifestIn(out);
    const found = [
      ...candidates.flatMap(({ accuracy, latency }) => [accuracy, latency]),
      ...(final?.chosen ?? []),
      ...memory,
      ...energy,
    ];
    const measurements = found.flat().filter((entry) => entry !== null && entry !== undefined);
    expect(measurements.length).toBeGreaterThan(candidates.length);
    for (const { subject, protocol, device } of measurements as { subject: string; protocol: string; device: string }[]) {
      expect(subject).toMatch(/^[0-9a-f]{64}$/);
      expect(protocol.length).toBeGreaterThan(10);
      expect(device.length).toBeGreaterThan(3);
    }
  });

  it.skipIf(noBrowser)("reports in one page that asks the network for nothing", async () => {
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      const requests: string[] = [];
      const complaints: string[] = [];
      page.on("request", (request) => requests.push(request.url()));
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      const url = pathToFileURL(join(out, "report.html")).href;
      await page.goto(url, { waitUntil: "load" });
      expect(complaints).toEqual([]);
      expect(requests.filter((request) => request !== url && !request.startsWith("data:"))).toEqual([]);
      expect(await page.locator("svg").count()).toBeGreaterThan(0);
      const text = await page.locator("main, body").first().textContent();
      for (const { title } of manifestIn(out).candidates) expect(text).toContain(title);
      // nothing may be wider than a narrow window
      await page.setViewportSize({ width: 800, height: 900 });
      expect(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")).toBeLessThanOrEqual(0);
    } finally {
      await browser.close();
    }
  });

  it.skipIf(noBrowser)("gives a model that a browser runs as Node does", async () => {
    const random = seededRandom(2);
    const images = 16;
    const data = Array.from({ length: images * 6912 }, () => random() * 2 - 1);
    const session = await ortNode.load(join(out, "model.onnx"));
    const { logits } = await session.run({ image: float32Tensor([images, 3, 48, 48], data) });
    await session.release();
    const expected = toFloat32(logits as never);
    const server = await serveFiles({ "/ort/": ortWebFolder, "/out/": out });
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      await page.goto(server.url);
      const found = (await page.evaluate(`(async () => {
        const ort = await import("/ort/ort.wasm.min.mjs");
        ort.env.wasm.wasmPaths = "/ort/";
        const session = await ort.InferenceSession.create("/out/model.onnx");
        const image = new ort.Tensor("float32", Float32Array.from(${JSON.stringify(data)}), [${images}, 3, 48, 48]);
        return Array.from((await session.run({ image })).logits.data);
      })()`)) as number[];
      const noise = expected.reduce((sum, value, i) => sum + (value - (found[i] as number)) ** 2, 0);
      const signal = expected.reduce((sum, value) => sum + value ** 2, 0);
      // kernels may round a half step apart, and a step is 1/255 of a range: that is far above 30 dB
      expect(10 * Math.log10(signal / noise)).toBeGreaterThan(30);
    } finally {
      await browser.close();
      await server.close();
    }
  });
});

describe("optimize, cut short or out of reach", () => {
  it(
    "writes the best all the same where no candidate keeps the budget",
    () =>
      inTemporaryFolder(async (folder) => {
        const { code, stderr } = await optimize(folder, ["--max-size", "1kB", "--time-budget", "1s"]);
        expect(code, stderr).toBe(2);
        expect(manifestIn(folder).verdict.budgetMet).toBe(false);
        expect(existsSync(join(folder, "model.onnx"))).toBe(true);
      }),
    runMs,
  );

  it(
    "keeps what it has at Ctrl-C, and goes on from there",
    () =>
      inTemporaryFolder(async (folder) => {
        const stopped = await optimize(folder, [], { interruptAt: /INT8 static/ });
        expect(stopped.code, stopped.stderr).toBe(130);
        expect(stopped.stderr).toContain("--resume");
        const before = manifestIn(folder);
        expect(before.status).toBe("interrupted");
        expect(before.candidates.length).toBeGreaterThan(1);
        const { code, stderr } = await optimize(folder, ["--resume", "--time-budget", "1s"]);
        expect([0, 2], stderr).toContain(code);
        const after = manifestIn(folder);
        expect(after.status).toBe("done");
        expect(after.warnings.join()).not.toContain("nothing to resume");
        // what was measured is not measured again: the time of each measurement is still the first run's. The baseline is
        // run again all the same, since every later candidate is compared with its outputs.
        for (const { name, accuracy } of before.candidates.filter(({ outcome }) => outcome !== "baseline"))
          expect(after.candidates.find((candidate) => candidate.name === name)?.accuracy).toEqual(accuracy);
      }),
    runMs,
  );
});

describe("quantize", () => {
  it("writes one smaller file that runs", () =>
    inTemporaryFolder(async (folder) => {
      const output = join(folder, "small.onnx");
      const { code, stdout, stderr } = await runCli(["quantize", exampleModel, ...given, "-o", output, "--json"]);
      expect(code, stderr).toBe(0);
      quantizeReportSchema.parse(JSON.parse(stdout));
      expect(readFileSync(output).length).toBeLessThan(readFileSync(exampleModel).length / 3);
      await (await ortNode.load(output)).release();
    }));
});
