import { expect, it } from "vitest";
import { parseModel, type Tensor, tensorOf, toFloat32 } from "../ir/index.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { localRuntime } from "../runtime/stateful-local.ts";
import { seededRandom } from "../util/random.ts";
import { compileTraining } from "./compile.ts";
import { lossSchema } from "./losses.ts";
import { optimizerSchema } from "./optimizers.ts";
import { scheduleSchema } from "./schedules.ts";
import { runTraining, type StepReport, type TrainerBatch, type TrainerOptions } from "./trainer.ts";

const model = parseModel(`
<ir_version: 10, opset_import: ["" : 21]>
mlp (float[N, 2] x) => (float[N, 2] y)
<float[2, 6] w1 = {0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.6, -0.1, 0.2, 0.4, -0.3, 0.5}, float[6] b1 = {0, 0, 0, 0, 0, 0},
 float[6, 2] w2 = {0.1, -0.3, 0.4, 0.2, -0.2, 0.5, 0.3, 0.1, 0.2, -0.4, -0.1, 0.3}, float[2] b2 = {0, 0}, float ratio = {0.2}>
{
  h = Gemm (x, w1, b1)
  r = Relu (h)
  d = Dropout (r, ratio)
  y = Gemm (d, w2, b2)
}`);

/** Two half circles, one for each class, by seed and position. */
function batchAt(epoch: number, index: number, size: number): TrainerBatch {
  const uniform = seededRandom(1000 * epoch + index);
  const x = new Float32Array(2 * size);
  const target = new Float32Array(2 * size);
  for (let i = 0; i < size; i++) {
    const label = uniform() < 0.5 ? 0 : 1;
    const angle = Math.PI * uniform();
    x[2 * i] = label ? 1 - Math.cos(angle) : Math.cos(angle);
    x[2 * i + 1] = label ? 0.5 - Math.sin(angle) : Math.sin(angle);
    target[2 * i + label] = 1;
  }
  return { feeds: { x: tensorOf("float32", [size, 2], x) }, targets: { target: tensorOf("float32", [size, 2], target) } };
}

const stepsPerEpoch = 20;
async function* batches(epoch: number, start: number, size = 16, count = stepsPerEpoch): AsyncGenerator<TrainerBatch> {
  for (let i = start; i < count; i++) yield batchAt(epoch, i, size);
}

const optimizer = optimizerSchema.parse({ name: "adam", learningRate: 0.02 });
const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  optimizer,
  schedule: scheduleSchema.parse({ name: "cosine" }),
  epochs: 3,
  stepsPerEpoch,
  seed: 4,
  ...more,
});
const compiled = compileTraining(model, { batch: 16, losses: [lossSchema.parse({ name: "softmax-cross-entropy" })], optimizer });

interface Run {
  readonly losses: number[];
  readonly states: Readonly<Record<string, Tensor>>;
  readonly reason: string;
}

async function run(more: Partial<TrainerOptions> = {}, initial?: Readonly<Record<string, Tensor>>): Promise<Run> {
  const runtime = localRuntime(ortNode);
  await runtime.write(initial ?? compiled.initialStates());
  const losses: number[] = [];
  const { reason } = await runTraining(
    compiled,
    runtime,
    batches,
    options({ onStep: ({ loss }) => void losses.push(loss), ...more }),
  );
  const states = await runtime.read(["parameters", "momentum", "second_moment"]);
  await runtime.close();
  return { losses, states, reason };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const bits = ({ states }: Run): Buffer[] => Object.values(states).map((tensor) => Buffer.from(tensor.bytes()));

it("learns, and the same again from the same seed", async () => {
  const first = await run();
  expect(first.losses).toHaveLength(3 * stepsPerEpoch);
  expect(mean(first.losses.slice(-10))).toBeLessThan(0.6 * mean(first.losses.slice(0, 10)));
  expect(bits(await run())).toEqual(bits(first));
  expect(bits(await run({ seed: 5 }))).not.toEqual(bits(first));
});

it("goes on from a stored position to the same bits", async () => {
  const whole = await run();
  const controller = new AbortController();
  const half = await run({
    signal: controller.signal,
    onStep: ({ globalStep }: StepReport) => void (globalStep === 33 && controller.abort()),
  });
  expect(half.reason).toBe("interrupted");
  const rest = await run({ from: { epoch: 1, step: 13 } }, half.states);
  expect(bits(rest)).toEqual(bits(whole));
});

it("accumulated batches make the step of one large batch", async () => {
  const plain = parseModel(`<ir_version: 10, opset_import: ["" : 21]> line (float[N, 2] x) => (float[N, 2] y)
    <float[2, 2] w = {0.3, -0.2, 0.5, 0.1}, float[2] b = {0, 0}> { y = Gemm (x, w, b) }`);
  const sgd = optimizerSchema.parse({ name: "sgd", learningRate: 0.1 });
  const final = async (batch: number, accumulate: number): Promise<Float32Array> => {
    const program = compileTraining(plain, {
      batch,
      losses: [lossSchema.parse({ name: "softmax-cross-entropy" })],
      optimizer: sgd,
    });
    const runtime = localRuntime(ortNode);
    await runtime.write(program.initialStates());
    const all = async function* (epoch: number): AsyncGenerator<TrainerBatch> {
      const { feeds, targets } = batchAt(epoch, 0, 8);
      const part = (tensor: Tensor | undefined, i: number): Tensor =>
        tensorOf("float32", [batch, 2], toFloat32(tensor as Tensor).slice(2 * batch * i, 2 * batch * (i + 1)));
      for (let i = 0; i < accumulate; i++) yield { feeds: { x: part(feeds.x, i) }, targets: { target: part(targets.target, i) } };
    };
    await runTraining(program, runtime, all, options({ optimizer: sgd, epochs: 5, stepsPerEpoch: 1, accumulate }));
    const { parameters } = await runtime.read(["parameters"]);
    await runtime.close();
    return toFloat32(parameters as Tensor);
  };
  const [large, small] = [await final(8, 1), await final(2, 4)];
  // the same sums in another order
  large.forEach((value, i) => {
    expect(small[i]).toBeCloseTo(value, 5);
  });
});

it("says what to try when the loss runs away", async () => {
  const wild = { ...optimizer, learningRate: 1e30 };
  await expect(run({ optimizer: wild })).rejects.toThrow(/diverged at learning rate/);
});

it("stops when it is told to after an epoch", async () => {
  const { losses, reason } = await run({ onEpoch: async (epoch) => (epoch === 1 ? "stop" : undefined) });
  expect(reason).toBe("stopped");
  expect(losses).toHaveLength(2 * stepsPerEpoch);
});

it("names a tensor that the batches lack", async () => {
  const runtime = localRuntime(ortNode);
  await runtime.write(compiled.initialStates());
  const lacking = async function* (): AsyncGenerator<TrainerBatch> {
    yield { feeds: batchAt(0, 0, 16).feeds, targets: {} };
  };
  await expect(runTraining(compiled, runtime, lacking, options())).rejects.toThrow(/no "target"/);
  await runtime.close();
});
