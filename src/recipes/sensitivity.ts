import { encodeOnnx } from "../formats/onnx/index.ts";
import { type Model, type Outputs, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import type { Feeds } from "../measure/latency.ts";
import { inferShapes } from "../ops/infer.ts";
import { type NodePlan, nodeKey, planQuantization } from "../passes/quantize/plan.ts";
import { dequantizedValues } from "../passes/quantize/probe.ts";
import { gridOf } from "../passes/quantize/static.ts";
import { chosenWeight } from "../passes/quantize/weights.ts";
import type { Session } from "../runtime/executor.ts";
import type { Sensitivity } from "./manifest.ts";
import type { PtqContext } from "./ptq/context.ts";
import { mean, outputsOf } from "./ptq/divergence.ts";
import { quantized } from "./ptq/quantized.ts";
import type { Recipe } from "./ptq/recipe.ts";

export interface SensitivityOptions {
  /** Milliseconds after which the rest is left unmeasured. */
  readonly timeMs: number;
  /** Inputs that a layer is judged on, at most; default 64. */
  readonly samples?: number;
  /** For how many of the worst nodes weights and activations are told apart. */
  readonly split?: number;
}

/**
 * Quantizes one node at a time and measures how far the outputs move from the float model's: what each node costs by itself, worst first.
 * Measured on the runtime, because weight norms rank nodes badly. Stops at the time limit; nodes not reached are absent.
 */
export async function measureSensitivity(
  recipe: Recipe,
  context: PtqContext,
  { timeMs, samples = 64, split = 8 }: SensitivityOptions,
): Promise<Sensitivity[]> {
  const feeds = context.feeds.slice(0, samples);
  const model = recipe.model.clone();
  inferShapes(model);
  const excluded = new Set(recipe.options.exclude);
  const plans = [...planQuantization(model, context.row, excluded).nodes.values()].filter(({ op }) => op.role === "anchor");
  const bench = await OneAtATime.open(
    recipe,
    context,
    feeds,
    plans.map(({ node }) => nodeKey(node)),
  );
  const deadline = performance.now() + timeMs;
  const found: Sensitivity[] = [];
  for (const [i, { node }] of plans.entries()) {
    if (performance.now() > deadline) break;
    context.options.onProgress?.({ step: "sensitivity", done: i, total: plans.length, detail: nodeKey(node) });
    const { divergence, sqnr } = await bench.quantizedAlone(nodeKey(node));
    const entry = {
      node: nodeKey(node),
      opType: node.opType,
      sqnr,
      divergence,
      share: 0,
      weightsOnly: null,
      activationsOnly: null,
    };
    found.push({ ...entry, samples: feeds.length });
  }
  const total = found.reduce((sum, { divergence }) => sum + divergence, 0);
  found.sort((a, b) => b.divergence - a.divergence);
  for (const entry of found) entry.share = total > 0 ? entry.divergence / total : 0;
  for (const entry of found.slice(0, split)) {
    if (performance.now() > deadline) break;
    const plan = plans.find(({ node }) => nodeKey(node) === entry.node) as NodePlan;
    entry.weightsOnly = await bench.weightsAlone(plan);
    // small errors of independent origin add up
    entry.activationsOnly = Math.max(0, entry.divergence - (entry.weightsOnly ?? 0));
  }
  return found;
}

/** The float model's outputs, and what one change does to them. */
class OneAtATime {
  readonly #recipe: Recipe;
  readonly #context: PtqContext;
  readonly #feeds: readonly Feeds[];
  readonly #keys: readonly string[];
  readonly #reference: readonly Outputs[];

  private constructor(
    recipe: Recipe,
    context: PtqContext,
    feeds: readonly Feeds[],
    keys: readonly string[],
    reference: readonly Outputs[],
  ) {
    this.#recipe = recipe;
    this.#context = context;
    this.#feeds = feeds;
    this.#keys = keys;
    this.#reference = reference;
  }

  static async open(recipe: Recipe, context: PtqContext, feeds: readonly Feeds[], keys: readonly string[]): Promise<OneAtATime> {
    const { executor, threads, options } = context;
    const reference = await outputsOf(recipe.model, feeds, executor, { threads }, options);
    return new OneAtATime(recipe, context, feeds, keys, reference);
  }

  async quantizedAlone(key: string): Promise<{ divergence: number; sqnr: number }> {
    const { model, statistics, choices, options } = this.#recipe;
    const exclude = [...(options.exclude ?? []), ...this.#keys.filter((other) => other !== key)];
    const alone = await quantized(model, { row: this.#context.row, statistics }, choices, { ...options, exclude });
    const outputs = await this.#outputs(alone);
    return { divergence: this.#divergence(outputs), sqnr: sqnrOf(this.#reference, outputs) };
  }

  /** The float model with one weight rounded. */
  async weightsAlone({ node, weight }: NodePlan): Promise<number | null> {
    if (!weight) return null;
    const model: Model = this.#recipe.model.clone();
    const { name } = node.inputs[weight.index] as Value;
    const value = [...model.graph.initializers].find((initializer) => initializer.name === name);
    if (!value?.constant) return null;
    const { choices, options } = this.#recipe;
    const grid = gridOf({ row: this.#context.row, weightBits: options.weightBits ?? 8, weights: choices.weights });
    const { tensor, scales, axis } = chosenWeight(value, weight.axis, grid);
    const integers = Int8Array.from(tensor.bytes());
    model.graph.setConstant(value, tensorOf("float32", tensor.shape, dequantizedValues(integers, tensor.shape, scales, axis)));
    return this.#divergence(await this.#outputs(model));
  }

  #divergence(outputs: readonly Outputs[]): number {
    return mean(this.#context.distance.between(this.#reference, outputs, this.#feeds));
  }

  async #outputs(model: Model): Promise<Outputs[]> {
    const { executor, threads, options } = this.#context;
    const session: Session = await executor.load(encodeOnnx(model), { threads });
    try {
      const outputs: Outputs[] = [];
      for (const one of this.#feeds) {
        options.signal?.throwIfAborted();
        outputs.push(await session.run(one));
      }
      return outputs;
    } finally {
      await session.release();
    }
  }
}

/** "these 4 of 53 layers cost 80 % of the loss" */
export function concentration(sensitivity: readonly Sensitivity[], share = 0.8): { readonly nodes: number; readonly of: number } {
  let sum = 0;
  const nodes = sensitivity.findIndex((entry) => {
    sum += entry.share;
    return sum >= share;
  });
  return { nodes: nodes < 0 ? sensitivity.length : nodes + 1, of: sensitivity.length };
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
