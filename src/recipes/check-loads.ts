import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Model } from "../ir/index.ts";
import { measureProcess } from "../measure/memory.ts";
import { randomInputs } from "../measure/random-inputs.ts";
import type { ExecutorName } from "../runtime/executors.ts";
import { saveModel } from "../runtime/model-file.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { modelInputs } from "./setup.ts";

/** The quantized model runs once, in a process of its own, before anything is written: some graphs crash a runtime outright. */
export async function checkLoads(model: Model, executorName: ExecutorName, { signal }: RunOptions): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "edgewright-"));
  try {
    const path = join(folder, "quantized.onnx");
    await saveModel(model, path, { signal });
    const { feeds } = randomInputs(modelInputs(model));
    await measureProcess(path, feeds, { signal, executorName, processes: 1, runs: 1 });
  } catch (cause) {
    if (!(cause instanceof EdgewrightError)) throw cause;
    throw new EdgewrightError(
      "QUANTIZED_FAILS",
      `The quantized model does not run in ${executorName}, so it was not written: ${cause.message}`,
      {
        hint: "Leave nodes in float with --exclude, or try another --method.",
        cause,
      },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
