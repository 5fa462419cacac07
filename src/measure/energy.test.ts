import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float32Tensor } from "../ir/index.ts";
import type { Session } from "../runtime/executor.ts";
import { energyBetween, energyCounters, estimateEnergy, estimateMillijoules, measureEnergy } from "./energy.ts";

function powercap(zones: Record<string, { name: string; energy?: string; range?: string }>): string {
  const folder = mkdtempSync(join(tmpdir(), "edgewright-"));
  for (const [zone, { name, energy, range = "1000000" }] of Object.entries(zones)) {
    mkdirSync(join(folder, zone));
    writeFileSync(join(folder, zone, "name"), `${name}\n`);
    writeFileSync(join(folder, zone, "max_energy_range_uj"), range);
    if (energy !== undefined) writeFileSync(join(folder, zone, "energy_uj"), `${energy}\n`);
  }
  return folder;
}

describe("energyCounters", () => {
  it("reads packages, and only packages", () => {
    const folder = powercap({
      "intel-rapl": { name: "intel-rapl" },
      "intel-rapl:0": { name: "package-0", energy: "123" },
      "intel-rapl:0:0": { name: "core", energy: "5" },
      "intel-rapl:1": { name: "psys", energy: "9" },
      "intel-rapl:2": { name: "package-1", energy: "7", range: "2000" },
    });
    const { counters, locked } = energyCounters(folder);
    expect(counters.map((c) => [c.name, c.read(), c.range])).toEqual([
      ["package-0", 123, 1_000_000],
      ["package-1", 7, 2000],
    ]);
    expect(locked).toBe(0);
  });

  it("counts what exists but cannot be read, and finds nothing where there is nothing", () => {
    const folder = powercap({ "intel-rapl:0": { name: "package-0" } });
    expect(energyCounters(folder)).toEqual({ counters: [], locked: 1 });
    expect(energyCounters(join(folder, "none"))).toEqual({ counters: [], locked: 0 });
  });

  it("sees through a counter that wraps", () => {
    expect(energyBetween(100, 150, 1000)).toBe(50);
    expect(energyBetween(990, 20, 1000)).toBe(30);
  });
});

describe("measureEnergy", () => {
  it("subtracts what the machine draws anyway", async () => {
    let now = 0;
    let microjoules = 0;
    const spend = (ms: number, watts: number) => {
      now += ms;
      microjoules += watts * ms * 1000;
    };
    const session: Session = {
      inputs: [],
      outputNames: [],
      // 10 ms at 10 W above 5 W of idle: 100 mJ each
      run: async () => {
        spend(10, 15);
        return {};
      },
      release: async () => {},
    };
    const result = await measureEnergy(
      session,
      { x: float32Tensor([1], [0]) },
      {
        timeMs: 1000,
        clock: () => now,
        idle: async (ms) => spend(ms, 5),
        counters: [{ name: "package-0", read: () => microjoules % 20_000_000, range: 20_000_000 }],
        device: "test",
      },
    );
    expect(result.value).toBeCloseTo(100, 9);
    expect(result).toMatchObject({ unit: "mJ", metric: "energy per inference" });
    expect(result.protocol).toContain("100 runs in 1000 ms");
    expect(result.protocol).toContain("5.0 W");
  });

  it("says what to do without a counter", async () => {
    await expect(measureEnergy({} as Session, {}, { counters: [] })).rejects.toMatchObject({ code: "ENERGY_NO_COUNTER" });
  });
});

describe("estimateEnergy", () => {
  const macs = { int8: 0, float16: 0, float32: 0 };

  it("follows the published table", () => {
    // 1e9 MACs of 4.6 pJ are 4.6 mJ
    expect(estimateMillijoules({ macs: { ...macs, float32: 1e9 }, weightBytes: 0, activationBytes: 0 }).value).toBeCloseTo(
      4.6,
      12,
    );
    expect(estimateMillijoules({ macs: { ...macs, int8: 1e9 }, weightBytes: 0, activationBytes: 0 }).value).toBeCloseTo(0.3, 12);
    expect(estimateMillijoules({ macs: { ...macs, float16: 1e9 }, weightBytes: 0, activationBytes: 0 }).value).toBeCloseTo(
      1.5,
      12,
    );
    // 32 bits from DRAM are 640 pJ
    expect(estimateMillijoules({ macs, weightBytes: 4e9, activationBytes: 0 }).value).toBeCloseTo(640, 9);
    expect(estimateMillijoules({ macs, weightBytes: 0, activationBytes: 8e9 }).value).toBeCloseTo(100, 9);
    expect(estimateMillijoules({ macs, weightBytes: 0, activationBytes: 8e9 }).interval).toEqual([10, 1280]);
  });

  it("is labelled as an estimate, with its source", () => {
    const result = estimateEnergy("m", { macs, weightBytes: 1, activationBytes: 1 });
    expect(result.metric).toContain("estimate");
    expect(result.protocol).toContain("Horowitz, ISSCC 2014");
    expect(result.device).toContain("45 nm");
  });
});
