import {
  float32Tensor,
  type Graph,
  int64Tensor,
  type Model,
  type Node,
  type NodeOptions,
  scalarTensor,
  type Value,
} from "../../ir/index.ts";
import { lookupOp, type OpDef, type PartialSumCall, readAttributes } from "../../ops/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { isNode, wiringOf } from "./wiring.ts";

/** One number that a watched model gives beside its outputs. */
export interface Watch {
  /** Name of the output: a float32 scalar. */
  readonly output: string;
  /** Of which value it is the largest finite magnitude, or of which node (by its first output) the largest sum inside. */
  readonly of: string;
  readonly kind: "magnitude" | "sum";
}

/**
 * A copy of a model that also gives the largest magnitude of every float32 value and the largest sum that its nodes form inside: what a
 * 16-bit type would have to hold. The runtime reduces, so that single numbers leave it, out of bodies of If, Loop and Scan too.
 * Infinities and NaN (masks) are left out.
 */
export function watchRanges(model: Model): { model: Model; watches: Watch[] } {
  const watched = model.clone();
  inferShapes(watched);
  const watcher = new Watcher(watched);
  const edges = [...wiringOf(watched).values()];
  for (const { value, producer } of edges) if (producer) watcher.magnitude(value);
  const nodes = new Set(edges.flatMap(({ consumers }) => consumers.map(({ actor }) => actor).filter(isNode)));
  for (const node of nodes) watcher.sum(node);
  return { model: watched, watches: watcher.watches };
}

class Watcher {
  readonly watches: Watch[] = [];
  readonly #model: Model;
  readonly #holders = new Map<Graph, Node>();
  readonly #constants = new Map<string, Value>();

  constructor(model: Model) {
    this.#model = model;
    const visit = (graph: Graph): void => {
      for (const node of [...graph.nodes])
        for (const [, body] of node.subgraphs()) {
          this.#holders.set(body, node);
          visit(body);
        }
    };
    visit(model.graph);
  }

  magnitude(value: Value): void {
    const largest = this.#largest(value, behind(value));
    this.#watch(largest, value.name, "magnitude");
  }

  sum(node: Node): void {
    const def = lookupOp(node, this.#model.opsets);
    const [first] = node.outputs;
    if (!def?.partialSums || !first || node.domain !== "") return;
    const { next } = node; // what is added stands before it
    const sum = def.partialSums(this.#call(node, def));
    if (sum) this.#watch(this.#largest(sum, next), first.name, "sum");
  }

  #call(node: Node, def: OpDef): PartialSumCall {
    const graph = node.graph as Graph;
    const place: NodeOptions = node.next ? { before: node.next } : {};
    const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
    return {
      inputs: node.inputs,
      attributes,
      rank: node.inputs[0]?.type?.shape?.length,
      copy: (inputs) => graph.node(node.opType, inputs, { ...place, attributes: Object.fromEntries(node.attributes) }).output,
      op: (type, inputs, given = {}) => graph.node(type, inputs, { ...place, attributes: given }).output,
      ints: (values) => graph.addInitializer(graph.freshName("watch_ints"), int64Tensor(values)),
    };
  }

  /** The largest finite magnitude as a scalar; 0 of an empty tensor. */
  #largest(value: Value, before: Node | undefined): Value {
    const { graph } = value;
    const place: NodeOptions = before ? { before } : {};
    const op = (type: string, inputs: readonly Value[], attributes = {}): Value =>
      graph.node(type, inputs, { ...place, attributes }).output;
    const zero = this.#constant("zero", 0);
    const magnitude = op("Abs", [value]);
    const finite = op("Where", [op("Less", [magnitude, this.#constant("infinity", Number.POSITIVE_INFINITY)]), magnitude, zero]);
    return op("Max", [op("ReduceMax", [finite], { keepdims: 0 }), zero]);
  }

  #constant(name: string, number: number): Value {
    const { graph } = this.#model;
    let value = this.#constants.get(name);
    if (!value) {
      value = graph.addInitializer(graph.freshName(`watch_${name}`), scalarTensor("float32", number));
      this.#constants.set(name, value);
    }
    return value;
  }

  #watch(largest: Value, of: string, kind: Watch["kind"]): void {
    const { graph } = this.#model;
    const output = graph.node("Identity", [this.#outermost(largest)], {
      outputs: [graph.freshName(`watch_${this.watches.length}`)],
    }).output;
    output.type = { dtype: "float32", shape: [] };
    graph.addOutput(output);
    this.watches.push({ output: output.name, of, kind });
  }

  /** Carries a scalar out of the bodies around it: as one more output of a branch, or stacked over the passes of a loop. */
  #outermost(value: Value): Value {
    const holder = this.#holders.get(value.graph);
    if (!holder) return value;
    const loops = lookupOp(holder, this.#model.opsets)?.iterations !== undefined;
    for (const [, body] of holder.subgraphs()) {
      const own = body === value.graph ? value : body.node("Identity", [this.#constant("zero", 0)]).output;
      own.type = { dtype: "float32", shape: [] };
      body.addOutput(own);
    }
    const graph = holder.graph as Graph;
    const result = graph.addNodeOutput(holder, graph.freshName("watch_body"));
    result.type = { dtype: "float32", shape: loops ? ["?"] : [] };
    return this.#outermost(loops ? this.#overPasses(result, holder) : result);
  }

  /** A loop may not run at all. */
  #overPasses(stacked: Value, holder: Node): Value {
    const { graph } = stacked;
    const place: NodeOptions = holder.next ? { before: holder.next } : {};
    const none = graph.addInitializer(graph.freshName("watch_none"), float32Tensor([1], [0]));
    const all = graph.node("Concat", [none, stacked], { ...place, attributes: { axis: 0 } }).output;
    return graph.node("ReduceMax", [all], { ...place, attributes: { keepdims: 0 } }).output;
  }
}

/** Where a node that reads a value may stand at the earliest. */
const behind = (value: Value): Node | undefined =>
  value.producer?.graph === value.graph ? value.producer.next : value.graph.firstNode;
