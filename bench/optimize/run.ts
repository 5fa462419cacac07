/**
 * The whole main job on MobileNetV2 with the 500 sample images: wall time, and what it chose.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/optimize/run.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import { candidateRows, finalLines, optimize } from "../../src/recipes/index.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const evaluation = parseEvalConfig(await readEvalConfig(resolve(here, "../eval/mobilenetv2.json")), resolve(here, "../eval"));
const out = mkdtempSync(join(tmpdir(), "edgewright-bench-"));
try {
  const manifest = await optimize({ evaluation, out });
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.trim()).join(" | ")} |`;
  const markdown = `# The main job on MobileNetV2, 500 images

\`npx tsx bench/optimize/run.ts\`, ${manifest.createdAt.slice(0, 10)}. ${manifest.device}; ${Object.entries(manifest.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}; ${manifest.target.threads} thread.

**Whole run: ${manifest.wallSeconds.toFixed(0)} s** (bar: under 5 minutes on 2 cores). ${manifest.data.calibration} calibration, ${manifest.data.selection} selection and ${manifest.data.final} final samples.

${manifest.verdict.recommendation} ${finalLines(manifest).join(" ")}

${line(["candidate", "size", "p50", "speed", manifest.data.metric, "change [95 %]", "outcome"])}
${line(["---", "--:", "--:", "--:", "--:", "--:", "---"])}
${candidateRows(manifest).map(line).join("\n")}
`;
  writeFileSync(join(here, "results.md"), markdown);
  console.log(markdown);
} finally {
  rmSync(out, { recursive: true, force: true });
}
