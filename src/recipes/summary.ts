import type { Measurement } from "../measure/measurement.ts";
import { ratioOf } from "./budget.ts";
import type { Candidate, Manifest } from "./manifest.ts";

/** Figures of a manifest as short texts, shared by the terminal and the report. */
export const signed = (x: number, digits = 2): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`;
export const unitText = (unit: string): string => (unit === "%" ? " pt" : unit === "" ? "" : ` ${unit}`);
export const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
export const milliseconds = (ms: number): string =>
  ms < 1 ? `${(ms * 1000).toFixed(0)} µs` : `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
export const valueText = ({ value, unit }: Measurement): string => `${value.toFixed(2)}${unit ? ` ${unit}` : ""}`;

export function changeText(change: Measurement | null): string {
  if (!change) return "";
  const interval = change.interval ? ` [${signed(change.interval[0], 1)}, ${signed(change.interval[1], 1)}]` : "";
  return `${signed(change.value)}${unitText(change.unit)}${interval}`;
}

/** Speed against the original: "2.09x", or a plain statement that no difference was found. */
export function speedText(candidate: Candidate): string {
  if (candidate.name === "baseline") return "1x";
  if (!candidate.latencyRatio) return "";
  const speed = `${(1 / ratioOf(candidate)).toFixed(2)}x`;
  return candidate.latencyVerdict === "not distinguishable" ? `${speed} (≈)` : speed;
}

export function candidateRows(manifest: Manifest): string[][] {
  return manifest.candidates.map((candidate) => [
    `${candidate.outcome === "chosen" ? "→ " : "  "}${candidate.title}`,
    candidate.file ? megabytes(candidate.file.bytes) : "",
    candidate.latency ? milliseconds(candidate.latency.value) : "",
    speedText(candidate),
    candidate.accuracy ? valueText(candidate.accuracy) : "",
    changeText(candidate.accuracyChange),
    candidate.outcome === "failed" ? `failed: ${candidate.reason}` : candidate.outcome,
  ]);
}

export function budgetOf(budget: Manifest["budget"]): string {
  const limits = [
    budget.maxDrop === null ? "" : `at most ${budget.maxDrop} lost`,
    budget.maxSizeBytes === null ? "" : `${megabytes(budget.maxSizeBytes)}`,
    budget.maxLatencyMs === null ? "" : `${milliseconds(budget.maxLatencyMs)}`,
  ].filter((limit) => limit !== "");
  return limits.join(", ") || "none";
}

/** What the final samples said about the chosen file. */
export function finalLines({ final, data }: Manifest): string[] {
  if (!final) return [];
  const before = final.baseline.find(({ metric }) => metric === data.metric);
  const after = final.chosen.find(({ metric }) => metric === data.metric);
  const change = final.chosen.find(({ metric }) => metric.endsWith(" change"));
  const agreement = final.chosen.find(({ metric }) => metric === "agreement");
  const parts = [
    before && after ? `${data.metric} ${valueText(before)} → ${valueText(after)}` : "",
    change ? changeText(change) : "",
    agreement ? `agreement with the original ${valueText(agreement)}` : "",
  ].filter((part) => part !== "");
  const which = data.heldOut ? "unseen by any choice" : "not held out";
  return [`Final ${data.final} sample${data.final === 1 ? "" : "s"}, ${which}: ${parts.join(", ")}.`];
}
