import { describe, expect, it } from "vitest";
import { float32Tensor } from "../ir/index.ts";
import type { Executor } from "../runtime/executor.ts";
import type { Device } from "./device.ts";
import { diagnose, doctorSchema, findProgram } from "./doctor.ts";

const device: Device = {
  os: "Linux 6.1",
  arch: "x64",
  cpu: "a CPU",
  cores: 4,
  memoryBytes: 8e9,
  instructionSets: ["avx2", "avx_vnni"],
  node: "20.19.0",
  summary: "a CPU, 4 cores",
};
const answering = (values: readonly number[]): Executor => ({
  name: "fake",
  version: "9.9",
  load: async () => ({
    inputs: [],
    outputNames: ["y"],
    run: async () => ({ y: float32Tensor([3], values) }),
    release: async () => {},
  }),
});
const bare = {
  device,
  load: async () => answering([0, 0, 2]),
  find: () => undefined,
  energy: { counters: [], locked: 0 },
  loadImages: async () => undefined,
};
const statusOf = async (options: Parameters<typeof diagnose>[0]) =>
  Object.fromEntries((await diagnose(options)).checks.map((check) => [check.name, check]));

describe("diagnose", () => {
  it("tells what is there from what is not, and what that costs", async () => {
    const checks = await statusOf(bare);
    expect(checks["ort-node"]).toMatchObject({ status: "ok", cost: null });
    expect(checks["ort-node"]?.detail).toContain("9.9");
    expect(checks.AVX2).toMatchObject({ status: "ok", cost: null });
    expect(checks.VNNI).toMatchObject({ status: "ok", detail: "AVX-VNNI" });
    expect(checks["AVX-512"]).toMatchObject({ status: "missing" });
    for (const name of ["AVX-512", "AMX INT8", "python3", "chromium", "energy counters (RAPL)"])
      expect(checks[name]?.cost?.length).toBeGreaterThan(10);
    expect(checks["energy counters (RAPL)"]?.detail).toBe("not offered by this system");
  });

  it("does not trust a runtime that computes wrongly or does not start", async () => {
    const wrong = await statusOf({ ...bare, load: async () => answering([-1, 0, 2]) });
    expect(wrong["ort-web"]).toMatchObject({ status: "broken", detail: "computes Relu(-1, 0, 2) as (-1,0,2)" });
    const dead = await statusOf({
      ...bare,
      load: async () => {
        throw new Error("libonnxruntime.so.1: cannot open shared object file\nsecond line");
      },
    });
    expect(dead["ort-node"]).toMatchObject({ status: "broken", detail: "libonnxruntime.so.1: cannot open shared object file" });
  });

  it("says that it does not know rather than guess", async () => {
    const checks = await statusOf({ ...bare, device: { ...device, instructionSets: null } });
    expect(checks.VNNI?.status).toBe("unknown");
    const arm = await statusOf({ ...bare, device: { ...device, arch: "arm64", instructionSets: ["asimd", "asimddp"] } });
    expect(arm["NEON dot product"]?.status).toBe("ok");
    expect(arm["NEON I8MM"]?.status).toBe("missing");
    expect(arm.VNNI).toBeUndefined();
  });

  it("knows a counter that only root may read", async () => {
    const checks = await statusOf({ ...bare, energy: { counters: [], locked: 1 } });
    expect(checks["energy counters (RAPL)"]?.detail).toContain("root");
  });

  it("finds programs by name and by path", () => {
    expect(findProgram(process.execPath)).toBe(process.execPath);
    expect(findProgram("surely-no-such-program")).toBeUndefined();
  });

  it("runs both runtimes on this machine", async () => {
    const report = await diagnose();
    expect(doctorSchema.parse(report)).toEqual(report);
    const runtimes = report.checks.filter((check) => check.group === "runtime");
    expect(runtimes.map((check) => [check.name, check.status])).toEqual([
      ["ort-node", "ok"],
      ["ort-web", "ok"],
    ]);
  });
});
