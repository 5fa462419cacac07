import {
  allGraphs,
  allNodes,
  byteLength,
  cloneNode,
  Graph,
  isStatic,
  Model,
  type Node,
  numel,
  type Tensor,
  tensorOf,
  type Value,
} from "../../ir/index.ts";
import { lookupOp } from "../../ops/index.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { Evaluate } from "../define.ts";
import { replaceValue } from "./edit.ts";
import { constantOf, dtypeOf, shapeOf } from "./facts.ts";

// A node whose inputs are all constant is a constant. The whole constant part of the model goes through one runtime session.

export interface FoldOptions {
  readonly evaluate: Evaluate;
  /** A result larger than this is kept only when it is no larger than the node's constant inputs: folding must not grow the file. */
  readonly limitBytes: number;
  readonly declined: (node: Node, reason: string) => void;
}

/** Constants that files store on purpose in their short form. */
const storedForms = new Set(["DequantizeLinear"]);
/** Memory that one round of evaluation may need for its results, intermediate ones included. */
const maxRoundBytes = 1 << 29;

/** Evaluates what is constant; returns the names of the values that became constants. */
export async function foldConstants(model: Model, options: FoldOptions): Promise<string[]> {
  const folded = foldConstantNodes(model);
  const region = constantRegion(model, options);
  const wanted = frontier(model, region, options);
  if (wanted.length === 0) return folded;
  const results = await evaluateAll(model, wanted, options);
  for (const [value, tensor] of results) {
    const { name, graph } = value;
    replaceValue(value, graph.addInitializer(graph.freshName(`${name}_folded`), tensor));
    folded.push(name);
  }
  return folded;
}

/** Constant nodes become initializers without a runtime. */
function foldConstantNodes(model: Model): string[] {
  const folded: string[] = [];
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes) {
      const tensor = node.domain === "" && node.opType === "Constant" ? constantNodeTensor(node) : undefined;
      if (!tensor || node.output.isGraphOutput) continue;
      const { name } = node.output;
      const constant = graph.addInitializer(graph.freshName(`${name}_constant`), tensor);
      replaceValue(node.output, constant);
      if (!node.graph) graph.rename(constant, name);
      folded.push(name);
    }
  }
  return folded;
}

function constantNodeTensor(node: Node): Tensor | undefined {
  const [first] = node.attributes.values();
  if (node.attributes.size !== 1 || !first) return undefined;
  if (first.type === "tensor") return first.value;
  if (first.type === "int") return tensorOf("int64", [], [first.value]);
  if (first.type === "float") return tensorOf("float32", [], [first.value]);
  if (first.type === "ints") return tensorOf("int64", [first.value.length], first.value);
  if (first.type === "floats") return tensorOf("float32", [first.value.length], first.value);
  return undefined;
}

const bytesOf = (value: Value): number | undefined => {
  const [dtype, shape] = [dtypeOf(value), shapeOf(value)];
  return dtype && isStatic(shape) ? byteLength(dtype, numel(shape)) : undefined;
};

/** Nodes that depend on constants only, outer graphs first, in execution order. */
function constantRegion(model: Model, options: FoldOptions): Set<Node> {
  const region = new Set<Node>();
  let total = 0;
  for (const node of allNodes(model.graph)) {
    if (!isFoldable(node, model) || !node.inputs.every((input) => !input || isConstant(input, region))) continue;
    const sizes = node.outputs.map((output) => (output.name ? bytesOf(output) : 0));
    if (sizes.includes(undefined)) {
      options.declined(node, "the size of the result is not known");
      continue;
    }
    const bytes = (sizes as number[]).reduce((sum, size) => sum + size, inputBytes(node));
    if (total + bytes > maxRoundBytes) options.declined(node, `evaluating it needs ${bytes} bytes`);
    else {
      total += bytes;
      region.add(node);
    }
  }
  return region;
}

function isFoldable(node: Node, model: Model): boolean {
  if (node.domain === "" && storedForms.has(node.opType)) return false;
  if (node.domain === "" && node.opType === "Identity" && node.output.isGraphOutput) return false;
  for (const _ of node.subgraphs()) return false;
  return lookupOp(node, model.opsets)?.deterministic ?? false;
}

const isConstant = (value: Value, region: ReadonlySet<Node>): boolean =>
  constantOf(value) !== undefined || (value.producer !== undefined && region.has(value.producer));

const inputBytes = (node: Node): number => node.inputs.reduce((sum, input) => sum + ((input && bytesOf(input)) ?? 0), 0);

/** Values of the region that others read. Nodes whose results would grow the file leave the region, so that their inputs are wanted. */
function frontier(model: Model, region: Set<Node>, { limitBytes, declined }: FoldOptions): Value[] {
  const wanted: Value[] = [];
  for (const node of [...allNodes(model.graph)].reverse()) {
    if (!region.has(node)) continue;
    const read = node.outputs.filter((output) => output.isGraphOutput || [...output.uses].some((use) => !region.has(use.node)));
    const bytes = read.reduce((sum, output) => sum + (bytesOf(output) ?? 0), 0);
    if (bytes > limitBytes && bytes > inputBytes(node)) {
      declined(node, `the result of ${bytes} bytes is larger than what it is made from`);
      region.delete(node);
    } else wanted.push(...read);
  }
  return wanted.reverse();
}

/** Evaluates values together; where a runtime refuses, halves find the ones it cannot compute. */
async function evaluateAll(model: Model, wanted: readonly Value[], options: FoldOptions): Promise<Map<Value, Tensor>> {
  try {
    const { piece, outputs } = extract(model, wanted);
    const results = await options.evaluate(piece);
    return new Map(wanted.map((value, i) => [value, results[outputs[i] as string] as Tensor]));
  } catch (error) {
    if (!(error instanceof EdgewrightError)) throw error;
    const [only] = wanted;
    if (wanted.length === 1 && only?.producer) {
      options.declined(only.producer, error.message);
      return new Map();
    }
    const middle = wanted.length >> 1;
    const left = await evaluateAll(model, wanted.slice(0, middle), options);
    return new Map([...left, ...(await evaluateAll(model, wanted.slice(middle), options))]);
  }
}

/** A model without inputs that computes constant values of `model`. */
function extract(model: Model, wanted: readonly Value[]): { piece: Model; outputs: string[] } {
  const graph = new Graph("constants");
  const values = new Map<Value, Value>();
  for (const node of producersOf(wanted)) {
    for (const input of node.inputs) {
      const tensor = constantOf(input);
      if (input && tensor && !values.has(input)) values.set(input, graph.addInitializer(input.name, tensor));
    }
    cloneNode(node, graph, values);
  }
  for (const value of wanted) graph.addOutput(values.get(value) ?? value);
  const piece = new Model({ graph, opsets: model.opsets, irVersion: Math.max(model.irVersion, 8) });
  return { piece, outputs: wanted.map((value) => value.name) };
}

/** The nodes behind values, in execution order; without recursion, since chains may be long. */
function producersOf(wanted: readonly Value[]): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  const stack = wanted.flatMap((value) => (value.producer ? [value.producer] : []));
  for (let node = stack.at(-1); node; node = stack.at(-1)) {
    if (state.has(node)) {
      stack.pop();
      if (state.get(node) === "open") order.push(node);
      state.set(node, "done");
      continue;
    }
    state.set(node, "open");
    for (const input of node.inputs) if (input?.producer && !state.has(input.producer)) stack.push(input.producer);
  }
  return order;
}
