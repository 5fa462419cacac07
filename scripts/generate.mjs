// Writes every generated file anew; `--check` instead compares and leaves the tree as it was.
//   node scripts/generate.mjs [--check]
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Each generator is a script that writes its files in place; the order matters where one reads another's output. */
const generators = ["scripts/generate-registry.mjs", "scripts/generate-ops-table.ts", "scripts/generate-cli-docs.ts"];
const generatedDocs = ["docs/ops.md", "docs/cli.md"];

function generatedFiles() {
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((name) => `src/${name.replaceAll("\\", "/")}`);
  return [...sources.filter((path) => path.endsWith(".gen.ts")), ...generatedDocs];
}

const snapshot = () =>
  new Map(
    generatedFiles().flatMap((path) => (existsSync(join(root, path)) ? [[path, readFileSync(join(root, path), "utf8")]] : [])),
  );

function runGenerators() {
  for (const script of generators) {
    if (!existsSync(join(root, script))) continue;
    const loader = script.endsWith(".ts") ? ["--import", "tsx"] : [];
    const run = spawnSync(process.execPath, [...loader, script], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    if (run.status !== 0) throw new Error(`${script} failed`);
  }
}

const before = snapshot();
runGenerators();
if (process.argv.includes("--check")) {
  const after = snapshot();
  const stale = [...new Set([...before.keys(), ...after.keys()])].filter((path) => before.get(path) !== after.get(path));
  for (const path of stale) {
    if (before.has(path)) writeFileSync(join(root, path), before.get(path));
    else rmSync(join(root, path));
  }
  if (stale.length > 0) {
    console.error(`stale: ${stale.join(", ")}; run npm run generate and commit the result`);
    process.exitCode = 1;
  }
}
