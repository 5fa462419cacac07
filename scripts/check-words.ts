// Nothing in the repository depends on, or tells of, the machine that it was written on.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Findings, root } from "./source-files.ts";

const patterns: readonly (readonly [RegExp, string])[] = [
  [/(?<![\w.])\/(?:home|Users)\/(?!you\b|me\b|user\b)[a-z][\w-]*\//, "an absolute path of somebody's home"],
  [/(?<![\w.~])\/(?:root|work|workspace)\/[\w.-]+/, "an absolute path of one machine"],
  [/(?<![\w.$}])\/tmp\/[\w-]+/, "a fixed path in /tmp (use a fresh temporary folder)"],
  [/"resolved":\s*"https?:/, "a registry host in the lock file"],
  [/^(?:<{7}|>{7}) /m, "a merge conflict"],
];
const text = /\.(?:[cm]?[jt]s|json|md|py|sh|ya?ml|html|txt)$|(?:^|\/)(?:run|\.npmrc|\.gitignore|LICENSE)$/;

export function checkWords(): Findings {
  const listed = execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" }).split("\0");
  const problems: string[] = [];
  for (const path of listed) {
    if (
      !text.test(path) ||
      path === "scripts/check-words.ts" ||
      !existsSync(join(root, path)) ||
      statSync(join(root, path)).size > 2e6
    )
      continue;
    readFileSync(join(root, path), "utf8")
      .split("\n")
      .forEach((line, i) => {
        for (const [pattern, what] of patterns) if (pattern.test(line)) problems.push(`${path}:${i + 1} holds ${what}`);
      });
  }
  return { problems };
}
