import { z } from "zod";
import { type Graph, type Model, type Node, type Tensor, tensorOf, type Value } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { definePass } from "../define.ts";
import { correctedBias } from "./bias-correction.ts";
import { linkedAxes } from "./channels.ts";
import { addQuantizedActivationConstant, addQuantizePair, removeUnusedInitializers } from "./emit.ts";
import { guardFloatNodes } from "./guard.ts";
import { representable, type TensorParameters } from "./parameters.ts";
import { biasIndex, type NodePlan, nodeKey, planQuantization, type QuantizationPlan } from "./plan.ts";
import { chooseRange, type Range, type RangeMethod, rangeMethods } from "./ranges.ts";
import { integersOnly, type QuantizationRow } from "./row.ts";
import { solveScales } from "./scales.ts";
import type { ActivationStatistics } from "./statistics.ts";
import { quantizeLookup, quantizeNodeWeights, type WeightChoice, type WeightGrid } from "./weights.ts";

export const staticParams = z.object({
  row: z.custom<QuantizationRow>((row) => typeof row === "object" && row !== null),
  /** Calibration statistics by value name, of the same graph. */
  statistics: z.custom<ReadonlyMap<string, ActivationStatistics>>((map) => map instanceof Map),
  method: z.enum(rangeMethods).default("minmax").describe("How activation ranges are chosen from the calibration statistics"),
  percentile: z.number().min(50).max(100).default(99.99).describe("Share of values kept by the percentile method, in percent"),
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float"),
  weightBits: z.number().int().min(2).max(8).default(8).describe("Bits of weights; below 8 they use fewer of an int8's values"),
  ranges: z
    .custom<ReadonlyMap<string, Range>>((map) => map instanceof Map)
    .default(() => new Map())
    .describe("Ranges found by measuring, by value name; `method` chooses the others"),
  weights: z
    .custom<ReadonlyMap<string, WeightChoice>>((map) => map instanceof Map)
    .default(() => new Map())
    .describe("Bits, scales or integers found by measuring or learning, by the name of the weight's initializer"),
  biases: z
    .custom<ReadonlyMap<string, Float32Array>>((map) => map instanceof Map)
    .default(() => new Map())
    .describe("Corrected biases, by node"),
  biasCorrection: z.boolean().default(false).describe("Move the mean error of rounded weights into the bias"),
});
export type StaticParams = z.infer<typeof staticParams>;

/**
 * Values whose ranges static quantization will want, by name, with the channel axis where bias correction will want means. Infers types
 * on the model.
 */
export function valuesToObserve(model: Model, row: QuantizationRow): { name: string; channelAxis?: number | undefined }[] {
  inferShapes(model);
  const plan = planQuantization(model, row);
  const axes = new Map<string, number | undefined>();
  for (const nodePlan of plan.nodes.values()) {
    const { node, activations, point } = nodePlan;
    for (const index of activations) if (!node.inputs[index]?.constant) axes.set((node.inputs[index] as Value).name, undefined);
    axes.set(point.name, axes.get(point.name));
  }
  for (const nodePlan of plan.nodes.values()) {
    const input = nodePlan.node.inputs[nodePlan.activations[0] as number];
    const axis = linkedAxes(nodePlan)?.input;
    if (input && axis !== undefined && axes.has(input.name)) axes.set(input.name, axis);
  }
  return [...axes].map(([name, channelAxis]) => ({ name, channelAxis }));
}

/** INT8 weights and activations as QuantizeLinear/DequantizeLinear pairs that the target's runtime fuses into integer kernels. */
export const quantizeStatic = definePass<StaticParams>({
  name: "quantize/static",
  summary: "INT8 weights and activations with ranges from calibration",
  params: staticParams,
  run({ model, params, note }) {
    const { row } = params;
    inferShapes(model);
    const plan = planQuantization(model, row, new Set(params.exclude));
    for (const { node, reason } of plan.floats) note("skipped", node, reason);
    const rangeOf = (value: Value) => {
      const statistics = params.statistics.get(value.name);
      return (
        params.ranges.get(value.name) ??
        (statistics &&
          chooseRange(statistics, params.method as RangeMethod, {
            percentile: params.percentile,
            symmetric: row.activation.symmetric,
          }))
      );
    };
    const parameters = solveScales(plan, row, rangeOf);
    const reads = activationReads(plan);
    for (const nodePlan of plan.nodes.values()) quantizeWeightsOf(nodePlan, parameters, params);
    for (const { node, table } of plan.lookups) quantizeLookup(node, table);
    const emitted: Emitted = { points: new Set(), dequantized: new Set(), quantizers: new Set() };
    quantizeOutputs(plan, parameters, reads, emitted, !integersOnly(row));
    rewireInputs(reads, parameters, emitted);
    const planned = new Set(plan.nodes.keys());
    for (const node of guardFloatNodes(model, row, planned, emitted.dequantized, emitted.quantizers))
      note("warning", node, "guarded: the runtime would quantize its weights by itself");
    removeUnusedInitializers(model.graph);
    for (const nodePlan of plan.nodes.values())
      note("did", nodePlan.node, nodePlan.weight ? "integer weights and activations" : "integer activations");
    for (const { node } of plan.lookups) note("did", node, "integer table");
  },
});

