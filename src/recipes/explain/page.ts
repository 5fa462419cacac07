import { barChart, lineChart } from "../report/chart.ts";
import { histogramChart } from "../report/histogram.ts";
import { html, Markup, tableOf } from "../report/html.ts";
import { style } from "../report/page.ts";
import { toolVersion } from "../tool-version.ts";
import type { ActivationNoise, Explanation, Gain, LayerNoise, WeightNoise } from "./schema.ts";

const colours = { accumulated: "#b45309", local: "#0f766e", float: "#2563eb", stored: "#b45309" };

/** Activations that are drawn. */
const drawn = 9;

const fileName = (path: string): string => path.split(/[\\/]/).at(-1) ?? path;
const decibels = (value: number | null): string => (value === null ? "" : value >= 200 ? "exact" : value.toFixed(1));
const gainText = (gain: Gain | null): string =>
  gain === null
    ? ""
    : `${gain.db >= 0 ? "+" : ""}${gain.db.toFixed(2)}${gain.error === null ? "" : ` ± ${gain.error.toFixed(2)}`}`;
const number = (value: number): string => String(Number(value.toPrecision(3)));
const percent = (share: number): string => (share === 0 ? "0" : `${Number((100 * share).toPrecision(2))} %`);
/** Charts show equality as a large number that does not flatten the rest. */
const bounded = (value: number): number => Math.max(-10, Math.min(70, value));

