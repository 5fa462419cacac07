import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeOnnx } from "../../src/formats/index.ts";
import { float32Tensor, parseModel, type Tensor, toFloat32 } from "../../src/ir/index.ts";
import { localRuntime, ortNode, trainingSession } from "../../src/runtime/index.ts";
import { seededRandom } from "../../src/util/random.ts";
import { launchBrowser, noBrowser } from "./browser.ts";
import { trainInBrowser } from "./train-in-browser.ts";

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
