import type { Model, Node, Value } from "../../ir/index.ts";
import { valuesByName } from "../cut.ts";
import type { QdqGraph } from "./legality/qdq-graph.ts";
import { clampRange } from "./plan.ts";

/** Which node of a quantized model computes what a node of the float model computed. */
export interface NodeMatch {
  /** By node of the float model's main graph. */
  readonly counterparts: ReadonlyMap<Node, Node>;
  /** Clamps that are gone because a quantize node limits in their place, each with the float node whose result it limited. */
  readonly absorbed: ReadonlyMap<Node, Node>;
}

/**
 * Matches by node name, else by the name of a result. Names of graph outputs move to the dequantize node at the end and names of absorbed
 * clamps take the place of their node's, so results are traced back through quantize and dequantize nodes.
 */
export function matchNodes(float: Model, quantized: QdqGraph): NodeMatch {
  const counterparts = new Map<Node, Node>();
  const matcher = new Matcher(float, quantized);
  for (const node of float.graph.nodes) {
    const found = matcher.find(node);
    if (found) counterparts.set(node, found);
  }
  return { counterparts, absorbed: absorbedClamps(float, counterparts) };
}

/** Clamps without a counterpart behind nodes that have one. */
export function absorbedClamps(float: Model, counterparts: NodeMatch["counterparts"]): ReadonlyMap<Node, Node> {
  const absorbed = new Map<Node, Node>();
  for (const node of float.graph.nodes) {
    if (counterparts.has(node) || !clampRange(node, float.opsets)) continue;
    const limited = node.inputs[0]?.producer;
    const anchor = limited && (absorbed.get(limited) ?? (counterparts.has(limited) ? limited : undefined));
    if (anchor) absorbed.set(node, anchor);
  }
  return absorbed;
}

class Matcher {
  readonly #opsets: ReadonlyMap<string, number>;
  readonly #values: ReadonlyMap<string, Value>;
  readonly #byName: ReadonlyMap<string, Node>;
  readonly #floatNames: ReadonlyMap<string, Node>;
  readonly #pairs: ReadonlySet<Node>;
  readonly #taken = new Set<Node>();

  constructor(float: Model, { model, quantizers, dequantizers }: QdqGraph) {
    this.#opsets = float.opsets;
    this.#values = valuesByName(model);
    this.#byName = uniqueNames(model.graph.nodes);
    this.#floatNames = uniqueNames(float.graph.nodes);
    this.#pairs = new Set([...quantizers, ...dequantizers]);
  }

  find(node: Node): Node | undefined {
    for (const found of this.#candidates(node)) {
      if (!found || found.opType !== node.opType || found.domain !== node.domain || this.#taken.has(found)) continue;
      this.#taken.add(found);
      return found;
    }
    return undefined;
  }

  *#candidates(node: Node): Generator<Node | undefined> {
    if (this.#floatNames.get(node.name) === node) yield this.#byName.get(node.name);
    for (const output of node.outputs) yield this.#makerOf(output);
    let next = node.outputs[0]?.soleConsumer;
    while (next && clampRange(next, this.#opsets)) {
      yield this.#makerOf(next.outputs[0]);
      next = next.outputs[0]?.soleConsumer;
    }
  }

  /** The node of the quantized model behind the quantize and dequantize nodes of a value. */
  #makerOf(value: Value | undefined): Node | undefined {
    let maker = value?.name ? this.#values.get(value.name)?.producer : undefined;
    while (maker && this.#pairs.has(maker)) maker = maker.inputs[0]?.producer;
    return maker;
  }
}

/** Nodes by the names that occur once. */
export function uniqueNames(nodes: Iterable<Node>): ReadonlyMap<string, Node> {
  const found = new Map<string, Node | undefined>();
  for (const node of nodes) if (node.name) found.set(node.name, found.has(node.name) ? undefined : node);
  return new Map([...found].flatMap(([name, node]): [string, Node][] => (node ? [[name, node]] : [])));
}
