import type { Measurement } from "../../measure/measurement.ts";
import { ratioOf } from "../budget.ts";
import type { Candidate, Manifest } from "../manifest.ts";
import { budgetOf, changeText, megabytes, milliseconds, speedText, valueText } from "../summary.ts";
import { barChart, paretoChart } from "./chart.ts";
import { html, type Markup, tableOf } from "./html.ts";

const count = (n: number | null): string =>
  n === null
    ? "unknown"
    : n >= 1e9
      ? `${(n / 1e9).toFixed(2)} G`
      : n >= 1e6
        ? `${(n / 1e6).toFixed(2)} M`
        : n >= 1e3
          ? `${(n / 1e3).toFixed(1)} k`
          : String(n);
const interval = (m: Measurement | undefined | null, digits = 2): string =>
  m?.interval ? ` [${m.interval[0].toFixed(digits)}, ${m.interval[1].toFixed(digits)}]` : "";
const find = (list: readonly Measurement[] | undefined, metric: string, subject?: string): Measurement | undefined =>
  list?.find((m) => m.metric === metric && (subject === undefined || m.subject === subject));

export const chosenOf = (manifest: Manifest): Candidate | undefined =>
  manifest.candidates.find(({ name }) => name === manifest.chosen);

/** The answer first. */
export function headline(manifest: Manifest): Markup {
  const chosen = chosenOf(manifest);
  const tile = (label: string, value: string, note: string): Markup =>
    html`<div class="tile"><span>${label}</span><b>${value}</b><small>${note}</small></div>`;
  const smaller = chosen?.file ? manifest.model.bytes / chosen.file.bytes : 1;
  const change =
    find(manifest.final?.chosen, manifest.final?.chosen.find(({ metric }) => metric.endsWith(" change"))?.metric ?? "") ??
    chosen?.accuracyChange;
  const agreement = find(manifest.final?.chosen, "agreement");
  return html`<p class="verdict ${manifest.verdict.budgetMet ? "met" : "missed"}">${manifest.verdict.recommendation}</p>
<div class="tiles">${[
    tile(
      "speed",
      chosen ? speedText(chosen) : "",
      `time ratio ${chosen ? ratioOf(chosen).toFixed(3) : ""}${interval(chosen?.latencyRatio, 3)}`,
    ),
    tile(
      "size",
      `${smaller.toFixed(2)}x smaller`,
      chosen?.file ? `${megabytes(manifest.model.bytes)} → ${megabytes(chosen.file.bytes)}` : "",
    ),
    tile(
      manifest.data.metric,
      change ? changeText(change) : "no change",
      `${manifest.final ? `on ${manifest.data.final} ${manifest.data.heldOut ? "unseen " : ""}samples` : "on the selection samples"}`,
    ),
    agreement ? tile("agreement", valueText(agreement), "same answer as the original") : "",
  ].filter((tile) => tile !== "")}</div>
${manifest.verdict.reasons.map((reason) => html`<p>${reason}</p>`)}
<p class="muted">Budget: ${budgetOf(manifest.budget)} — ${manifest.verdict.budgetMet ? "kept" : "not kept"}. Status: ${manifest.status}.</p>`;
}

/** Rows of [name, before, after] wherever both were measured. */
export function beforeAfter(manifest: Manifest): Markup {
  const chosen = chosenOf(manifest);
  if (!chosen) return html``;
  const rows: string[][] = [["", "original", chosen.title]];
  rows.push(["file", megabytes(manifest.model.bytes), chosen.file ? megabytes(chosen.file.bytes) : ""]);
  if (chosen.latency && chosen.latencyRatio) {
    const before = chosen.latency.value / chosen.latencyRatio.value;
    rows.push(["latency p50", milliseconds(before), `${milliseconds(chosen.latency.value)}${interval(chosen.latency)}`]);
    if (chosen.latencyP95) rows.push(["latency p95", "", milliseconds(chosen.latencyP95.value)]);
  }
  for (const before of manifest.final?.baseline ?? []) {
    const after = find(manifest.final?.chosen, before.metric);
    if (after)
      rows.push([
        `${before.metric} (final, n=${manifest.data.final})`,
        `${valueText(before)}${interval(before)}`,
        `${valueText(after)}${interval(after)}`,
      ]);
  }
  for (const metric of new Set([...manifest.memory, ...manifest.energy].map((m) => m.metric))) {
    const all = [...manifest.memory, ...manifest.energy].filter((m) => m.metric === metric);
    const before = find(all, metric, manifest.model.digest);
    const after = all.find((m) => m !== before);
    if (before && after) rows.push([metric, quantity(before), quantity(after)]);
  }
  rows.push(["MACs", count(manifest.model.macs), count(manifest.model.macs)]);
  rows.push(["parameters", count(manifest.model.parameters), ""]);
  return html`<h2>Before and after</h2>${tableOf(rows, { numeric: new Set([1, 2]) })}`;
}

const quantity = ({ value, unit }: Measurement): string =>
  unit === "B" || unit === "bytes" ? megabytes(value) : unit === "ms" ? milliseconds(value) : `${value.toPrecision(4)} ${unit}`;

