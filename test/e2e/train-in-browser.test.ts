import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTrainingData, trainingBatches } from "../../src/data/train/index.ts";
import { encodeOnnx } from "../../src/formats/index.ts";
import { float32Tensor, parseModel, type Tensor, toFloat32 } from "../../src/ir/index.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import type { Executor } from "../../src/runtime/executor.ts";
import { localRuntime, ortNode, trainingSession } from "../../src/runtime/index.ts";
import { ortWeb } from "../../src/runtime/ort-web.ts";
import { type CompiledTraining, compileTraining } from "../../src/train/compile.ts";
import { lossSchema } from "../../src/train/losses.ts";
import { optimizerSchema } from "../../src/train/optimizers.ts";
import { prepareForTraining } from "../../src/train/prepare.ts";
import { seededRandom } from "../../src/util/random.ts";
import { buildModel } from "../../src/zoo/index.ts";
import { noRealData, realData } from "../real-data.ts";
import { launchBrowser, noBrowser } from "./browser.ts";
import { type BrowserTraining, trainInBrowser } from "./train-in-browser.ts";

/** Linear regression with momentum; its gradient by hand. */
const program = {
  bytes: encodeOnnx(
    parseModel(`step (float[8,4] x, float[8,1] t, float lr, float[4,1] w, float[4,1] m) => (float loss, float[4,1] w_next, float[4,1] m_next)
    <float decay = {0.9}, float scale = {0.25}> {
      y = MatMul (x, w)
      error = Sub (y, t)
      squares = Mul (error, error)
      loss = ReduceMean <keepdims = 0> (squares)
      x_t = Transpose <perm = [1, 0]> (x)
      sums = MatMul (x_t, error)
      g = Mul (sums, scale)
      kept = Mul (m, decay)
      m_next = Add (kept, g)
      move = Mul (m_next, lr)
      w_next = Sub (w, move)
    }`),
  ),
  stateInputs: { w: "weights", m: "moments" },
  stateOutputs: { w_next: "weights", m_next: "moments" },
};
const states = { weights: float32Tensor([4, 1], [0, 0, 0, 0]), moments: float32Tensor([4, 1], [0, 0, 0, 0]) };
const truth = [1, -2, 0.5, 3];
const random = seededRandom(5);
const feeds = Array.from({ length: 40 }, () => {
  const x = Array.from({ length: 32 }, () => random() * 2 - 1);
  const t = Array.from({ length: 8 }, (_, row) => truth.reduce((sum, w, i) => sum + w * (x[4 * row + i] as number), 0));
  return { x: float32Tensor([8, 4], x), t: float32Tensor([8, 1], t), lr: float32Tensor([], [0.1]) };
});
const numbers = (tensor: Tensor | undefined): number[] => Array.from(toFloat32(tensor as Tensor));

async function trainHere(): Promise<{ losses: number[]; weights: number[] }> {
  const runtime = localRuntime(ortNode);
  const step = await runtime.load(program, trainingSession());
  await runtime.write(states);
  const losses: number[] = [];
  for (const feed of feeds) losses.push(...numbers((await step.run(feed)).loss));
  const { weights } = await runtime.read(["weights"]);
  await runtime.close();
  return { losses, weights: numbers(weights) };
}

const batch = 64;

/** The small CNN with batch normalization, and 40 batches of real pictures. */
async function cnnTraining(): Promise<{ training: Omit<BrowserTraining, "threads">; compiled: CompiledTraining }> {
  const prepared = await prepareForTraining(buildModel("cnn"), { batchNormalization: "train", evaluate: ortEvaluate });
  const compiled = compileTraining(prepared, {
    batch,
    losses: [lossSchema.parse({ name: "softmax-cross-entropy" })],
    optimizer: optimizerSchema.parse({ name: "sgd", momentum: 0.9 }),
  });
  const image = compiled.step.dataInputs[0]?.name as string;
  const data = await openTrainingData({
    train: realData("fashion-mnist/train-images-idx3-ubyte.gz"),
    preprocess: "fashion-mnist",
    inputs: [{ name: image, type: { dtype: "float32", shape: ["N", 1, 28, 28] } }],
    limit: 40 * batch,
    validationFraction: 0,
  });
  const steps: Record<string, Tensor>[] = [];
  const scalars = Object.fromEntries(
    Object.keys(compiled.step.hyperparameters).map((name) => [name, float32Tensor([], [name === "learning_rate" ? 0.005 : 1])]),
  );
  for await (const one of trainingBatches(data.training, { batch, targets: { form: "classes", classes: 10 } })(0))
    steps.push({ ...one.feeds, ...one.targets, ...scalars });
  const program = { ...compiled.step, bytes: encodeOnnx(compiled.step.model) };
  return { training: { program, states: compiled.initialStates(), feeds: steps, loss: "loss" }, compiled };
}

/** Losses of the same steps in this process. */
async function lossesOf(executor: Executor, { program, states, feeds }: Omit<BrowserTraining, "threads">): Promise<number[]> {
  const runtime = localRuntime(executor);
  const step = await runtime.load(program, trainingSession());
  await runtime.write(states);
  const losses: number[] = [];
  for (const feed of feeds) losses.push(...numbers((await step.run(feed, ["loss"])).loss));
  await runtime.close();
  return losses;
}

describe.skipIf(noRealData)("one step graph everywhere", () => {
  it("the Fashion-MNIST CNN trains in onnxruntime-web under Node as in onnxruntime-node", async () => {
    const { training } = await cnnTraining();
    const short = { ...training, feeds: training.feeds.slice(0, 10) };
    const [node, web] = [await lossesOf(ortNode, short), await lossesOf(ortWeb, short)];
    // other kernels sum in another order, and batch normalization amplifies it
    for (const [i, loss] of web.entries()) expect(Math.abs(loss - (node[i] as number))).toBeLessThan(1e-2);
  });
});

describe.skipIf(noBrowser || noRealData)("real pictures in a browser", () => {
  it("the Fashion-MNIST CNN trains 40 steps in Chromium with Node's losses", async () => {
    const browser = await launchBrowser();
    try {
      const { training } = await cnnTraining();
      const node = await lossesOf(ortNode, training);
      const { losses } = await trainInBrowser(browser, training);
      expect(losses).toHaveLength(40);
      expect(losses.at(-1)).toBeLessThan(0.6 * (losses[0] as number));
      for (const [i, loss] of losses.entries()) expect(Math.abs(loss - (node[i] as number)), `step ${i}`).toBeLessThan(1e-2);
    } finally {
      await browser.close();
    }
  });
});

describe.skipIf(noBrowser)("training in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser?.close());

  it.each([1, 2])("gives the losses and weights of training here, on %i threads", async (threads) => {
    const here = await trainHere();
    const there = await trainInBrowser(browser, { program, states, feeds, loss: "loss", threads });
    expect(there.isolated).toBe(true);
    expect(there.losses).toHaveLength(feeds.length);
    expect(there.losses.at(-1)).toBeLessThan((there.losses[0] as number) / 10);
    // float32 sums of eight products in another order, over 40 contracting steps
    for (const [i, loss] of there.losses.entries()) expect(Math.abs(loss - (here.losses[i] as number))).toBeLessThan(1e-5);
    for (const [i, weight] of numbers(there.states.weights).entries())
      expect(Math.abs(weight - (here.weights[i] as number))).toBeLessThan(1e-5);
  });
});
