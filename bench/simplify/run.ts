/**
 * Our simplifier beside onnxslim, on the same files, turn by turn, each call in a fresh process.
 *
 *   npm run build && python3 -m venv .venv && .venv/bin/pip install -r bench/peers/requirements.txt
 *   EDGEWRIGHT_DATA=… npx tsx bench/simplify/run.ts [--python .venv/bin/python]
 *
 * Writes bench/simplify/results.json and results.md.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { allNodes } from "../../src/ir/index.ts";
import { checkEqual } from "../../src/measure/check-equal.ts";
import { loadModel } from "../../src/runtime/model-file.ts";
import { realModel, realModels } from "../../test/real-data.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = resolve(here, "../..");
const flag = process.argv.indexOf("--python");
const python = flag > 0 ? (process.argv[flag + 1] as string) : resolve(".venv/bin/python");
const rounds = 7;

interface Side {
  readonly nodes: number;
  /** Median milliseconds, from file to file after the imports. */
  readonly callMs: number;
  /** Median milliseconds of the whole process: the time a person waits. */
  readonly processMs: number;
  /** Largest difference of an output, relative to its largest magnitude. */
  readonly maxRelative: number;
}
interface Row {
  readonly model: string;
  readonly before: number;
  readonly onnxslim: Side;
  readonly ours: Side;
  /** Median over rounds of onnxslim's time over ours. */
  readonly callRatio: number;
  readonly processRatio: number;
}

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] as number) + (sorted[Math.ceil((sorted.length - 1) / 2)] as number)) / 2;
};

/** Runs a command; its wall time, and the JSON that it prints. */
function timed(command: string, args: readonly string[]): { wall: number; answer: { ms?: number; version?: string } } {
  const start = performance.now();
  const text = execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const wall = performance.now() - start;
  return { wall, answer: JSON.parse(text.slice(text.lastIndexOf("\n{") + 1)) };
}

async function bundleOnce(): Promise<string> {
  const outfile = join(here, ".cache/once.mjs");
  mkdirSync(join(here, ".cache"), { recursive: true });
  await build({
    entryPoints: [join(here, "once.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
  });
  return outfile;
}

let peerVersion = "";

async function bench(model: (typeof realModels)[number], once: string, folder: string): Promise<Row> {
  const input = realModel(model);
  const outputs = { theirs: join(folder, "onnxslim.onnx"), ours: join(folder, "ours.onnx") };
  const samples = { theirCall: [], theirProcess: [], ourCall: [], ourProcess: [] } as Record<string, number[]>;
  for (let round = -1; round < rounds; round++) {
    const theirs = timed(python, [join(here, "../peers/simplify_onnxslim.py"), input, outputs.theirs]);
    const call = timed(process.execPath, [once, input, outputs.ours]);
    const ours = timed(process.execPath, [
      join(root, "bin/edgewright.js"),
      "simplify",
      input,
      "-o",
      outputs.ours,
      "--no-check",
      "--json",
    ]);
    peerVersion = theirs.answer.version ?? peerVersion;
    // the first round fills the file cache
    if (round < 0) continue;
    samples.theirCall?.push(theirs.answer.ms ?? Number.NaN);
    samples.theirProcess?.push(theirs.wall);
    samples.ourCall?.push(call.answer.ms ?? Number.NaN);
    samples.ourProcess?.push(ours.wall);
  }
  const side = async (path: string, call: number[], whole: number[]): Promise<Side> => ({
    nodes: await countNodes(path),
    callMs: median(call),
    processMs: median(whole),
    maxRelative: (await checkEqual(input, path)).maxRelative,
  });
  const { theirCall = [], theirProcess = [], ourCall = [], ourProcess = [] } = samples;
  const ratio = (theirs: number[], ours: number[]) => median(theirs.map((ms, i) => ms / (ours[i] as number)));
  return {
    model,
    before: await countNodes(input),
    onnxslim: await side(outputs.theirs, theirCall, theirProcess),
    ours: await side(outputs.ours, ourCall, ourProcess),
    callRatio: ratio(theirCall, ourCall),
    processRatio: ratio(theirProcess, ourProcess),
  };
}

const countNodes = async (path: string): Promise<number> => [...allNodes((await loadModel(path)).graph)].length;

function report(rows: readonly Row[]): string {
  const ms = (value: number) => value.toFixed(0);
  const lines = rows.map(({ model, before, onnxslim, ours, callRatio, processRatio }) =>
    [
      model,
      before,
      onnxslim.nodes,
      ours.nodes,
      ms(onnxslim.callMs),
      ms(ours.callMs),
      callRatio.toFixed(2),
      ms(onnxslim.processMs),
      ms(ours.processMs),
      processRatio.toFixed(2),
      onnxslim.maxRelative.toExponential(0),
      ours.maxRelative.toExponential(0),
    ].join(" | "),
  );
  const met = rows.filter(
    ({ onnxslim, ours, callRatio, processRatio }) => ours.nodes <= onnxslim.nodes && callRatio > 1 && processRatio > 1,
  );
  return `# Simplifying ONNX files

\`npx tsx bench/simplify/run.ts\`, ${new Date().toISOString().slice(0, 10)}. ${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${process.platform} ${process.arch};
node ${process.versions.node} against onnxslim ${peerVersion}.

Same files, from and to a temporary folder, in turns: ${rounds} rounds after one that does not count, every call in a fresh process. *call* is
reading, simplifying and writing, after the imports; *process* is the whole command, \`edgewright simplify --no-check\` and a Python script
that calls \`onnxslim.slim\`. Milliseconds are medians; × is the median over rounds of onnxslim's time over ours. Ours also upgrades the operator
set to 21 and computes the written file's SHA-256. *difference* is the largest one of any output in onnxruntime on two seeded random
inputs, relative to the output's largest magnitude.

Bar: no more nodes than onnxslim leaves, in less time. Met on ${met.length} of ${rows.length} models.

| model | nodes before | onnxslim | ours | call: onnxslim | ours | × | process: onnxslim | ours | × | difference: onnxslim | ours |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
${lines.map((line) => `| ${line} |`).join("\n")}
`;
}

const folder = mkdtempSync(join(tmpdir(), "edgewright-simplify-"));
try {
  const once = await bundleOnce();
  const rows: Row[] = [];
  for (const model of realModels) rows.push(await bench(model, once, folder));
  const text = report(rows);
  writeFileSync(join(here, "results.md"), text);
  writeFileSync(
    join(here, "results.json"),
    `${JSON.stringify({ rounds, peer: `onnxslim ${peerVersion}`, node: process.versions.node, rows }, null, 2)}\n`,
  );
  process.stdout.write(text);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
