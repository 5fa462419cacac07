/**
 * Puts our figures (ptq.json) beside the peers' (ptq-peers.json): `npx tsx bench/quantize/ptq-report.ts` writes ptq.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { ptqModels } from "./ptq-draws.ts";

const read = (name: string) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));

interface Row {
  readonly model: string;
  readonly tool?: string;
  readonly variant?: string;
  readonly recipe?: string;
  readonly unit: string;
  readonly metric: string;
  readonly change: number;
  readonly agreement: number | null;
  readonly kl: number | null;
  readonly sqnr: number;
  readonly seconds: number;
}

const peers: {
  rows: Row[];
  float: { model: string; metric: string; value: number }[];
  device: string;
  versions: Record<string, string>;
} = read("ptq-peers.json");
const ours: Row[] = read("ptq.json");

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const spread = (values: readonly number[]): string => {
  const middle = mean(values);
  const sd = Math.sqrt(values.reduce((sum, x) => sum + (x - middle) ** 2, 0) / Math.max(1, values.length - 1));
  return `${middle.toFixed(2)} ± ${sd.toFixed(2)}`;
};
const known = (rows: readonly Row[], field: "agreement" | "kl" | "sqnr"): number[] =>
  rows.flatMap((row) => (row[field] === null || row[field] === undefined ? [] : [row[field] as number]));

function figures(label: string, rows: readonly Row[], bold: boolean): string {
  const agreement = known(rows, "agreement");
  const kl = known(rows, "kl");
  const cells = [
    label,
    spread(rows.map(({ change }) => change)),
    agreement.length > 0 ? spread(agreement) : "",
    kl.length > 0 ? mean(kl).toExponential(2) : "",
    spread(known(rows, "sqnr")),
    mean(rows.map(({ seconds }) => seconds)).toFixed(0),
  ];
  return `| ${cells.map((cell, i) => (bold && i === 0 ? `**${cell}**` : cell)).join(" | ")} |`;
}

const groups = (model: string): Map<string, Row[]> => {
  const found = new Map<string, Row[]>();
  for (const row of peers.rows)
    if (row.model === model && Number.isFinite(row.change))
      found.set(`${row.tool} ${row.variant}`, [...(found.get(`${row.tool} ${row.variant}`) ?? []), row]);
  return found;
};

const sections: string[] = [];
const summary: string[] = [];
const differences: number[] = [];
for (const model of ptqModels) {
  const own = ours.filter((row) => row.model === model);
  if (own.length === 0) continue;
  const float = peers.float.find((row) => row.model === model);
  const ranked = [...groups(model)].sort(
    (a, b) => mean(b[1].map(({ change }) => change)) - mean(a[1].map(({ change }) => change)),
  );
  const [best] = ranked;
  sections.push(
    `## ${model}\n\nFP32 ${float?.metric} ${float?.value.toFixed(2)}. Ours: ${own.map(({ recipe }) => recipe).join("; ")}.\n\n| variant | change | agreement % | KL | SQNR dB | seconds |\n| --- | --: | --: | --: | --: | --: |\n${[
      figures("edgewright", own, true),
      ...ranked.map(([label, rows]) => figures(label, rows, false)),
    ].join("\n")}`,
  );
  if (!best) continue;
  const difference = mean(own.map(({ change }) => change)) - mean(best[1].map(({ change }) => change));
  differences.push(difference);
  const closest = Math.max(...ranked.map(([, rows]) => mean(known(rows, "sqnr"))));
  summary.push(
    `| ${model} | ${spread(own.map(({ change }) => change))} | ${best[0]} | ${spread(best[1].map(({ change }) => change))} | ${difference.toFixed(2)} | ${mean(known(own, "sqnr")).toFixed(1)} | ${closest.toFixed(1)} |`,
  );
}

/** One setting for all models, as a user would have it; only settings that worked on every model. */
const settings = [...new Set(peers.rows.map(({ tool, variant }) => `${tool} ${variant}`))].flatMap((label) => {
  const means = ptqModels.flatMap((model) => {
    const rows = groups(model).get(label);
    return rows ? [mean(rows.map(({ change }) => change))] : [];
  });
  return means.length === ptqModels.length ? [{ label, change: mean(means) }] : [];
});
settings.push({
  label: "**edgewright**",
  change: mean(ptqModels.map((model) => mean(ours.filter((row) => row.model === model).map(({ change }) => change)))),
});
const overall = settings
  .sort((a, b) => b.change - a.change)
  .map(({ label, change }) => `| ${label} | ${change.toFixed(2)} |`)
  .join("\n");

writeFileSync(
  new URL("ptq.md", import.meta.url),
  `# Post-training INT8: edgewright beside its peers

\`npx tsx bench/quantize/ptq-peers.ts\`, \`ptq.ts\`, \`ptq-report.ts\`. ${peers.device}; ${Object.entries(peers.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}.
Three draws of calibration samples (100, or a quarter of small sets), the same for all; evaluated on others, in onnxruntime-node; mean ± standard
deviation over the draws. "Change" is the metric minus FP32's (points for %, else the metric's unit). The peer's column is the best of all its
settings in hindsight, by that very change; edgewright gives one file, chosen without labels. On models with a few hundred evaluation samples a
point is a handful of samples: closeness to FP32 (agreement, KL, SQNR) tells the quantizers apart better.
NNCF leaves no quantizer behind most convolutions, and onnxruntime then runs them in float: in its optimized graph of the first draw's files all 113 of
YOLOX-nano, all 61 of proxyless and 39 of 52 of MobileNetV2 are float. Ours run in integers but for the layers named.

| model | edgewright | best peer setting | its change | difference | SQNR dB | best peer SQNR dB |
| --- | --: | --- | --: | --: | --: | --: |
${summary.join("\n")}

Mean change over all models of each setting that works on all of them:

| setting | mean change |
| --- | --: |
${overall}

Mean difference from the best setting of any peer, chosen in hindsight for each model: ${mean(differences).toFixed(2)}.

${sections.join("\n\n")}
`,
);
