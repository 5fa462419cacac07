/**
 * Runs every configuration beside this file and writes results.md: the FP32 baselines of the shared models, measured against expected.
 *
 *   EDGEWRIGHT_DATA=/path/to/data npx tsx bench/eval/run.ts [name ...]
 */
import { readdir, rename, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { thisDevice } from "../../src/measure/device.ts";
import { type EvalReport, evaluate } from "../../src/measure/evaluate.ts";
import { parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";

const folder = dirname(fileURLToPath(import.meta.url));
process.env.EDGEWRIGHT_DATA ??= resolve(folder, "../../../shared/data");

interface Row {
  readonly name: string;
  readonly description: string;
  readonly report: EvalReport;
}

async function runOne(file: string): Promise<Row> {
  const path = join(folder, file);
  const config = parseEvalConfig(await readEvalConfig(path), folder, path);
  const report = await evaluate(config, ortNode);
  return { name: basename(file, ".json"), description: config.description ?? "", report };
}

const number = (value: number): string => String(Number(value.toFixed(3)));

function lines({ name, report }: Row): string[] {
  return report.expectations.map(({ metric, expected, within, measured, met }) => {
    const measurement = report.measurements.find((one) => one.metric === metric);
    const interval = measurement?.interval
      ? `${number(measurement.interval[0])} to ${number(measurement.interval[1])}`
      : "none (one sample)";
    const unit = measurement?.unit ?? "";
    const cells = [
      `[${name}](${name}.json)`,
      `${metric}${unit ? `, ${unit}` : ""}`,
      number(expected),
      measured === null ? "none" : number(measured),
      interval,
      String(measurement?.n ?? report.n),
      `± ${within}`,
      met ? "yes" : "**no**",
      report.seconds.toFixed(1),
    ];
    return `| ${cells.join(" | ")} |`;
  });
}

function page(rows: readonly Row[]): string {
  const device = thisDevice();
  const warnings = rows.flatMap(({ name, report }) => report.warnings.map((warning) => `- ${name}: ${warning}`));
  return `# FP32 baselines, measured by \`edgewright eval\`

Written by \`npx tsx bench/eval/run.ts\`. Expected values: the data folder's own \`README.md\` and \`baselines.json\`, measured there by
independent scripts. Seconds are for the whole evaluation with one thread, trying other preprocessing presets included.

| configuration | metric | expected | measured | 95 % interval | n | tolerance | within | seconds |
| --- | --- | ---: | ---: | --- | ---: | --- | --- | ---: |
${rows.flatMap(lines).join("\n")}

What each one is:

${rows.map(({ name, description }) => `- **${name}**: ${description}`).join("\n")}

Warnings of the runs:

${warnings.length > 0 ? warnings.join("\n") : "none"}

Conditions: ${device.summary}, Node ${device.node}, onnxruntime-node ${ortNode.version}, ${new Date().toISOString().slice(0, 10)}.
`;
}

const asked = process.argv.slice(2);
const files = (await readdir(folder)).filter((file) => file.endsWith(".json")).sort();
const chosen = asked.length > 0 ? files.filter((file) => asked.includes(basename(file, ".json"))) : files;
const rows: Row[] = [];
for (const file of chosen) {
  const row = await runOne(file);
  rows.push(row);
  const verdict = row.report.expectations
    .map(({ metric, measured, met }) => `${metric} ${measured} ${met ? "ok" : "NOT AS EXPECTED"}`)
    .join(", ");
  process.stdout.write(`${row.name}: ${verdict} (${row.report.seconds.toFixed(1)} s)\n`);
}
// a run of some configurations must not replace the page about all
if (asked.length === 0) {
  await writeFile(join(folder, "results.md.part"), page(rows));
  await rename(join(folder, "results.md.part"), join(folder, "results.md"));
}
if (rows.some(({ report }) => report.expectations.some(({ met }) => !met))) process.exitCode = 2;
