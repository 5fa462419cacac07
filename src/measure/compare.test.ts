import { describe, expect, it } from "vitest";
import { compareMeasurements } from "./compare.ts";
import type { Measurement } from "./measurement.ts";

const measurement = (value: number, extra: Partial<Measurement> = {}): Measurement => ({
  metric: "latency p50",
  unit: "ms",
  value,
  subject: "sha",
  protocol: "session.run, 1 thread; 12 warm-up runs; 40 rounds",
  device: "a laptop",
  versions: {},
  at: "2026-01-01T00:00:00Z",
  ...extra,
});

describe("compareMeasurements", () => {
  it("gives ratio and difference of like measurements, whatever their counts", () => {
    const other = measurement(20, { protocol: "session.run, 1 thread; 3 warm-up runs; 41 rounds" });
    expect(compareMeasurements(measurement(10), other)).toEqual({ ratio: 0.5, difference: -10 });
  });

  it("adds interval and verdict for paired samples only", () => {
    const a = measurement(10, { samples: [10, 10.1, 9.9, 10] });
    const b = measurement(20, { samples: [20, 20.1, 20.2, 19.9] });
    expect(compareMeasurements(a, b, { pairs: true })).toMatchObject({ verdict: "faster" });
    expect(compareMeasurements(a, b).verdict).toBeUndefined();
    expect(compareMeasurements(a, measurement(20, { samples: [20] }), { pairs: true }).interval).toBeUndefined();
  });

  it.each([
    [{ unit: "s" }, /unit "ms" and "s"/],
    [{ metric: "latency p95" }, /metric "latency p50" and "latency p95"/],
    [{ device: "a phone" }, /device "a laptop" and "a phone"/],
    [{ protocol: "session.run, 4 threads; 12 warm-up runs; 40 rounds" }, /threads 1 and 4/],
    [{ protocol: "wall clock of a whole process" }, /threads 1 and unstated/],
    [{ protocol: "estimate, 1 thread" }, /protocol "session.run, 1 thread.*estimate/],
  ])("refuses %j", (extra, message) => {
    expect(() => compareMeasurements(measurement(1), measurement(2, extra))).toThrow(message);
  });
});