export function candidatesSection(manifest: Manifest): Markup {
  const rows = manifest.candidates.map((c) => [
    c.title,
    c.file ? megabytes(c.file.bytes) : "",
    c.latency ? milliseconds(c.latency.value) : "",
    speedText(c),
    c.accuracy ? valueText(c.accuracy) : "",
    changeText(c.accuracyChange),
    fidelity(c),
    c.outcome,
    c.reason,
  ]);
  const marked = new Set(manifest.candidates.flatMap(({ outcome }, i) => (outcome === "chosen" ? [i] : [])));
  return html`<h2>Everything that was tried</h2>
<figure>${paretoChart(manifest)}<figcaption>Right is faster, up is more accurate; the area is the file's size. Accuracy is of the ${manifest.data.selection} selection samples.</figcaption></figure>
${tableOf([["candidate", "size", "p50", "speed", manifest.data.metric, "change [95 %]", "against the original", "outcome", "why"], ...rows], { marked, numeric: new Set([1, 2, 3, 4, 5]) })}`;
}

const fidelity = ({ others }: Candidate): string =>
  others
    .filter(({ metric }) => metric === "agreement" || metric === "sqnr")
    .map((m) => `${metricName(m.metric)} ${valueText(m)}`)
    .join(", ");
const metricName = (metric: string): string => (metric === "sqnr" ? "SQNR" : metric);

export function layersSection(manifest: Manifest): Markup {
  const byTime = [...manifest.layers]
    .filter((layer) => layer.baselineMs !== null)
    .sort((a, b) => (b.baselineMs ?? 0) - (a.baselineMs ?? 0))
    .slice(0, 15);
  const byMacs = [...manifest.layers].sort((a, b) => b.macs - a.macs).slice(0, 15);
  const cost =
    byTime.length > 0
      ? barChart(
          byTime.map((l) => ({ name: `${l.opType} ${l.node}`, value: l.baselineMs ?? 0 })),
          "time in the float model (ms)",
          "#2563eb",
        )
      : barChart(
          byMacs.map((l) => ({ name: `${l.opType} ${l.node}`, value: l.macs / 1e6 })),
          "million MACs",
          "#2563eb",
        );
  const worst = manifest.sensitivity.slice(0, 15);
  const sqnr = new Map(manifest.sensitivity.map((s) => [s.node, s.sqnr]));
  const rows = manifest.layers.map((l) => [
    l.node,
    l.opType,
    l.output,
    count(l.macs),
    count(l.parameters),
    l.baselineMs === null ? "" : milliseconds(l.baselineMs),
    sqnr.has(l.node) ? `${(sqnr.get(l.node) as number).toFixed(1)} dB` : "",
  ]);
  return html`<h2>Where the time goes, and which nodes quantization hurts</h2>
<div class="columns"><figure>${cost}<figcaption>The costliest nodes.</figcaption></figure>
${
  worst.length > 0
    ? html`<figure>${barChart(
        worst.map((s) => ({ name: `${s.opType} ${s.node}`, value: s.sqnr })),
        "output SQNR with this node alone in INT8 (dB)",
        "#b45309",
      )}<figcaption>The most sensitive nodes, worst first: lower is worse. Measured on ${worst[0]?.samples} calibration samples.</figcaption></figure>`
    : ""
}</div>
<details><summary>All ${rows.length} nodes with work</summary>${tableOf([["node", "op type", "output", "MACs", "parameters", "time", "SQNR alone in INT8"], ...rows], { numeric: new Set([3, 4, 5, 6]) })}</details>`;
}

export function skippedSection(manifest: Manifest): Markup {
  const chosen = chosenOf(manifest);
  const skipped = chosen?.notes.filter(({ kind }) => kind !== "did") ?? [];
  const done = chosen?.notes.filter(({ kind }) => kind === "did").length ?? 0;
  if (!chosen || chosen.notes.length === 0) return html``;
  return html`<h2>Nodes that stay float</h2><p>${manifest.coverage ? `${manifest.coverage.line}.` : `${done} nodes run in the new precision, ${skipped.length} stay as they were.`}</p>
${(manifest.coverage?.unfused ?? []).map((sentence) => html`<p class="muted">${sentence}</p>`)}
${skipped.length > 0 ? tableOf([["node", "because"], ...skipped.map(({ subject, message }) => [subject, message])]) : ""}`;
}

export function measuredSection(manifest: Manifest): Markup {
  const chosen = chosenOf(manifest);
  const all = [
    chosen?.latency,
    chosen?.latencyRatio,
    chosen?.accuracy,
    chosen?.accuracyChange,
    ...manifest.memory,
    ...manifest.energy,
  ].filter((m) => m !== null && m !== undefined);
  return html`<h2>How it was measured</h2>
<p>${manifest.device}; ${Object.entries(manifest.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(
      ", ",
    )}; ${manifest.target.threads} thread(s); target ${manifest.target.name}${manifest.target.measuredHere ? "" : " (this machine stands in for it)"}.</p>
<p>Data: ${manifest.data.summary}. Split by content digest, seed ${manifest.data.seed}: ${manifest.data.calibration} calibration, ${manifest.data.selection} selection, ${manifest.data.final} final samples.</p>
<p>Original: <code>${manifest.model.path}</code>, sha256 <code>${manifest.model.digest.slice(0, 16)}…</code>, opset ${manifest.model.opset}, ${manifest.model.nodes} nodes. Again: <code>${manifest.command}</code></p>
<details><summary>Protocols</summary>${tableOf([["measurement", "value", "protocol"], ...all.map((m) => [m.metric, quantity(m), m.protocol])])}</details>
<details><summary>Recipes</summary>${tableOf([["candidate", "steps"], ...manifest.candidates.map((c) => [c.title, c.steps.map(({ pass, params }) => `${pass} ${JSON.stringify(params)}`).join(" → ")])])}</details>`;
}

export const warningsSection = (manifest: Manifest): Markup =>
  manifest.warnings.length === 0 ? html`` : html`<aside>${manifest.warnings.map((warning) => html`<p>${warning}</p>`)}</aside>`;
