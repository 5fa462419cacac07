import { z } from "zod";
import { type Graph, type Model, type Node, numberToFloat16, Tensor, toFloat32, type Value } from "../../ir/index.ts";
import { lookupOp } from "../../ops/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { definePass } from "../define.ts";
import { nodeKey } from "../quantize/plan.ts";

export const float16Params = z.object({
  /** Largest magnitude of each value seen during calibration, by value name; values not listed are trusted. */
  magnitudes: z.custom<ReadonlyMap<string, number>>((map) => map instanceof Map).default(() => new Map()),
  limit: z
    .number()
    .positive()
    .default(32752)
    .describe("Largest activation magnitude allowed in float16 (half of its maximum leaves headroom)"),
  exclude: z.array(z.string()).default([]).describe("Names of nodes that stay float32"),
});
export type Float16Params = z.infer<typeof float16Params>;

const largestHalf = 65504;
const smallestHalf = 2 ** -24;

/**
 * float16 weights and arithmetic between float32 inputs and outputs. A node stays float32, behind casts, when one of its values was
 * seen beyond the limit, when a weight does not fit (overflow, or a non-zero tensor that vanishes), or when its op is unknown or holds
 * subgraphs.
 */
export const float16 = definePass<Float16Params>({
  name: "float16/convert",
  summary: "float16 weights and activations, with a range guard",
  params: float16Params,
  run({ model, params, note }) {
    inferShapes(model);
    const exclude = new Set(params.exclude);
    const half = new Set<Node>();
    for (const node of model.graph.nodes) {
      const reason = exclude.has(nodeKey(node)) ? "excluded" : refusal(node, model, params);
      if (reason === undefined) half.add(node);
      else if (touchesFloat(node)) note("skipped", node, reason);
    }
    const original = new Map(floatValues(model.graph).map((value) => [value, value.type]));
    convert(model.graph, half, original);
    for (const node of half) note("did", node, "float16");
  },
});

const isFloat32 = (value: Value | undefined): boolean => value?.type?.dtype === "float32";
const touchesFloat = (node: Node): boolean => [...node.inputs, ...node.outputs].some(isFloat32);
const floatValues = (graph: Graph): Value[] => [
  ...[...graph.inputs, ...graph.initializers].filter(isFloat32),
  ...[...graph.nodes].flatMap((node) => node.outputs.filter(isFloat32)),
];

/** Why a node cannot run in float16; undefined when it can. */
function refusal(node: Node, model: Model, { magnitudes, limit }: Float16Params): string | undefined {
  if (!touchesFloat(node)) return "has no float32 values";
  const def = lookupOp(node, model.opsets);
  if (!def || node.domain !== "") return "op is unknown, so its float16 form is too";
  if ([...node.subgraphs()].length > 0) return "holds subgraphs";
  if (node.outputs.some((output) => output.name && !output.type)) return "the type of an output is unknown";
  if (fixedFloat32(node, def.fixedFloat32)) return "its float inputs or outputs must be float32";
  for (const value of [...node.inputs, ...node.outputs]) {
    const magnitude = value && magnitudes.get(value.name);
    if (magnitude !== undefined && magnitude > limit)
      return `value "${value?.name}" reaches ${magnitude.toPrecision(4)}, beyond the limit of ${limit}`;
    const problem = value?.constant && isFloat32(value) ? weightProblem(value.constant) : undefined;
    if (problem) return `constant "${value?.name}" ${problem}`;
  }
  return undefined;
}

/** Ops with float ports that ONNX fixes to float32 whatever the data type, or whose result type is named by an attribute. */
function fixedFloat32(node: Node, fixedPorts: boolean): boolean {
  const namesType = ["to", "dtype"].some((attribute) => node.attributes.has(attribute));
  const holdsConstant = node.attributes.has("value") && node.inputs.length <= 1;
  return namesType || holdsConstant || fixedPorts;
}

function weightProblem(tensor: Tensor): string | undefined {
  let largest = 0;
  for (const value of toFloat32(tensor)) {
    if (Number.isNaN(value)) return "holds NaN";
    if (Math.abs(value) > largest) largest = Math.abs(value);
  }
  if (largest > largestHalf && largest !== Number.POSITIVE_INFINITY)
    return `reaches ${largest.toPrecision(4)}, beyond float16's ${largestHalf}`;
  if (largest > 0 && largest < smallestHalf) return "vanishes in float16";
  return undefined;
}

/** Retypes outputs of half nodes and casts where the two precisions meet; each value is cast at most once per direction. */
function convert(graph: Graph, half: ReadonlySet<Node>, original: ReadonlyMap<Value, unknown>): void {
  const casts = new Map<Value, Value>();
  const weights = new Map<Value, Value>();
  for (const node of [...graph.nodes]) {
    const toHalf = half.has(node);
    node.inputs.forEach((input, index) => {
      if (!input || !original.has(input)) return;
      const produced = input.producer !== undefined && half.has(input.producer);
      if (toHalf === produced && !input.constant) return;
      if (toHalf && input.constant) node.setInput(index, halfWeight(graph, input, weights));
      else if (!input.constant) node.setInput(index, castOf(graph, input, toHalf, casts));
    });
  }
  graph.outputs.forEach((output) => {
    if (output.producer && half.has(output.producer) && original.has(output)) keepOutputFloat32(graph, output);
  });
  for (const node of half) for (const output of node.outputs) if (original.has(output)) retype(output);
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
}

const retype = (value: Value): void => {
  value.type = { dtype: "float16", shape: value.type?.shape };
};

function halfWeight(graph: Graph, value: Value, known: Map<Value, Value>): Value {
  let copy = known.get(value);
  if (!copy) {
    const tensor = value.constant as Tensor;
    const halves = Uint16Array.from(toFloat32(tensor), numberToFloat16);
    copy = graph.addInitializer(
      graph.freshName(`${value.name}_float16`),
      new Tensor("float16", tensor.shape, new Uint8Array(halves.buffer)),
    );
    known.set(value, copy);
  }
  return copy;
}

function castOf(graph: Graph, value: Value, toHalf: boolean, known: Map<Value, Value>): Value {
  let cast = known.get(value);
  if (!cast) {
    const before = value.producer?.graph === graph ? value.producer.next : graph.firstNode;
    const name = graph.freshName(`${value.name}_${toHalf ? "float16" : "float32"}`);
    const node = graph.node("Cast", [value], {
      name: `${name}_Cast`,
      outputs: [name],
      attributes: { to: toHalf ? 10 : 1 },
      ...(before ? { before } : {}),
    });
    node.output.type = { dtype: toHalf ? "float16" : "float32", shape: value.type?.shape };
    cast = node.output;
    known.set(value, cast);
  }
  return cast;
}

/** The model's outputs stay float32 and keep their names. */
function keepOutputFloat32(graph: Graph, output: Value): void {
  const node = graph.node("Cast", [output], { name: `${output.name}_Cast`, attributes: { to: 1 } });
  node.output.type = output.type;
  const readers = [...output.uses].filter((use) => use.node !== node);
  graph.replaceAllUses(output, node.output);
  node.setInput(0, output);
  for (const { node: reader, index } of readers) reader.setInput(index, output);
}