interface Read {
  readonly node: Node;
  readonly index: number;
  readonly value: Value;
}

const activationReads = (plan: QuantizationPlan): readonly Read[] =>
  [...plan.nodes.values()].flatMap(({ node, activations }) =>
    activations.map((index) => ({ node, index, value: node.inputs[index] as Value })),
  );

function quantizeWeightsOf(plan: NodePlan, parameters: ReadonlyMap<Value, TensorParameters>, params: StaticParams): void {
  if (!plan.weight) return;
  const input = plan.node.inputs[plan.activations[0] as number] as Value;
  const given = params.biases.get(nodeKey(plan.node));
  const bias: Tensor | undefined = given
    ? tensorOf("float32", [given.length], given)
    : params.biasCorrection
      ? correctedBias(plan, params.statistics.get(input.name)?.channelMeans(), gridOf(params))
      : undefined;
  if (given) ensureBias(plan, given.length);
  quantizeNodeWeights(given ? withBias(plan) : plan, (parameters.get(input) as TensorParameters).scale, gridOf(params), bias);
}

export const gridOf = ({ row, weightBits, weights }: Pick<StaticParams, "row" | "weightBits" | "weights">): WeightGrid => ({
  reduced: row.weight.reduceRange,
  bits: weightBits,
  powerOfTwo: row.weight.powerOfTwo,
  dtype: row.weight.dtype,
  floatBias: row.bias === "float32",
  choices: weights,
});

/** A node that had no bias gets one for its correction. */
function ensureBias(plan: NodePlan, channels: number): void {
  const index = biasIndex(plan);
  const graph = plan.node.graph as Graph;
  if (plan.node.inputs[index]) return;
  plan.node.setInput(
    index,
    graph.addInitializer(
      graph.freshName(`${nodeKey(plan.node)}_bias`),
      tensorOf("float32", [channels], new Float32Array(channels)),
    ),
  );
}

const withBias = (plan: NodePlan): NodePlan => ({
  ...plan,
  weight: { ...(plan.weight as NonNullable<NodePlan["weight"]>), bias: biasIndex(plan) },
});

/** What has been put into the graph so far. */
interface Emitted {
  /** Values that have become integer results. */
  readonly points: Set<Value>;
  readonly dequantized: Set<Value>;
  readonly quantizers: Set<Node>;
}

/** Puts a pair after every planned node whose integer result is wanted; every reader, float ones too, then reads the dequantized value. */
function quantizeOutputs(
  plan: QuantizationPlan,
  parameters: ReadonlyMap<Value, TensorParameters>,
  reads: readonly Read[],
  emitted: Emitted,
  floatResults: boolean,
): void {
  const wanted = new Set(reads.map(({ value }) => value));
  for (const nodePlan of plan.nodes.values()) {
    const { node, op, point } = nodePlan;
    if (op.floatOutput && floatResults && !wanted.has(point)) continue;
    emitted.points.add(point);
    const own = parameters.get(point) as TensorParameters;
    const from = absorbClamps(nodePlan, own);
    const graph = node.graph as Graph;
    const { quantize, dequantize } = addQuantizePair(from, own, (from.producer as Node).next);
    graph.replaceAllUses(from, dequantize.output);
    quantize.setInput(0, from);
    emitted.dequantized.add(dequantize.output);
    emitted.quantizers.add(quantize);
  }
}

/** Removes Relu/Clip nodes whose limits the integer range already imposes (to half a step); returns the value to quantize. */
function absorbClamps({ node, clamps, point, limits }: NodePlan, parameters: TensorParameters): Value {
  if (clamps.length === 0) return node.output;
  const range = representable(parameters);
  const slack = 0.51 * parameters.scale;
  if (range.min < limits[0] - slack || range.max > limits[1] + slack) return point;
  const graph = node.graph as Graph;
  graph.replaceAllUses(point, node.output);
  node.output.type = point.type;
  for (const clamp of [...clamps].reverse()) graph.remove(clamp);
  return node.output;
}

/** Inputs that come from float nodes, graph inputs or constants get their own pair, read by integer nodes only. */
function rewireInputs(reads: readonly Read[], parameters: ReadonlyMap<Value, TensorParameters>, emitted: Emitted): void {
  const pairs = new Map<Value, Value>();
  for (const { node, index, value } of reads) {
    if (emitted.points.has(value)) continue;
    const own = parameters.get(value) as TensorParameters;
    if (value.constant) {
      node.setInput(index, addQuantizedActivationConstant(value, value.constant, own, node));
      continue;
    }
    const graph = node.graph as Graph;
    let pair = pairs.get(value);
    if (!pair) {
      const { quantize, dequantize } = addQuantizePair(value, own, value.producer ? value.producer.next : graph.firstNode);
      pair = dequantize.output;
      pairs.set(value, pair);
      emitted.dequantized.add(pair);
      emitted.quantizers.add(quantize);
    }
    node.setInput(index, pair);
  }
}
