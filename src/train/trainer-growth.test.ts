import { expect, test } from "vitest";
import { parseModel, tensorOf } from "../ir/index.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { localRuntime } from "../runtime/stateful-local.ts";
import { compileTraining } from "./compile.ts";
import { lossSchema } from "./losses.ts";
import { optimizerSchema } from "./optimizers.ts";
import { scheduleSchema } from "./schedules.ts";
import { runTraining, type TrainerBatch } from "./trainer.ts";

const line = parseModel(`<ir_version: 10, opset_import: ["" : 21]> line (float[N, 1] x) => (float[N, 1] y)
  <float[1, 1] w = {1}> { y = MatMul (x, w) }`);
const stepsPerEpoch = 150;
/** Squared error of y = w, whose gradient step at this rate overshoots: w becomes −1.03 w. */
const optimizer = optimizerSchema.parse({ name: "sgd", learningRate: 1.015, momentum: 0 });

async function* batches(_epoch: number, start: number): AsyncGenerator<TrainerBatch> {
  const [x, target] = [tensorOf("float32", [1, 1], [1]), tensorOf("float32", [1, 1], [0])];
  for (let i = start; i < stepsPerEpoch; i++) yield { feeds: { x }, targets: { target } };
}

async function train(watchGrowth: boolean | undefined): Promise<number[]> {
  const compiled = compileTraining(line, { batch: 1, losses: [lossSchema.parse({ name: "mse" })], optimizer });
  const runtime = localRuntime(ortNode);
  await runtime.write(compiled.initialStates());
  const losses: number[] = [];
  try {
    await runTraining(compiled, runtime, batches, {
      optimizer,
      schedule: scheduleSchema.parse({ name: "constant" }),
      epochs: 1,
      stepsPerEpoch,
      watchGrowth,
      onStep: ({ loss }) => void losses.push(loss),
    });
  } finally {
    await runtime.close();
  }
  return losses;
}

test("a loss that stays far above its early size ends the run", async () => {
  await expect(train(undefined)).rejects.toThrow(/more than ten times its early size/);
  await expect(train(true)).rejects.toThrow(/diverged at learning rate 1.0/);
});

test("unless the loss is allowed to grow", async () => {
  const losses = await train(false);
  expect(losses).toHaveLength(stepsPerEpoch);
  expect(losses.at(-1)).toBeGreaterThan(100 * (losses[10] as number));
});
