// Runs the repository's own checks: tsx scripts/check.ts [name …]
import { checkExports } from "./check-exports.ts";
import { checkGenerated } from "./check-generated.ts";
import { checkLayers } from "./check-layers.ts";
import { checkOpNames } from "./check-op-names.ts";
import { checkSize } from "./check-size.ts";
import { checkUnused } from "./check-unused.ts";
import { checkWords } from "./check-words.ts";
import type { Findings } from "./source-files.ts";

const checks: Readonly<Record<string, () => Findings | Promise<Findings>>> = {
  layers: checkLayers,
  size: checkSize,
  "op-names": checkOpNames,
  words: checkWords,
  unused: checkUnused,
  generated: checkGenerated,
  exports: checkExports,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(checks, name));
if (unknown.length > 0) {
  console.error(`no check named ${unknown.join(", ")}; there are ${Object.keys(checks).join(", ")}`);
  process.exit(1);
}
for (const [name, check] of Object.entries(checks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const { problems, notes = [] } = await check();
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${name}${notes.length ? ` (${notes.length} past the habit)` : ""}`);
  for (const problem of problems) console.log(`     ${problem}`);
  if (wanted.length > 0) for (const note of notes) console.log(`     note: ${note}`);
  if (problems.length > 0) process.exitCode = 1;
}
