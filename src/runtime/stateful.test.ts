import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeOnnx } from "../formats/index.ts";
import { float32Tensor, parseModel, type Tensor, toFloat32 } from "../ir/index.ts";
import { trainingSession } from "./executor.ts";
import { ortNode } from "./ort-node.ts";
import { ortWeb } from "./ort-web.ts";
import type { StatefulProgram, StatefulRuntime } from "./stateful.ts";
import { localRuntime } from "./stateful-local.ts";
import { workerRuntime } from "./stateful-worker.ts";

const bytesOf = (graph: string): Uint8Array => encodeOnnx(parseModel(graph));

/** w' = w - lr·g, and how far it went. */
const descent: StatefulProgram = {
  bytes: bytesOf(`step (float[3] w, float[3] g, float lr) => (float[3] w_next, float[3] move) {
    move = Mul (g, lr)
    w_next = Sub (w, move)
  }`),
  stateInputs: { w: "weights" },
  stateOutputs: { w_next: "weights" },
};
const total: StatefulProgram = {
  bytes: bytesOf("sum (float[3] v) => (float total) { total = ReduceSum <keepdims = 0> (v) }"),
  stateInputs: { v: "weights" },
  stateOutputs: {},
};
/** Its state grows: memory of an earlier value never fits. */
const growing: StatefulProgram = {
  bytes: bytesOf("grow (float[N] seen, float[2] more) => (float[M] all) { all = Concat <axis = 0> (seen, more) }"),
  stateInputs: { seen: "seen" },
  stateOutputs: { all: "seen" },
};

const start = float32Tensor([3], [1, 2, 3]);
const feeds = { g: float32Tensor([3], [1, 0, -2]), lr: float32Tensor([], [0.5]) };
const numbers = (tensor: Tensor | undefined): number[] => Array.from(toFloat32(tensor as Tensor));

const kinds = {
  "local ort-node": () => localRuntime(ortNode),
  "local ort-web": () => localRuntime(ortWeb),
  "worker ort-node": () => workerRuntime(),
  "worker ort-web": () => workerRuntime({ executor: "ort-web" }),
} satisfies Record<string, () => StatefulRuntime | Promise<StatefulRuntime>>;

