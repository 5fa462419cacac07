import { encodeOnnx } from "../formats/onnx/index.ts";
import { type Model, type Outputs, type PreparedSample, toFloat32 } from "../ir/index.ts";
import type { RunSample } from "../measure/task.ts";
import { runPass } from "../passes/manager.ts";
import { quantizeStatic } from "../passes/quantize/static.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import type { Executor, Session } from "../runtime/executor.ts";
import type { RunOptions } from "../util/progress.ts";
import { type CandidateSource, quantizableNodes, type StaticChoice } from "./candidates.ts";
import type { Sensitivity } from "./manifest.ts";

export interface SensitivityOptions extends RunOptions {
  readonly executor: Executor;
  readonly samples: readonly PreparedSample[];
  readonly run?: RunSample | undefined;
  readonly choice: StaticChoice;
  /** Milliseconds after which the rest is left unmeasured. */
  readonly timeMs: number;
}

/**
 * Quantizes one node at a time and measures how far the outputs move: the noise each node brings by itself, worst first. Measured on
 * the runtime, because weight norms rank nodes badly. Stops at the time limit; nodes not reached are absent.
 */
export async function measureSensitivity(
  simplified: Model,
  source: CandidateSource,
  options: SensitivityOptions,
): Promise<Sensitivity[]> {
  const nodes = quantizableNodes(simplified, source.row);
  const deadline = performance.now() + options.timeMs;
  const reference = await outputsOf(simplified, options);
  const found: Sensitivity[] = [];
  for (const [i, { key, opType }] of nodes.entries()) {
    options.signal?.throwIfAborted();
    if (performance.now() > deadline) break;
    options.onProgress?.({ step: "sensitivity", done: i, total: nodes.length, detail: key });
    const model = simplified.clone();
    const exclude = nodes.filter((other) => other.key !== key).map((other) => other.key);
    await runPass(
      quantizeStatic,
      model,
      { row: source.row, statistics: source.statistics, ...options.choice, exclude },
      ortEvaluate,
    );
    found.push({ node: key, opType, sqnr: sqnrOf(reference, await outputsOf(model, options)), samples: options.samples.length });
  }
  return found.sort((a, b) => a.sqnr - b.sqnr);
}

async function outputsOf(model: Model, { executor, samples, run, signal }: SensitivityOptions): Promise<Outputs[]> {
  // without the runtime's own optimizations loading is several times faster, and integer results are the same
  const session: Session = await executor.load(encodeOnnx(model), { optimization: "basic" });
  try {
    const outputs: Outputs[] = [];
    for (const sample of samples) outputs.push(run ? await run({ session, sample, signal }) : await session.run(sample.feeds));
    return outputs;
  } finally {
    await session.release();
  }
}

/** Signal over noise of all float outputs together, dB; 200 stands for equality. */
export function sqnrOf(reference: readonly Outputs[], outputs: readonly Outputs[]): number {
  let signal = 0;
  let noise = 0;
  reference.forEach((expected, i) => {
    for (const [name, tensor] of Object.entries(expected)) {
      const other = outputs[i]?.[name];
      if (!other || tensor.dtype !== "float32" || other.size !== tensor.size) continue;
      const a = toFloat32(tensor);
      const b = toFloat32(other);
      for (let j = 0; j < a.length; j++) {
        signal += (a[j] as number) ** 2;
        noise += ((a[j] as number) - (b[j] as number)) ** 2;
      }
    }
  });
  return noise === 0 || signal === 0 ? 200 : Math.min(200, 10 * Math.log10(signal / noise));
}
