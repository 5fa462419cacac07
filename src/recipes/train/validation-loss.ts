import { evaluationBatches, type SampleStore, type TargetOptions } from "../../data/train/index.ts";
import { encodeOnnx } from "../../formats/index.ts";
import { type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { trainingSession } from "../../runtime/executor.ts";
import type { StatefulRuntime } from "../../runtime/stateful.ts";
import type { TrainingProgram } from "../../train/program.ts";

/** Mean loss of full batches of a store with the weights that the runtime holds; an incomplete last batch is left out, unless it is the only one. */
export async function evaluationLoss(
  program: TrainingProgram,
  runtime: StatefulRuntime,
  store: SampleStore,
  options: { readonly batch: number; readonly targets: TargetOptions; readonly threads: number },
): Promise<number> {
  const loaded = await runtime.load({ ...program, bytes: encodeOnnx(program.model) }, trainingSession(options.threads));
  const scalars = Object.fromEntries(
    Object.entries(program.hyperparameters).map(([name, value]) => [name, tensorOf("float32", [], [value])]),
  );
  let sum = 0;
  let batches = 0;
  try {
    for await (const batch of evaluationBatches(store, options)) {
      if (batch.count < options.batch && batches > 0) break;
      const { loss } = await loaded.run({ ...batch.feeds, ...batch.targets, ...scalars }, ["loss"]);
      sum += toFloat32(loss as Tensor)[0] as number;
      batches++;
    }
  } finally {
    await loaded.release();
  }
  return sum / batches;
}
