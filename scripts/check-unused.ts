// No source file that nothing imports, no dependency that nothing uses, no import of what package.json does not list (knip.json).
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Findings, root } from "./source-files.ts";

export function checkUnused(): Findings {
  const args = [join(root, "node_modules/knip/bin/knip.js"), "--include", "files,dependencies,unlisted,unresolved"];
  const run = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  return { problems: run.status === 0 ? [] : `${run.stdout}${run.stderr}`.trim().split("\n") };
}
