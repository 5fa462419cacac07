// Generated files say what their generators would write today.
import { spawnSync } from "node:child_process";
import { type Findings, root } from "./source-files.ts";

export function checkGenerated(): Findings {
  const run = spawnSync(process.execPath, ["scripts/generate.mjs", "--check"], { cwd: root, encoding: "utf8" });
  return { problems: run.status === 0 ? [] : [`${run.stdout}${run.stderr}`.trim()] };
}
