// `npm test`: types, lint, the repository's own checks, then the tests. Ends with one line, "Tests: N passed, N failed, N skipped".
// With CI=true a skipped test is a failed run: what CI should have and has not must be seen.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (path) => join(root, "node_modules", path);

const steps = [
  ["build", ["scripts/build.mjs"]],
  ["types", [bin("typescript/bin/tsc"), "-p", "tsconfig.json"]],
  ["lint", [bin("@biomejs/biome/bin/biome"), "check", "--max-diagnostics=50", "src", "test", "scripts", "bench", "examples"]],
  ["checks", ["--import", "tsx", "scripts/check.ts"]],
  ["lock file", ["scripts/complete-lockfile.mjs", "--check"]],
];

function runStep([name, args]) {
  const start = performance.now();
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  return status === 0;
}

/** Runs vitest; its JSON report gives the counts, its usual one goes to the terminal. */
function runTests(filters) {
  const folder = mkdtempSync(join(tmpdir(), "edgewright-tests-"));
  try {
    const report = join(folder, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const { status } = spawnSync(process.execPath, [bin("vitest/vitest.mjs"), "run", ...reporters, ...filters], {
      cwd: root,
      stdio: "inherit",
    });
    const result = JSON.parse(readFileSync(report, "utf8"));
    // a file that fails to load holds no failed test, but fails all the same
    const brokenFiles = result.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    ).length;
    const failed = result.numFailedTests + brokenFiles;
    return {
      passed: result.numPassedTests,
      failed: failed === 0 && status !== 0 ? 1 : failed,
      skipped: result.numPendingTests + (result.numTodoTests ?? 0),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const filters = process.argv.slice(2);
const failedSteps = filters.length > 0 ? [] : steps.filter((step) => !runStep(step)).map(([name]) => name);
const { passed, failed, skipped } = runTests(filters);
if (failedSteps.length > 0) console.log(`failed before the tests: ${failedSteps.join(", ")}`);
if (skipped > 0 && process.env.CI === "true") console.log(`${skipped} tests were skipped, which CI does not allow`);
const stepsCounted = filters.length > 0 ? 0 : steps.length;
const allFailed = failed + failedSteps.length + (process.env.CI === "true" ? skipped : 0);
console.log(`Tests: ${passed + stepsCounted - failedSteps.length} passed, ${allFailed} failed, ${skipped} skipped`);
process.exitCode = allFailed === 0 ? 0 : 1;
