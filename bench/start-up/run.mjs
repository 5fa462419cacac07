// How long `edgewright --help` takes, beside an empty Node process: node bench/start-up/run.mjs [--write]
// Bar: the median below 150 ms. Interleaved, so that a busy machine slows both alike.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

const bar = 150;
const rounds = 40;
const bin = fileURLToPath(new URL("../../bin/edgewright.js", import.meta.url));
const subjects = {
  "empty Node process": ["-e", "0"],
  "edgewright --help": [bin, "--help"],
  "edgewright --version": [bin, "--version"],
};

function once(args) {
  const start = process.hrtime.bigint();
  const { status } = spawnSync(process.execPath, args, { stdio: "ignore" });
  if (status !== 0) throw new Error(`node ${args.join(" ")} ended with ${status}`);
  return Number(process.hrtime.bigint() - start) / 1e6;
}

const samples = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
for (let round = -2; round < rounds; round++)
  for (const [name, args] of Object.entries(subjects)) {
    const ms = once(args);
    // the first two rounds fill the file cache
    if (round >= 0) samples[name].push(ms);
  }

const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];
const round1 = (ms) => Math.round(ms * 10) / 10;
const results = Object.entries(samples).map(([subject, values]) => ({
  subject,
  p50Ms: round1(quantile(values, 0.5)),
  p95Ms: round1(quantile(values, 0.95)),
}));
const report = {
  what: "wall time of a whole process, from spawn to exit",
  protocol: `${rounds} rounds, interleaved, after 2 rounds of warm-up; file cache warm`,
  machine: `${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.versions.node}`,
  at: new Date().toISOString(),
  barMs: bar,
  results,
};
console.table(results);
if (process.argv.includes("--write"))
  writeFileSync(new URL("results.json", import.meta.url), `${JSON.stringify(report, null, 2)}\n`);
const help = results.find(({ subject }) => subject === "edgewright --help");
console.log(help.p50Ms < bar ? `met: ${help.p50Ms} ms < ${bar} ms` : `missed: ${help.p50Ms} ms >= ${bar} ms`);
process.exitCode = help.p50Ms < bar ? 0 : 1;
