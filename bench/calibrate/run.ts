/**
 * Calibrate and quantize MobileNetV2 with 100 images, per channel, percentile ranges: `edgewright quantize` beside
 * `onnxruntime.quantization.quantize_static`, whole processes in turn, wall time and peak resident memory of each.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/calibrate/run.ts [--python .venv/bin/python] [--rounds 3]
 *
 * The peer reads inputs that are decoded already; ours decodes the JPEG files as part of its time.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { thisDevice } from "../../src/measure/device.ts";
import { parseEvalConfig, readEvalConfig } from "../../src/measure/evaluate-config.ts";
import { openSetup } from "../../src/recipes/setup.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { writeNpz } from "../quantize/npz.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = resolve(here, "../..");
const option = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(name);
  return at >= 0 ? (process.argv[at + 1] as string) : fallback;
};
const python = option("--python", resolve(root, ".venv/bin/python"));
const rounds = Number(option("--rounds", "3"));

interface Figures {
  readonly seconds: number;
  readonly peakRssBytes: number;
}

/** Wall time of the whole process; peak memory as the kernel accounts it to the child. */
function timed(command: string, args: readonly string[]): Figures {
  const wrapper =
    "import resource,subprocess,sys,time,json\nt=time.perf_counter()\nr=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)\nprint(json.dumps({'seconds':time.perf_counter()-t,'peakRssBytes':resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss*1024,'status':r.returncode}))";
  const run = spawnSync(python, ["-c", wrapper, command, ...args], { encoding: "utf8" });
  const figures = JSON.parse(run.stdout) as Figures & { status: number };
  if (figures.status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${figures.status}`);
  return figures;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const evaluation = parseEvalConfig(
  { ...(await readEvalConfig(resolve(here, "../eval/mobilenetv2.json"))), check: false },
  resolve(here, "../eval"),
);
const setup = await openSetup({ evaluation });
const folder = mkdtempSync(join(tmpdir(), "edgewright-bench-"));
try {
  const samples = [];
  for await (const sample of setup.samples(undefined, { limit: 100 })) samples.push(sample);
  const inputs = join(folder, "inputs.npz");
  writeNpz(inputs, samples);
  const data = typeof evaluation.data === "string" ? evaluation.data : (evaluation.data?.path as string);
  const ours: Figures[] = [];
  const peer: Figures[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(
      timed(process.execPath, [
        join(root, "bin/edgewright.js"),
        "quantize",
        setup.modelPath,
        "--data",
        data,
        "--preprocess",
        "imagenet",
        "--no-check",
        "--ranges",
        "percentile",
        "--calibration",
        "100",
        "-o",
        join(folder, "ours.onnx"),
      ]),
    );
    peer.push(timed(python, [resolve(here, "../peers/quantize_onnxruntime.py"), setup.modelPath, inputs, folder, "percentile"]));
  }
  const row = (name: string, runs: readonly Figures[]): string =>
    `| ${name} | ${median(runs.map((r) => r.seconds)).toFixed(2)} (${runs.map((r) => r.seconds.toFixed(2)).join(", ")}) | ${(median(runs.map((r) => r.peakRssBytes)) / 1e6).toFixed(0)} |`;
  const ratio = (of: (figures: Figures) => number): string => (median(ours.map(of)) / median(peer.map(of))).toFixed(3);
  const markdown = `# Calibrate and quantize: wall time and memory

MobileNetV2 1.0-224, 100 images, per channel, 99.99 % percentile ranges; whole processes in turn, ${rounds} rounds, median (all).
\`npx tsx bench/calibrate/run.ts\`, ${new Date().toISOString().slice(0, 10)}. ${thisDevice().summary}; node ${process.versions.node}, onnxruntime-node ${ortNode.version}, onnxruntime 1.30.0 (Python).
The peer reads decoded inputs; ours decodes the JPEG files as part of its time.

| | seconds | peak RSS, MB |
| --- | --: | --: |
${row("edgewright quantize", ours)}
${row("onnxruntime quantize_static", peer)}

Ours over the peer: time ${ratio((r) => r.seconds)}, memory ${ratio((r) => r.peakRssBytes)}. The bar is 1/3 for both.
`;
  writeFileSync(join(here, "results.md"), markdown);
  console.log(markdown);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
