/**
 * Training steps beside PyTorch: the same nets, batches and threads, turn by turn.
 *
 *   python3 -m venv .venv-train && .venv-train/bin/pip install -r bench/peers/requirements-train.txt
 *   npx tsx bench/train/step.ts [--python .venv-train/bin/python] [--rounds 5] [--threads 1,2] [--web]
 *
 * Writes bench/train/step.json and step.md. Without PyTorch only our own times are taken. Times are process CPU time for one thread,
 * wall time for more (lower quartile of the rounds); ratios are medians over rounds of ratios within a round.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { encodeOnnx } from "../../src/formats/index.ts";
import { type Tensor, tensorOf } from "../../src/ir/index.ts";
import { inferShapes } from "../../src/ops/infer.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import type { Executor } from "../../src/runtime/executor.ts";
import { trainingSession } from "../../src/runtime/executor.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { ortWeb } from "../../src/runtime/ort-web.ts";
import { localRuntime } from "../../src/runtime/stateful-local.ts";
import { autoTune } from "../../src/train/autotune.ts";
import { type CompiledTraining, compileTraining } from "../../src/train/compile.ts";
import { lossSchema } from "../../src/train/losses.ts";
import { optimizerSchema } from "../../src/train/optimizers.ts";
import { prepareForTraining } from "../../src/train/prepare.ts";
import type { TrainingProgram } from "../../src/train/program.ts";
import { seededRandom } from "../../src/util/random.ts";
import { type Net, nets } from "./nets.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const option = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? (process.argv[at + 1] as string) : fallback;
};
const python = resolve(option("python", ".venv-train/bin/python"));
const rounds = Number(option("rounds", "5"));
const threadCounts = option("threads", "1,2").split(",").map(Number);
const repeats = 3;

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] as number) + (sorted[Math.ceil((sorted.length - 1) / 2)] as number)) / 2;
};
const lowerQuartile = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 4)] as number;

/** Repeats of one piece of work, in milliseconds. */
interface Times {
  readonly wallMs: number[];
  readonly cpuMs: number[];
}
async function timed(work: () => Promise<unknown>): Promise<Times> {
  const times: Times = { wallMs: [], cpuMs: [] };
  for (let i = 0; i < repeats; i++) {
    const cpu = process.cpuUsage();
    const wall = performance.now();
    await work();
    const { user, system } = process.cpuUsage(cpu);
    times.wallMs.push(performance.now() - wall);
    times.cpuMs.push((user + system) / 1000);
  }
  return times;
}

const scalars = (values: Readonly<Record<string, number>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, tensorOf("float32", [], [value])]));

function feedsFor(net: Net, program: TrainingProgram): Record<string, Tensor> {
  const uniform = seededRandom(1);
  return Object.fromEntries(
    program.dataInputs.map(({ name, dtype, shape }) => {
      const size = shape.reduce((a, d) => a * d, 1);
      if (name === "target") {
        const values = new Float32Array(size);
        for (let row = 0; row < net.batch; row++) values[row * net.classes + Math.floor(uniform() * net.classes)] = 1;
        return [name, tensorOf(dtype, shape, values)];
      }
      const values = Array.from({ length: size }, () => (dtype === "int64" ? Math.floor(1000 * uniform()) : 2 * uniform() - 1));
      return [name, tensorOf(dtype, shape, values)];
    }),
  );
}

interface Work {
  readonly step: () => Promise<Readonly<Record<string, Tensor>>>;
  readonly forward: () => Promise<unknown>;
  readonly close: () => Promise<void>;
}

/** Ready to run: programs loaded, two steps made. */
async function start(net: Net, compiled: CompiledTraining, executor: Executor, threads: number): Promise<Work> {
  const runtime = localRuntime(executor);
  await runtime.write(compiled.initialStates());
  const options = trainingSession(threads);
  const bind = async (program: TrainingProgram) => {
    const loaded = await runtime.load({ ...program, bytes: encodeOnnx(program.model) }, options);
    const feeds = { ...feedsFor(net, program), ...scalars(program.hyperparameters) };
    if ("learning_rate" in feeds) Object.assign(feeds, scalars({ learning_rate: 0.01 }));
    return () => loaded.run(feeds);
  };
  const step = await bind(compiled.step);
  const forward = await bind(compiled.forward());
  for (let i = 0; i < 2; i++) {
    await step();
    await forward();
  }
  return { step, forward, close: () => runtime.close() };
}

async function compile(net: Net, threads: number): Promise<CompiledTraining> {
  const prepared = await prepareForTraining(net.model(), { batchNormalization: "train", evaluate: ortEvaluate });
  inferShapes(prepared);
  const options = {
    batch: net.batch,
    losses: [lossSchema.parse({ name: "softmax-cross-entropy" })],
    optimizer: optimizerSchema.parse({ name: "sgd", momentum: 0.9 }),
  };
  const choose = await autoTune((chooser) => compileTraining(prepared, { ...options, choose: chooser }), {
    executor: ortNode,
    session: trainingSession(threads),
  });
  return compileTraining(prepared, { ...options, choose });
}

