import { type Line, lineChart } from "../report/chart.ts";
import { html, Markup, tableOf } from "../report/html.ts";
import { style } from "../report/page.ts";
import type { LogEntry } from "./log.ts";
import type { TrainManifest } from "./manifest.ts";

const colours = { loss: "#0f766e", raw: "#94a3b8", rate: "#2563eb", validation: "#b45309", norm: "#64748b" };

/** Mean of the last `width` points: what the eye should follow. */
function smoothed(points: readonly (readonly [number, number])[], width: number): [number, number][] {
  return points.map(([x], i) => {
    const window = points.slice(Math.max(0, i - width + 1), i + 1);
    return [x, window.reduce((sum, [, y]) => sum + y, 0) / window.length];
  });
}

const series = (entries: readonly LogEntry[], pick: (entry: LogEntry) => number | undefined): [number, number][] =>
  entries.flatMap((entry): [number, number][] => {
    const value = pick(entry);
    return value === undefined ? [] : [[entry.step, value]];
  });

function lossChart(entries: readonly LogEntry[]): Markup {
  const raw = series(entries, ({ loss }) => loss);
  const width = Math.max(1, Math.round(raw.length / 40));
  const lines: Line[] = [{ name: "loss", points: raw, colour: colours.raw, thin: true }];
  lines.push({ name: `mean of ${width}`, points: smoothed(raw, width), colour: colours.loss });
  return lineChart(lines, "Training loss over steps", { x: "step", y: "loss" });
}

const chart = (
  entries: readonly LogEntry[],
  pick: (entry: LogEntry) => number | undefined,
  name: string,
  colour: string,
): Markup =>
  lineChart([{ name, points: series(entries, pick), colour }], `${name} over steps`, { x: "step", y: name, linear: true });

const number = (value: number | null, digits = 4): string => (value === null ? "–" : String(Number(value.toPrecision(digits))));

function tiles(manifest: TrainManifest): Markup {
  const { best } = manifest;
  const tile = (name: string, value: string, note: string): Markup =>
    html`<div class="tile"><span>${name}</span><b>${value}</b><small>${note}</small></div>`;
  return html`<div class="tiles">${[
    best
      ? tile(
          `best ${best.metric}`,
          `${best.value.toFixed(2)} ${best.unit}`,
          `epoch ${best.epoch + 1}, ${best.samples} validation samples`,
        )
      : null,
    tile("final loss", number(manifest.finalLoss), `after ${manifest.steps} steps`),
    tile(
      "parameters",
      manifest.parameters.toLocaleString("en"),
      `${Math.round((manifest.files[0]?.bytes ?? 0) / 1000)} kB in model.onnx`,
    ),
    tile("speed", `${number(manifest.samplesPerSecond, 3)} samples/s`, `${Math.round(manifest.wallSeconds)} s in all`),
  ]}</div>`;
}

/** The settings that were not left to their defaults. */
function settings(config: Readonly<Record<string, unknown>>): Markup {
  const rows = Object.entries(config)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const);
  return html`<details><summary>All settings</summary>${tableOf([["setting", "value"], ...rows])}</details>`;
}

/** One self-contained page on a training run. */
export function renderTrainReport(manifest: TrainManifest, entries: readonly LogEntry[]): string {
  const { model } = manifest.config as { model?: string | { architecture?: string } };
  const name = typeof model === "string" ? (model.split(/[\\/]/).at(-1) ?? model) : (model?.architecture ?? "model");
  const validation = entries.find((entry) => entry.validation)?.validation;
  const ended = manifest.reason === "stopped" ? "stopped early: validation no longer improved" : "ran to its end";
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>Edgewright: training ${name}</title><style>${new Markup(style)}</style></head><body>
<header><h1>Training ${name}</h1><p class="muted">${ended} · ${manifest.createdAt.slice(0, 10)} · edgewright ${manifest.tool.version} · onnxruntime ${manifest.tool.onnxruntime}</p></header>
${tiles(manifest)}
<h2>Loss</h2><figure>${lossChart(entries)}</figure>
${validation ? html`<h2>Validation</h2><figure>${chart(entries, (entry) => entry.validation?.value, `${validation.metric}${validation.unit ? ` (${validation.unit})` : ""}`, colours.validation)}</figure>` : null}
<div class="columns"><section><h3>Learning rate</h3><figure>${chart(entries, ({ learningRate }) => learningRate, "learning rate", colours.rate)}</figure></section>
<section><h3>Norm of the gradient</h3><figure>${chart(entries, ({ gradientNorm }) => gradientNorm, "gradient norm", colours.norm)}</figure></section></div>
<h2>How it was measured</h2><p>${manifest.samples.training} training samples${manifest.samples.validation > 0 ? `, ${manifest.samples.validation} for validation that training never saw` : ", none for validation"}; validation runs the exported model in onnxruntime. ${manifest.device.summary}.</p>
${settings(manifest.config)}
</body></html>
`;
  return page.text;
}