/** One self-contained page: no script, no request to anywhere. */
export function renderExplanation(explanation: Explanation): string {
  const name = fileName(explanation.quantized.path);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>Edgewright: what quantization did to ${name}</title><style>${new Markup(style)}</style></head><body>
<header><h1>What quantization did to ${name}</h1><p class="muted">compared with ${fileName(explanation.float.path)} on ${explanation.samples} samples · for ${explanation.target} · edgewright ${toolVersion()} · ${Math.round(explanation.seconds)} s</p></header>
${headline(explanation)}${warnings(explanation)}${layersSection(explanation)}${activationsSection(explanation)}${weightsSection(explanation)}${unmatchedSection(explanation)}${methodSection(explanation)}
</body></html>
`;
  return page.text;
}

const tile = (label: string, value: string, note: string): Markup =>
  html`<div class="tile"><span>${label}</span><b>${value}</b><small>${note}</small></div>`;

/** The answer first: how good the outputs are, and what to do. */
function headline({ sqnr, outputs, layers, advice, activations, unmatched }: Explanation): Markup {
  const weakest = [...layers].sort((a, b) => a.localSqnr - b.localSqnr)[0];
  const clipping = [...activations].sort((a, b) => b.clipped - a.clipped)[0];
  return html`<div class="tiles">${[
    tile(
      "outputs",
      `${decibels(sqnr)} dB`,
      `signal over quantization noise, ${outputs.length} output${outputs.length === 1 ? "" : "s"}`,
    ),
    tile(
      "layers",
      String(layers.length),
      unmatched.length > 0 ? `${unmatched.length} more could not be compared` : "in integers, all compared",
    ),
    weakest ? tile("weakest alone", `${decibels(weakest.localSqnr)} dB`, `${weakest.opType} ${weakest.node}`) : "",
    clipping && clipping.clipped > 0 ? tile("most clipped", percent(clipping.clipped), clipping.value) : "",
  ]}</div>
<h2>What to do next</h2>
<ol>${advice.map(({ text, gain, error }) => html`<li>${text}${gain !== null && error !== null ? html` <small>(± ${error.toFixed(1)} dB)</small>` : ""}</li>`)}</ol>`;
}

const warnings = (explanation: Explanation): Markup =>
  explanation.warnings.length === 0
    ? html``
    : html`<aside>${explanation.warnings.map((warning) => html`<p>${warning}</p>`)}</aside>`;

function layersSection({ layers }: Explanation): Markup {
  const points = (pick: (layer: LayerNoise) => number) =>
    layers.map((layer, i): [number, number] => [i + 1, bounded(pick(layer))]);
  const chart = lineChart(
    [
      { name: "accumulated", points: points(({ sqnr }) => sqnr), colour: colours.accumulated },
      { name: "layer alone", points: points(({ localSqnr }) => localSqnr), colour: colours.local },
    ],
    "Signal over noise, layer by layer",
    { x: "layer, in execution order", y: "SQNR (dB)", linear: true },
  );
  const tried = layers.flatMap(({ node, weightGain, resultGain }) => [
    ...(weightGain ? [{ name: `weights of ${node}`, value: weightGain.db }] : []),
    ...(resultGain ? [{ name: `result of ${node}`, value: resultGain.db }] : []),
  ]);
  const best = tried
    .filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value)
    .slice(0, 12);
  const weakest = [...layers].sort((a, b) => a.localSqnr - b.localSqnr).slice(0, 12);
  const rows = layers.map((layer) => [
    layer.node,
    layer.opType,
    decibels(layer.sqnr),
    decibels(layer.localSqnr),
    decibels(layer.weightSqnr),
    decibels(layer.resultSqnr),
    layer.offsetShare === null ? "" : percent(layer.offsetShare),
    gainText(layer.weightGain),
    gainText(layer.resultGain),
  ]);
  const heading = [
    "node",
    "op type",
    "accumulated",
    "alone",
    "its weights",
    "its result",
    "offset",
    "weights in float",
    "result in float",
  ];
  return html`<h2>Layer by layer</h2>
<figure>${chart}<figcaption>Accumulated: both models run from their inputs. Alone: the integer layer reads the float model's values, so that only its own rounding counts. Where the upper line dips, noise enters; where the lower one falls without that, earlier noise is amplified.</figcaption></figure>
<div class="columns">${
    best.length > 0
      ? html`<figure>${barChart(best, "dB that the outputs gain", colours.stored)}<figcaption>What the outputs gain with one part in float: what it really costs.</figcaption></figure>`
      : ""
  }<figure>${barChart(
    weakest.map(({ node, opType, localSqnr }) => ({ name: `${opType} ${node}`, value: bounded(localSqnr) })),
    "SQNR of the layer alone (dB)",
    colours.local,
  )}<figcaption>The weakest layers by themselves: lower is worse.</figcaption></figure></div>
<details><summary>All ${layers.length} layers (dB)</summary>${tableOf([heading, ...rows], { numeric: new Set([2, 3, 4, 5, 6, 7, 8]) })}</details>`;
}

/** Those that cost most where that was measured, then those with the most noise of their own. */
const byCost = (a: ActivationNoise, b: ActivationNoise): number =>
  Math.max(0, b.gain?.db ?? 0) - Math.max(0, a.gain?.db ?? 0) || a.sqnr - b.sqnr;

function activationsSection({ activations }: Explanation): Markup {
  const worst = activations
    .filter(({ histogram }) => histogram.high > histogram.low)
    .sort(byCost)
    .slice(0, drawn);
  const figure = (activation: ActivationNoise): Markup => {
    const { value, histogram, range, clipped, sqnr, gain } = activation;
    const chart = histogramChart([{ name: value, counts: histogram.counts, colour: colours.float }], `Values of ${value}`, {
      low: histogram.low,
      high: histogram.high,
      x: "value",
      marks: [
        { at: range[0], name: "low" },
        { at: range[1], name: "high" },
      ],
    });
    return html`<figure><h3>${value}</h3>${chart}<figcaption>[${number(range[0])}, ${number(range[1])}] clips ${percent(clipped)} · ${decibels(sqnr)} dB${gain ? html` · in float ${gainText(gain)} dB` : ""}</figcaption></figure>`;
  };
  const rows = activations.map((one) => [
    one.value,
    one.dtype,
    number(one.scale),
    one.zeroPoint,
    `[${number(one.range[0])}, ${number(one.range[1])}]`,
    `[${number(one.observed[0])}, ${number(one.observed[1])}]`,
    percent(one.clipped),
    percent(one.clipNoise),
    decibels(one.sqnr),
    gainText(one.gain),
  ]);
  const heading = ["value", "type", "scale", "zero point", "range", "observed", "clipped", "of its noise", "SQNR", "in float"];
  return html`<h2>Ranges of activations</h2>
<p class="muted">Values of the float model; dashed lines are the ends of what the integers can hold. Exact zeros are left out, counts are logarithmic.</p>
<div class="columns">${worst.map(figure)}</div>
<details><summary>All ${activations.length} activations</summary>${tableOf([heading, ...rows], { numeric: new Set([2, 3, 6, 7, 8, 9]) })}</details>`;
}

function weightsSection({ weights, tables }: Explanation): Markup {
  if (weights.length + tables.length === 0) return html``;
  const figure = (weight: WeightNoise): Markup => {
    const { histogram, node, weight: name, levels, availableLevels, sqnr } = weight;
    if (!histogram) return html``;
    const chart = histogramChart(
      [
        { name: "float", counts: histogram.float, colour: colours.float },
        { name: "stored", counts: histogram.stored, colour: colours.stored },
      ],
      `Weights of ${node}`,
      { low: histogram.low, high: histogram.high, x: "weight" },
    );
    return html`<figure><h3>${node}</h3>${chart}<figcaption>${name}: ${levels} of ${availableLevels} levels · ${decibels(sqnr)} dB</figcaption></figure>`;
  };
  const rows = weights.map((one) => [
    one.node,
    one.weight,
    one.dtype,
    one.perChannel ? `${one.channels} channels` : "one",
    `${one.levels} of ${one.availableLevels}`,
    one.medianChannelLevels,
    percent(one.clipped),
    decibels(one.sqnr),
  ]);
  const heading = ["node", "weights", "type", "scales", "levels", "of the median channel", "clipped", "SQNR"];
  const tableRows = tables.map(({ node, sqnr, gain }) => [node, decibels(sqnr), gainText(gain)]);
  return html`<h2>Weights</h2>
<p class="muted">Of the layers whose weights bring the most noise: before, and as the stored integers stand for them.</p>
<div class="columns">${weights.filter(({ histogram }) => histogram).map(figure)}</div>
<details><summary>All ${weights.length} weights</summary>${tableOf([heading, ...rows], { numeric: new Set([5, 6, 7]) })}</details>
${tables.length > 0 ? html`<h3>Tables</h3>${tableOf([["node", "SQNR", "in float"], ...tableRows], { numeric: new Set([1, 2]) })}` : ""}`;
}

const unmatchedSection = ({ unmatched }: Explanation): Markup =>
  unmatched.length === 0
    ? html``
    : html`<h2>Not compared</h2>${tableOf([["node", "op type", "because"], ...unmatched.map(({ node, opType, reason }) => [node, opType, reason])])}`;

const references: Readonly<Record<Explanation["reference"], string>> = {
  simplified: ", simplified as edgewright quantize does",
  rescaled:
    ", simplified, and with its channels scaled as equalization left them in the quantized model: values count in these scales",
  original: "",
};

function methodSection({ float, quantized, reference, samples, runs, outputs }: Explanation): Markup {
  const rows = outputs.map(({ name, sqnr }) => [name, decibels(sqnr)]);
  return html`<h2>How it was measured</h2>
<p>Float model: <code>${float.path}</code>, sha256 <code>${float.digest.slice(0, 16)}…</code>${references[reference]}. Quantized model: <code>${quantized.path}</code>, sha256 <code>${quantized.digest.slice(0, 16)}…</code>, ${(quantized.bytes / 1e6).toFixed(2)} MB. ${samples} samples, ${runs} runs.</p>
<p>SQNR is the sum of squares of the float model's values over the sum of squared differences, in dB. A gain is how many times less noise the outputs have with one part in float, all else quantized; its error is the standard error of a jackknife over runs.</p>
${tableOf([["output", "SQNR (dB)"], ...rows], { numeric: new Set([1]) })}`;
}