interface PeerAnswer {
  readonly step: Times;
  readonly forward: Times;
  readonly error?: string;
}

/** PyTorch in a process of its own, asked line by line. */
class Peer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  version = "";

  constructor() {
    this.#process = spawn(python, [resolve(here, "../peers/train_step.py")]);
    this.#process.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async greet(): Promise<void> {
    this.version = (JSON.parse((await this.#lines.next()).value) as { version: string }).version;
  }

  async ask(net: string, threads: number): Promise<PeerAnswer> {
    this.#process.stdin.write(`${net} ${threads} ${repeats}\n`);
    const answer = JSON.parse((await this.#lines.next()).value) as PeerAnswer;
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  end = (): void => void this.#process.stdin.end();
}

interface Row {
  readonly net: string;
  readonly threads: number;
  readonly stepMs: number;
  readonly forwardMs: number;
  readonly stepOverForward: number;
  readonly peerStepMs: number | null;
  readonly overPeer: number | null;
  readonly nodes: number;
  readonly rssMegabytes: number;
}

const clock = (times: Times, threads: number): number => Math.min(...(threads === 1 ? times.cpuMs : times.wallMs));

async function measure(net: Net, threads: number, peer: Peer | undefined): Promise<Row> {
  const compiled = await compile(net, threads);
  const work = await start(net, compiled, ortNode, threads);
  const own = { step: [] as number[], forward: [] as number[] };
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    own.forward.push(clock(await timed(work.forward), threads));
    own.step.push(clock(await timed(work.step), threads));
    if (peer) theirs.push(clock((await peer.ask(net.name, threads)).step, threads));
  }
  await work.close();
  const ratios = (a: readonly number[], b: readonly number[]): number => median(a.map((value, i) => value / (b[i] as number)));
  const row: Row = {
    net: net.name,
    threads,
    stepMs: lowerQuartile(own.step),
    forwardMs: lowerQuartile(own.forward),
    stepOverForward: ratios(own.step, own.forward),
    peerStepMs: peer ? lowerQuartile(theirs) : null,
    overPeer: peer ? ratios(own.step, theirs) : null,
    nodes: compiled.step.model.graph.nodeCount,
    rssMegabytes: Math.round(process.memoryUsage.rss() / 2 ** 20),
  };
  process.stderr.write(`${JSON.stringify(row)}\n`);
  return row;
}

async function web(net: Net): Promise<{ net: string; webOverNode: number }> {
  const compiled = await compile(net, 1);
  const sides = [await start(net, compiled, ortNode, 1), await start(net, compiled, ortWeb, 1)] as const;
  const ratios: number[] = [];
  for (let round = 0; round < 3; round++) {
    const [node, wasm] = [await timed(sides[0].step), await timed(sides[1].step)];
    ratios.push(clock(wasm, 1) / clock(node, 1));
  }
  for (const side of sides) await side.close();
  return { net: net.name, webOverNode: median(ratios) };
}

const peer = existsSync(python) ? new Peer() : undefined;
await peer?.greet();
const rows: Row[] = [];
for (const threads of threadCounts) for (const net of nets) rows.push(await measure(net, threads, peer));
const wasm = process.argv.includes("--web") ? [await web(nets[0] as Net), await web(nets[2] as Net)] : [];
peer?.end();

const device = `${cpus()[0]?.model.trim()}, ${cpus().length} cores`;
const versions = { node: process.version, onnxruntime: ortNode.version, pytorch: peer?.version ?? null };
writeFileSync(resolve(here, "step.json"), `${JSON.stringify({ device, versions, rounds, rows, wasm }, null, 2)}\n`);
const format = (value: number | null, digits = 2): string => (value === null ? "–" : value.toFixed(digits));
const table = rows.map(
  (row) =>
    `| ${row.net} | ${row.threads} | ${format(row.forwardMs, 1)} | ${format(row.stepMs, 1)} | ${format(row.stepOverForward)} | ${format(row.peerStepMs, 1)} | ${format(row.overPeer)} |`,
);
writeFileSync(
  resolve(here, "step.md"),
  `# Training step beside PyTorch

One step is forward, loss, backward and SGD with momentum. Batches: ${nets.map(({ name, batch }) => `${name} ${batch}`).join(", ")}.
${device}; Node ${versions.node}, onnxruntime ${versions.onnxruntime}, PyTorch ${versions.pytorch ?? "not measured"}; ${rounds} interleaved rounds
of the best of ${repeats}; CPU time for 1 thread, wall time for more. Made by \`bench/train/step.ts\`.

| net | threads | forward (ms) | step (ms) | step ÷ forward | PyTorch step (ms) | ours ÷ PyTorch |
|---|---|---|---|---|---|---|
${table.join("\n")}
${wasm.length > 0 ? `\n${wasm.map(({ net, webOverNode }) => `${net}: the same step graph in onnxruntime-web (WASM, 1 thread) takes ${webOverNode.toFixed(2)} times as long.`).join("\n")}\n` : ""}`,
);
