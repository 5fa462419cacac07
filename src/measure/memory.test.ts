import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { noRealData, realModel } from "../../test/real-data.ts";
import { float32Tensor } from "../ir/index.ts";
import { runInProcess } from "./job-process.ts";
import { measureProcess, type ProcessTimes, processMeasurements, processMeasurementsSchema } from "./memory.ts";

const times = (extra: Partial<ProcessTimes> = {}): ProcessTimes => ({
  rssBefore: 100,
  rssLoaded: 150,
  rssPeak: 180,
  coldStartMs: 200,
  runtimeMs: 120,
  createMs: 50,
  firstRunMs: 30,
  ...extra,
});

describe("processMeasurements", () => {
  it("takes what the model adds, and the median process", () => {
    const all = [times({ arenaPeakBytes: 64 }), times({ rssPeak: 190, coldStartMs: 900 }), times({ rssPeak: 170 })];
    const result = processMeasurements("m.onnx", all, { device: "test", threads: 2 });
    expect(processMeasurementsSchema.parse(result)).toEqual(result);
    expect(result.peakMemory).toMatchObject({ value: 80, unit: "bytes", samples: [80, 90, 70], subject: "m.onnx" });
    expect(result.peakRss.value).toBe(180);
    expect(result.loadedMemory.value).toBe(50);
    expect(result.coldStart).toMatchObject({ value: 200, unit: "ms" });
    expect(result.coldStart.protocol).toContain("median of 3 fresh processes; ort-node, 2 threads");
    expect(result.arena?.value).toBe(64);
    expect(processMeasurements("m.onnx", [times()]).arena).toBeUndefined();
  });
});

describe("runInProcess", () => {
  const script = (text: string) => {
    const path = join(mkdtempSync(join(tmpdir(), "edgewright-")), "job.mjs");
    writeFileSync(path, text);
    return pathToFileURL(path);
  };

  it("carries bytes there and back", async () => {
    const echo = script("process.once('message', (job) => process.send({ result: job.bytes.map((b) => b + 1) }));");
    expect(await runInProcess(echo, { bytes: new Uint8Array([1, 2]) }, { subject: "x" })).toEqual(new Uint8Array([2, 3]));
  });

  it("passes an expected failure on with its code and hint", async () => {
    const failing = script(
      "process.once('message', () => process.send({ failure: { code: 'X', message: 'no', hint: 'try' } }));",
    );
    await expect(runInProcess(failing, {}, { subject: "x" })).rejects.toMatchObject({ code: "X", message: "no", hint: "try" });
  });

  it("says how a process died, with its last words", async () => {
    const dying = script("console.error('out of cheese'); process.exit(3);");
    await expect(runInProcess(dying, {}, { subject: "m.onnx" })).rejects.toThrow(/runs m.onnx ended with code 3.*out of cheese/);
  });

  it("ends a process that hangs, or that nobody waits for any more", async () => {
    const hanging = script("process.on('message', () => {});");
    await expect(runInProcess(hanging, {}, { subject: "x", timeoutMs: 300 })).rejects.toThrow(/no result in 0.3 s/);
    const stop = new AbortController();
    const run = runInProcess(hanging, {}, { subject: "x", signal: stop.signal });
    stop.abort(new Error("stopped"));
    await expect(run).rejects.toThrow("stopped");
  });
});

describe.skipIf(noRealData)("measureProcess", () => {
  const feeds = { input_1: float32Tensor([1, 3, 32, 32], new Float32Array(3072)) };

  it.each(["ort-node", "ort-web"] as const)("measures a real model on %s", async (executorName) => {
    const path = realModel("resnet8-cifar10-mlperf");
    const result = await measureProcess(path, feeds, { executorName, processes: 1 });
    expect(result.peakMemory.value).toBeGreaterThan(0);
    // the process holds at least Node itself
    expect(result.peakRss.value).toBeGreaterThan(20e6);
    expect(result.peakRss.value).toBeGreaterThan(result.peakMemory.value);
    expect(result.coldStart.value).toBeGreaterThan(result.sessionCreate.value + result.firstRun.value);
    // the largest activation of this model is 16 x 32 x 32 floats
    if (executorName === "ort-node") expect(result.arena?.value).toBeGreaterThan(16 * 32 * 32 * 4);
    else expect(result.arena).toBeUndefined();
  });

  it("reports what the runtime says about a file that is none", async () => {
    await expect(measureProcess(realModel("mnist-cntk").replace("mnist", "none"), feeds)).rejects.toMatchObject({
      code: "ORT_LOAD",
    });
  });
});
