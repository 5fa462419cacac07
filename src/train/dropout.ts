import { toNumbers, type Value } from "../ir/index.ts";
import { dropout } from "../ops/activations.ts";
import type { GraphBuilder } from "../ops/builder.ts";
import { recordOf } from "../ops/infer-node.ts";
import type { TrainingGraph } from "./training-graph.ts";

/** Name of the input that changes what is dropped: any number in [0, 1), another one for every step. */
export const dropoutSeed = "dropout_seed";

/**
 * Uniform numbers in [0, 1) that depend on `seed` and the position alone: the fractional part of a large sine. Random ops of the runtime
 * keep hidden state, so that a resumed run would draw other numbers; this draws the same.
 */
export function positionNoise(b: GraphBuilder, shape: readonly number[], seed: Value, stream: number): Value {
  const size = shape.reduce((a, dim) => a * dim, 1);
  const ramp = b.op("Range", [b.scalar(0), b.scalar(size), b.scalar(1)]);
  // the ramp runs through the circle in steps that share no divisor with it; two rounds break up the remaining pattern
  const once = fraction(
    b,
    b.mul(b.op("Sin", [b.add(b.mul(ramp, 0.7548777), b.mul(b.add(seed, stream * 0.618034), 6.2831853))]), 43758.547),
  );
  const twice = fraction(b, b.mul(b.op("Sin", [b.mul(b.add(once, seed), 78.233)]), 12543.853));
  return b.reshape(twice, shape);
}

const fraction = (b: GraphBuilder, x: Value): Value => b.sub(x, b.op("Floor", [x]));

/** Dropout nodes drop while training and pass their input on in evaluation (inverted dropout: what stays is scaled up). */
export function trainDropout(training: TrainingGraph): void {
  const { b, graph } = training;
  let stream = 0;
  for (const node of [...graph.nodes]) {
    if (recordOf(node, b.opsets) !== dropout || node.outputs.length > 1) continue;
    const x = node.inputs[0] as Value;
    const ratio = node.inputs[1]?.constant ? (toNumbers(node.inputs[1].constant)[0] ?? 0.5) : 0.5;
    stream++;
    const replacement = b.before(node, () => {
      if (training.mode === "evaluate" || ratio <= 0) return b.op("Identity", [x]);
      const noise = positionNoise(b, b.shape(x), training.hyperparameter(dropoutSeed, 0), stream);
      const kept = b.mul(b.positive(b.sub(noise, ratio)), 1 / (1 - ratio));
      return b.mul(x, b.stopGradient(kept));
    });
    graph.replaceAllUses(node.output, replacement);
    graph.remove(node);
  }
}
