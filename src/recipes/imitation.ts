import type { Model, Node, Tensor, Value } from "../ir/index.ts";
import { inferShapes } from "../ops/infer.ts";
import { runPass } from "../passes/manager.ts";
import { weightLimit } from "../passes/quantize/parameters.ts";
import { nodeKey, planQuantization } from "../passes/quantize/plan.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { quantizeStatic } from "../passes/quantize/static.ts";
import type { WeightChoice } from "../passes/quantize/weights.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import type { FakeQuantizedWeight } from "../train/fake-quantize.ts";

/** Parameters of the static pass, as far as imitating needs to know them. */
export interface ImitatedPass {
  readonly row: QuantizationRow;
  readonly exclude?: readonly string[];
  readonly weightBits?: number;
  readonly weights?: ReadonlyMap<string, WeightChoice>;
  readonly [name: string]: unknown;
}

/** A quantized graph for training to imitate. */
export interface Imitation {
  /** The float model with quantize–dequantize pairs around activations; weights and biases float. */
  readonly model: Model;
  readonly weights: readonly FakeQuantizedWeight[];
  /**
   * A quantize node that replaced a Relu reads the value before it, that of a result reads a value of another name; the pass asks for the
   * value by its name in the float model. First → second.
   */
  readonly points: ReadonlyMap<string, string>;
}

/** Runs the static pass on a copy and puts the float weights back: what is left are the activations' pairs. */
export async function imitate(prepared: Model, parameters: ImitatedPass): Promise<Imitation> {
  const { row, exclude = [], weightBits = 8 } = parameters;
  const model = prepared.clone();
  inferShapes(model);
  const plan = planQuantization(model, row, new Set(exclude));
  const originals = new Map<Node, readonly Original[]>();
  const weights: FakeQuantizedWeight[] = [];
  for (const { node, weight } of plan.nodes.values()) {
    originals.set(node, weight ? originalsOf(node, [weight.index, weight.bias]) : []);
    if (!weight) continue;
    const { name } = node.inputs[weight.index] as Value;
    const bits = parameters.weights?.get(name)?.bits ?? weightBits;
    weights.push({ name, axis: weight.axis, limit: weightLimit(row.weight.reduceRange, bits) });
  }
  const asked = [...plan.nodes.values()].map(({ node, point }) => ({ node, point, name: point.name }));
  // tables (embeddings) are rounded on export only
  const lookups = plan.lookups.map(({ node }) => nodeKey(node));
  await runPass(quantizeStatic, model, { ...parameters, exclude: [...exclude, ...lookups] }, ortEvaluate);
  for (const [node, own] of originals) restoreFloat(model, node, own);
  removeUnused(model);
  inferShapes(model);
  // a result of the model leaves its name to the dequantized value, so names are asked for only now
  const points = new Map(asked.flatMap(({ node, point, name }) => [point, node.output].map((value) => [value.name, name])));
  return { model, weights, points };
}

interface Original {
  readonly index: number;
  readonly name: string;
  readonly tensor: Tensor;
}

const originalsOf = (node: Node, indices: readonly (number | undefined)[]): Original[] =>
  indices.flatMap((index) => {
    const value = index === undefined ? undefined : node.inputs[index];
    return value?.constant ? [{ index: index as number, name: value.name, tensor: value.constant }] : [];
  });

function restoreFloat({ graph }: Model, node: Node, originals: readonly Original[]): void {
  for (const { index, name, tensor } of originals) {
    const known = [...graph.initializers].find((value) => value.name === name);
    node.setInput(index, known ?? graph.addInitializer(name, tensor));
  }
}

function removeUnused({ graph }: Model): void {
  for (const node of [...graph.nodesReversed()])
    if (node.outputs.every((output) => output.uses.size === 0 && !output.isGraphOutput)) graph.remove(node);
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
}
