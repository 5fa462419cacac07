import type { Measurement } from "../../src/measure/measurement.ts";
import type { Candidate } from "../../src/recipes/index.ts";

export const measured = (metric: string, value: number, unit = ""): Measurement => ({
  metric,
  unit,
  value,
  subject: "digest",
  protocol: "made up for a test",
  device: "none",
  versions: {},
  at: "2026-01-01T00:00:00Z",
});

/** A candidate with the figures that decide: time ratio, change of accuracy in points, size in bytes. */
export function candidate(name: string, ratio: number, change: number, bytes: number, more: Partial<Candidate> = {}): Candidate {
  return {
    name,
    title: name,
    steps: [],
    file: { path: `${name}.onnx`, bytes, digest: name, role: "candidate" },
    accuracy: measured("top-1", 80 + change, "%"),
    accuracyChange: measured("top-1 change", change, "%"),
    others: [],
    latency: measured("latency p50", 10 * ratio, "ms"),
    latencyP95: null,
    latencyRatio: measured("latency ratio", ratio),
    latencyVerdict: ratio < 0.97 ? "faster" : ratio > 1.03 ? "slower" : "not distinguishable",
    outcome: "rejected",
    reason: "",
    notes: [],
    ...more,
  };
}
