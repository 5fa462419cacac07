import type { Manifest } from "../manifest.ts";
import { concentration } from "../sensitivity.ts";
import { html, type Markup, tableOf } from "./html.ts";

const exponent = (value: number | null): string =>
  value !== null && Number.isFinite(value) ? value.toExponential(2) : "not finite";
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** How the integer model was found, and what its layers cost. */
export function quantizationSection(manifest: Manifest): Markup {
  const found = manifest.quantization;
  if (!found) return html``;
  const trials = found.trials.map((t) => [
    t.name,
    exponent(t.divergence),
    String(t.samples),
    t.seconds.toFixed(1),
    t.kept ? "kept" : "",
  ]);
  const kept = new Set(found.trials.flatMap(({ kept: yes }, i) => (yes ? [i] : [])));
  const chosen = Object.entries(found.estimators)
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => `${name}: ${count}`)
    .join(", ");
  return html`<h2>How the integer model was found</h2>
<p>Ways of quantizing raced on calibration inputs that they were not made from; closeness to the float outputs decides, ${found.measure}, lower is better. Entrants that fell behind by more than chance stopped early. Chosen by their effect on the next op: ${chosen}.</p>
${tableOf([["way of quantizing", found.measure, "inputs run", "seconds so far in its race", ""], ...trials], { marked: kept, numeric: new Set([1, 2, 3]) })}
${sensitivityPart(manifest)}${vnniPart(manifest)}`;
}

function sensitivityPart({ sensitivity, quantization }: Manifest): Markup {
  const [first] = sensitivity;
  if (!first) return html``;
  const { nodes, of } = concentration(sensitivity);
  const rows = sensitivity
    .slice(0, 20)
    .map((s) => [
      s.node,
      s.opType,
      exponent(s.divergence),
      percent(s.share),
      s.weightsOnly === null ? "" : exponent(s.weightsOnly),
      s.activationsOnly === null ? "" : exponent(s.activationsOnly),
    ]);
  return html`<h3>Sensitivity</h3><p>These ${nodes} of ${of} layers cost 80 % of the loss: each layer alone in integers, all others in float, ${first.samples} calibration inputs.</p>
${tableOf([["layer", "op type", quantization?.measure ?? "", "share", "weights only", "activations only"], ...rows], { numeric: new Set([2, 3, 4, 5]) })}`;
}

function vnniPart({ quantization, withoutVnni }: Manifest): Markup {
  const saturating = quantization?.saturating;
  if (!saturating) return html``;
  const rows = saturating.map(({ node, share, noise, remedy }) => [
    node,
    percent(share),
    exponent(noise),
    remedy === "uint8" ? "uint8 weights" : "coarser scales",
  ]);
  const accuracy = withoutVnni
    ? html`<p>${withoutVnni.metric} with VNNI ${withoutVnni.with.toFixed(2)}, without ${withoutVnni.without.toFixed(2)} (simulated bit by bit, ${withoutVnni.samples} samples).</p>`
    : html``;
  return html`<h3>Processors without VNNI</h3>${accuracy}
${
  rows.length > 0
    ? html`<p>Sums of two products would saturate in 16 bits in these layers, which does harm. Where it costs no accuracy, their weights got coarser scales, with which they cannot; elsewhere the same weights are stored as uint8, whose kernels do not saturate and are slower.</p>${tableOf([["layer", "sums that saturated before", "noise over signal before", "remedy"], ...rows], { numeric: new Set([1, 2]) })}`
    : html`<p>No layer does harm by saturating.</p>`
}`;
}
