/**
 * Reading and writing ONNX files beside the Python package, on the same files, turn by turn.
 *
 *   python3 -m venv .venv && .venv/bin/pip install -r bench/peers/requirements.txt
 *   EDGEWRIGHT_DATA=… npx tsx --expose-gc bench/io/run.ts [--python .venv/bin/python]
 *
 * Writes bench/io/results.md.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fromTypedArray, Graph, Model } from "../../src/ir/index.ts";
import { loadModel, saveModel } from "../../src/runtime/model-file.ts";
import { seededRandom } from "../../src/util/random.ts";
import { realModel } from "../../test/real-data.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const flag = process.argv.indexOf("--python");
const python = flag > 0 ? (process.argv[flag + 1] as string) : resolve(".venv/bin/python");
const rounds = 15;

/** 40 layers of 1,400 x 1,400 weights: 314 MB. */
function syntheticModel(): Model {
  const [layers, width] = [40, 1400];
  const graph = new Graph("wide");
  const uniform = seededRandom(1);
  const data = Float32Array.from({ length: width * width }, () => uniform() - 0.5);
  let value = graph.addInput("x", { dtype: "float32", shape: ["N", width] });
  for (let i = 0; i < layers; i++) {
    // each layer has memory of its own, as in a real model
    const weight = graph.addInitializer(`w${i}`, fromTypedArray("float32", [width, width], data.slice()));
    value = graph.node("Relu", [graph.node("MatMul", [value, weight], { outputs: [`m${i}`] }).output], {
      outputs: [`r${i}`],
    }).output;
  }
  graph.addOutput(value);
  value.type = { dtype: "float32", shape: ["N", width] };
  return new Model({ graph });
}

class Peer {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    this.#process = spawn(python, [join(here, "../peers/io_onnx.py")], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#process.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async answer<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the peer stopped; is there a Python with onnx at ${python}?`);
    return JSON.parse(value as string) as T;
  }

  async time(command: "load" | "save", path: string): Promise<number> {
    this.#process.stdin?.write(`${command} ${path}\n`);
    return (await this.answer<{ ms: number }>()).ms;
  }

  stop(): void {
    this.#process.stdin?.end();
  }
}

async function time(step: () => Promise<unknown>): Promise<number> {
  (globalThis as { gc?: () => void }).gc?.();
  const start = performance.now();
  await step();
  return performance.now() - start;
}

const quantile = (samples: readonly number[], at: number): number =>
  samples.toSorted((a, b) => a - b)[Math.floor(at * (samples.length - 1))] as number;

interface Timing {
  readonly name: string;
  readonly megabytes: number;
  readonly ours: Record<"read" | "write", number[]>;
  readonly peer: Record<"read" | "write", number[]>;
}

async function measure(name: string, path: string, folder: string, peer: Peer): Promise<Timing> {
  const timing: Timing = {
    name,
    megabytes: (await stat(path)).size / 1e6,
    ours: { read: [], write: [] },
    peer: { read: [], write: [] },
  };
  // the first round warms the page cache, the compilers and both processes, and does not count
  for (let round = 0; round <= rounds; round++) {
    let model: Model | undefined;
    const read = await time(async () => {
      model = await loadModel(path);
    });
    const peerRead = await peer.time("load", path);
    const ours = join(folder, "ours.onnx");
    const theirs = join(folder, "theirs.onnx");
    await rm(ours, { force: true });
    const write = await time(() => saveModel(model as Model, ours));
    await rm(ours, { force: true });
    const peerWrite = await peer.time("save", theirs);
    await rm(theirs, { force: true });
    if (round === 0) continue;
    timing.ours.read.push(read);
    timing.ours.write.push(write);
    timing.peer.read.push(peerRead);
    timing.peer.write.push(peerWrite);
  }
  return timing;
}

function rows({ name, megabytes, ours, peer }: Timing): string[] {
  return (["read", "write"] as const).map((kind) => {
    const speed = (samples: readonly number[]) => Math.round((megabytes / quantile(samples, 0.5)) * 1000);
    const ratios = peer[kind].map((ms, i) => ms / (ours[kind][i] as number));
    const spread = `${quantile(ratios, 0.1).toFixed(2)} to ${quantile(ratios, 0.9).toFixed(2)}`;
    const median = quantile(ratios, 0.5).toFixed(2);
    return `| ${name}, ${megabytes.toFixed(1)} MB | ${kind} | ${speed(ours[kind])} | ${speed(peer[kind])} | ${median} | ${spread} |`;
  });
}

const folder = await mkdtemp(join(tmpdir(), "edgewright-io-"));
const peer = new Peer();
try {
  const { version } = await peer.answer<{ version: string }>();
  const wide = join(folder, "wide.onnx");
  await saveModel(syntheticModel(), wide);
  const real = join(folder, "mobilenetv2.onnx");
  await copyFile(realModel("mobilenetv2-1.0-224"), real);
  const timings = [
    await measure("mobilenetv2-1.0-224", real, folder, peer),
    await measure("synthetic, 40 layers", wide, folder, peer),
  ];
  const [cpu] = cpus();
  const lines = [
    "# Reading and writing ONNX files",
    "",
    `\`npx tsx --expose-gc bench/io/run.ts\`, ${new Date().toISOString().slice(0, 10)}. ${cpu?.model ?? "unknown CPU"}, ${cpus().length} cores, ${process.platform} ${process.arch};`,
    `node ${process.versions.node} against Python's onnx ${version} (\`onnx.load\`, \`onnx.save\`).`,
    "",
    `Both work on the same files in a temporary folder, from and to the page cache, in turns: ${rounds} rounds after one that does not count.`,
    "Ours writes to a temporary name, renames, and computes the file's SHA-256 meanwhile; the peer does none of these. MB/s of medians; the",
    "ratio is the peer's time over ours within a round, its median, and its 10 % and 90 % quantiles.",
    "",
    "| file | | ours, MB/s | onnx, MB/s | times faster | spread |",
    "| --- | --- | --: | --: | --: | --: |",
    ...timings.flatMap(rows),
    "",
  ];
  await writeFile(join(here, "results.md"), lines.join("\n"));
  process.stdout.write(`${lines.join("\n")}\n`);
} finally {
  peer.stop();
  await rm(folder, { recursive: true, force: true });
}