describe.each(Object.keys(kinds) as (keyof typeof kinds)[])("a stateful runtime, %s", (kind) => {
  let runtime: StatefulRuntime;
  beforeAll(async () => {
    runtime = await kinds[kind]();
  });
  afterAll(() => runtime?.close());

  it("moves its states on with every run, and gives the other outputs", async () => {
    const step = await runtime.load(descent, trainingSession());
    await runtime.write({ weights: start });
    for (let i = 1; i <= 10; i++) {
      const outputs = await step.run(feeds);
      expect(Object.keys(outputs)).toEqual(["move"]);
      expect(numbers(outputs.move)).toEqual([0.5, 0, -1]);
      // halves and small integers: exact in float32
      const { weights } = await runtime.read(["weights"]);
      expect(numbers(weights)).toEqual([1 - i / 2, 2, 3 + i]);
    }
    await step.release();
  });

  it("shares states between programs", async () => {
    const [step, sum] = [await runtime.load(descent), await runtime.load(total)];
    await runtime.write({ weights: start });
    expect(numbers((await sum.run({})).total)).toEqual([6]);
    await step.run(feeds);
    expect(numbers((await sum.run({})).total)).toEqual([6.5]);
    await Promise.all([step.release(), sum.release()]);
  });

  it("runs in the order of the calls", async () => {
    const [step, sum] = [await runtime.load(descent), await runtime.load(total)];
    await runtime.write({ weights: start });
    const runs = [sum.run({}), step.run(feeds), sum.run({}), step.run(feeds), runtime.read(["weights"])] as const;
    const [first, , second, , { weights }] = await Promise.all(runs);
    expect([first, second].map((outputs) => numbers(outputs.total))).toEqual([[6], [6.5]]);
    expect(numbers(weights)).toEqual([0, 2, 5]);
    await Promise.all([step.release(), sum.release()]);
  });

  it("reads copies, and leaves alone what was written and fed", async () => {
    const step = await runtime.load(descent);
    const mine = float32Tensor([3], [1, 2, 3]);
    await runtime.write({ weights: mine });
    const reads: number[][] = [];
    const kept: Tensor[] = [];
    for (let i = 0; i < 5; i++) {
      const outputs = await step.run(feeds, ["w_next"]);
      const read = await runtime.read(["weights"]);
      for (const tensor of [outputs.w_next, read.weights]) kept.push(tensor as Tensor);
      reads.push(numbers(outputs.w_next), numbers(read.weights));
    }
    expect(kept.map(numbers)).toEqual(reads);
    expect(reads.at(-1)).toEqual([-1.5, 2, 8]);
    expect(numbers(mine)).toEqual([1, 2, 3]);
    expect(numbers(feeds.g)).toEqual([1, 0, -2]);
    await step.release();
  });

  it("follows a state whose shape changes", async () => {
    const grow = await runtime.load(growing);
    await runtime.write({ seen: float32Tensor([0], []) });
    for (let i = 0; i < 4; i++) await grow.run({ more: float32Tensor([2], [i, -i]) });
    const { seen } = await runtime.read(["seen"]);
    expect(numbers(seen)).toEqual([0, -0, 1, -1, 2, -2, 3, -3]);
    await grow.release();
  });

  it("keeps its states when a run fails", async () => {
    const step = await runtime.load(descent);
    await runtime.write({ weights: start });
    await step.run(feeds);
    await step.run(feeds);
    await step.run(feeds);
    const before = numbers((await runtime.read(["weights"])).weights);
    await expect(step.run({ ...feeds, g: float32Tensor([2], [1, 1]) })).rejects.toMatchObject({ code: "ORT_RUN" });
    expect(numbers((await runtime.read(["weights"])).weights)).toEqual(before);
    await step.release();
  });

  it("says which name is wrong", async () => {
    const step = await runtime.load(descent);
    await runtime.write({ weights: start });
    const code = (name: string) => ({ code: name, name: "EdgewrightError" });
    await expect(runtime.read(["nothing"])).rejects.toMatchObject({
      ...code("STATE_MISSING"),
      subject: "nothing",
      message: 'The state "nothing" is read before it was written.',
      hint: expect.stringContaining("weights"),
    });
    await expect(step.run({ g: feeds.g })).rejects.toMatchObject({ ...code("FEED_MISSING"), subject: "lr" });
    await expect(step.run({ ...feeds, w: start })).rejects.toMatchObject({ ...code("PROGRAM_NAMES"), subject: "w" });
    await expect(step.run(feeds, ["loss"])).rejects.toMatchObject({ ...code("PROGRAM_NAMES"), subject: "loss" });
    await expect(runtime.load({ ...descent, stateInputs: { x: "weights" } })).rejects.toMatchObject(code("PROGRAM_NAMES"));
    const twice = { w_next: "weights", move: "weights" };
    await expect(runtime.load({ ...descent, stateOutputs: twice })).rejects.toMatchObject(code("STATE_BINDING"));
    await expect(runtime.load({ ...descent, bytes: new Uint8Array([1, 2]) })).rejects.toMatchObject(code("ORT_LOAD"));
    await step.release();
    await expect(step.run(feeds)).rejects.toMatchObject(code("PROGRAM_RELEASED"));
  });

  it("finishes what was asked before it closes, and refuses what comes later", async () => {
    const own = await kinds[kind]();
    const step = await own.load(descent);
    await own.write({ weights: start });
    const [outputs] = await Promise.all([step.run(feeds), own.close()]);
    expect(numbers(outputs.move)).toEqual([0.5, 0, -1]);
    await expect(step.run(feeds)).rejects.toMatchObject({ code: "RUNTIME_CLOSED" });
    await expect(own.load(descent)).rejects.toMatchObject({ code: "RUNTIME_CLOSED" });
    await own.close();
  });
});

it("holds two tensors for a state, however many runs there were", async () => {
  const floats = 1_000_000;
  const halve: StatefulProgram = {
    bytes: bytesOf(`halve (float[${floats}] w) => (float[${floats}] next) <float half = {0.5}> { next = Mul (w, half) }`),
    stateInputs: { w: "w" },
    stateOutputs: { next: "w" },
  };
  const runtime = localRuntime(ortNode);
  const program = await runtime.load(halve);
  const before = process.memoryUsage().arrayBuffers;
  await runtime.write({ w: float32Tensor([floats], new Float32Array(floats)) });
  const held: number[] = [];
  for (let i = 0; i < 30; i++) {
    await program.run({});
    held.push((process.memoryUsage().arrayBuffers - before) / (4 * floats));
  }
  // the written tensor may not have been collected yet, nor a copy of it
  expect(Math.max(...held)).toBeLessThan(4.5);
  await runtime.close();
});
