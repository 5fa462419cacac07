import { type DataType, isStatic, type Model, type Node, numel, type Value } from "../../ir/index.ts";
import { valuesByName } from "../cut.ts";
import type { QdqGraph, Unit } from "./legality/qdq-graph.ts";
import { nodeKey } from "./plan.ts";

/**
 * A float op that a runtime left beside quantize and dequantize nodes. "unfused": everything it reads and gives is quantized, yet the
 * runtime computes it in float. "between": float by decision, and values go from integers through it, or through it and more float ops,
 * back to integers. "edge": where the integer part of a model begins or ends.
 */
export interface UnfusedPair {
  readonly kind: "unfused" | "between" | "edge";
  /** `nodeKey` in the model that the runtime was given. */
  readonly node: string;
  readonly opType: string;
  /** Every node of that model that the op stands for, in case the runtime fused some: keys. */
  readonly nodes: readonly string[];
  /** Activations that are dequantized for it. */
  readonly dequantized: readonly string[];
  /** Constants that are dequantized for it at every run. */
  readonly constants: readonly string[];
  /** Results that are quantized after it. */
  readonly quantized: readonly string[];
  /** Numbers converted at every run; open extents count as 1. */
  readonly elements: number;
}

const integers: ReadonlySet<DataType> = new Set(["int8", "uint8", "int16", "uint16", "int4", "uint4"]);

/**
 * Float ops around which a runtime's own graph still has QuantizeLinear and DequantizeLinear nodes. `optimized` is that graph, read like
 * any model; its values keep the names that they have in `given`, the model that the runtime was given.
 */
export function findUnfusedPairs(optimized: QdqGraph, given: QdqGraph): UnfusedPair[] {
  const origins = new Origins(given);
  const [quantizers, dequantizers] = [new Set(optimized.quantizers), new Set(optimized.dequantizers)];
  const enclosed = enclosedNodes(optimized);
  const pairs: UnfusedPair[] = [];
  for (const { node } of optimized.units) {
    if (readsIntegers(optimized, node)) continue;
    const reads = node.inputs.flatMap((input) => (input?.producer && dequantizers.has(input.producer) ? [input] : []));
    const [constants, activations] = [reads.filter(isStored), reads.filter((value) => !isStored(value))];
    const written = node.outputs.filter(({ uses }) => [...uses].some((use) => quantizers.has(use.node)));
    if (activations.length + written.length === 0) continue;
    const elements = (values: readonly Value[]): number => values.reduce((sum, value) => sum + sizeOf(optimized, value), 0);
    const { name, opType, nodes, integer } = origins.of(node);
    pairs.push({
      kind: integer ? "unfused" : enclosed.has(node) ? "between" : "edge",
      node: name,
      opType,
      nodes,
      dequantized: activations.map((value) => origins.real(sourceName(value))),
      constants: constants.map(sourceName),
      quantized: written.map((value) => value.name),
      elements: elements(activations) + elements(constants) + elements(written),
    });
  }
  return pairs;
}

/** Whether a node computes on integers; its result may be float all the same. */
const readsIntegers = (graph: QdqGraph, node: Node): boolean =>
  node.inputs.some((input) => input && !input.constant && isInteger(graph, input));

/** Nodes that lie on a way through float values from integers to a quantize node. */
function enclosedNodes(graph: QdqGraph): ReadonlySet<Node> {
  const [quantizers, dequantizers] = [new Set(graph.quantizers), new Set(graph.dequantizers)];
  const nodes = graph.units.map(({ node }) => node);
  const after = new Set(nodes.filter((node) => readsIntegers(graph, node)));
  const before = new Set<Node>();
  for (const node of nodes)
    if (
      node.inputs.some(
        (input) => input?.producer && (after.has(input.producer) || (dequantizers.has(input.producer) && !isStored(input))),
      )
    )
      after.add(node);
  for (const node of nodes.reverse())
    if (node.outputs.some(({ uses }) => [...uses].some((use) => quantizers.has(use.node) || before.has(use.node))))
      before.add(node);
  return new Set(nodes.filter((node) => after.has(node) && before.has(node)));
}

/** The integers behind a dequantized value. */
const sourceName = (value: Value): string => value.producer?.inputs[0]?.name ?? value.name;

const isStored = (value: Value): boolean => value.producer?.inputs[0]?.constant !== undefined;

const isInteger = (graph: QdqGraph, value: Value): boolean => integers.has(graph.typeOf(value)?.dtype as DataType);

function sizeOf(graph: QdqGraph, value: Value): number {
  const shape = graph.typeOf(value)?.shape?.map((dim) => (typeof dim === "number" ? dim : 1));
  return isStatic(shape) ? numel(shape) : 0;
}

interface Origin {
  readonly name: string;
  readonly opType: string;
  readonly nodes: readonly string[];
  readonly integer: boolean;
}

/** Where the nodes of an optimized graph come from. */
class Origins {
  readonly #model: Model;
  readonly #values: ReadonlyMap<string, Value>;
  readonly #units: ReadonlyMap<Node, Unit>;
  readonly #clamps: ReadonlySet<Node>;

  constructor({ model, units }: QdqGraph) {
    this.#model = model;
    this.#values = valuesByName(model);
    this.#units = new Map(units.map((unit) => [unit.node, unit]));
    this.#clamps = new Set(units.filter(({ integer }) => integer).flatMap(({ clamps }) => clamps));
  }

  /** The float value that integers stand for, where a quantize node made them. */
  real(name: string): string {
    const quantize = this.#values.get(name)?.producer;
    return (quantize && !this.#units.has(quantize) ? quantize.inputs[0]?.name : undefined) ?? name;
  }

  /** Nodes between what the runtime's node reads and gives, by the names of the values; it goes by its own name where these are new. */
  of(node: Node): Origin {
    const borders = new Set(node.inputs.flatMap((input) => (input ? [input.name] : [])));
    const found = new Set<Node>();
    const pending = node.outputs.flatMap(({ name }) => this.#values.get(name)?.producer ?? []);
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (found.has(next) || !this.#units.has(next)) continue;
      found.add(next);
      for (const input of next.inputs) if (input?.producer && !borders.has(input.name)) pending.push(input.producer);
    }
    const members = [...this.#model.graph.nodes].filter((one) => found.has(one));
    const planned = members.find((one) => this.#units.get(one)?.integer);
    // behind a kernel that the runtime did not fuse with its clamp, the clamp alone touches the quantize node
    const meant = planned ?? members.find((one) => this.#clamps.has(one));
    const main = meant ?? members[0];
    return {
      name: main ? nodeKey(main) : nodeKey(node),
      opType: (main ?? node).opType,
      nodes: members.map(nodeKey),
      integer: meant !== undefined,
    };
  }
}
