// Files of at most 600 lines and functions of at most 100; above 300 and 40 it is told, not failed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Findings, isTest, root } from "./source-files.ts";

const limits = { file: { habit: 300, hard: 600 }, function: { habit: 40, hard: 100 } } as const;

interface Diagnostic {
  readonly message: string;
  readonly location: { readonly path: string; readonly start: { readonly line: number } };
}

/** Biome counts the lines: it has a parser, and its limits can be set to the habit. */
function measure(): Diagnostic[] {
  const folder = mkdtempSync(join(tmpdir(), "edgewright-size-"));
  try {
    const rules = {
      preset: "none",
      complexity: { noExcessiveLinesPerFunction: { level: "error", options: { maxLines: limits.function.habit } } },
      style: { noExcessiveLinesPerFile: { level: "error", options: { maxLines: limits.file.habit } } },
    };
    writeFileSync(join(folder, "biome.json"), JSON.stringify({ files: { includes: ["**", "!**/*.gen.ts"] }, linter: { rules } }));
    const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
    const args = [
      "lint",
      `--config-path=${folder}`,
      "--reporter=json",
      "--max-diagnostics=none",
      "src",
      "test",
      "scripts",
      "examples",
    ];
    const run = spawnSync(process.execPath, [biome, ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
    return (JSON.parse(run.stdout) as { diagnostics: Diagnostic[] }).diagnostics;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function checkSize(): Findings {
  const problems: string[] = [];
  const notes: string[] = [];
  for (const { message, location } of measure()) {
    const match = /^This (file|function) has too many lines \((\d+)\)/.exec(message);
    if (!match) continue;
    const kind = match[1] as "file" | "function";
    // a test's describe() holds many cases; the limit is meant for logic
    if (kind === "function" && isTest(location.path)) continue;
    const lines = Number(match[2]);
    const text = `${location.path}${kind === "function" ? `:${location.start.line}` : ""}: a ${kind} of ${lines} lines (${lines > limits[kind].hard ? `at most ${limits[kind].hard}` : `${limits[kind].habit} by habit`})`;
    (lines > limits[kind].hard ? problems : notes).push(text);
  }
  return { problems, notes };
}
