import { cloneNode, Graph, Model, type Node, type Value } from "../../../ir/index.ts";
import { lookupOp } from "../../../ops/index.ts";
import { dequantizeLinear } from "../../../ops/quantize-linear.ts";
import type { IntegerLayer } from "./find-layers.ts";

/** What a runtime computes between two layers that are simulated. */
export interface Stage {
  /** Undefined where the layers read what there is already. */
  readonly model: Model | undefined;
  /** Names of what the model reads: graph inputs, and values of earlier stages. */
  readonly inputs: readonly string[];
  /** Layers whose inputs exist once the model has run. */
  readonly layers: readonly IntegerLayer[];
}

/**
 * Cuts a model at layers that something else computes: all nodes that depend on no such layer, then those that depend on one, and so on.
 * Values cross the cuts as integers: a DequantizeLinear goes with every stage that reads it, so that the runtime finds the patterns that
 * it fuses. Types must be inferred.
 */
export function stagesOf(model: Model, layers: readonly IntegerLayer[]): Stage[] {
  const cut = new Cut(model, layers);
  const count = Math.max(0, ...cut.levels.values()) + 1;
  return Array.from({ length: count }, (_, level) => ({
    ...cut.stage(level),
    layers: layers.filter(({ input }) => cut.levelOf(input) === level),
  }));
}

/** Values that a node reads, those that its subgraphs read from outside included. */
function* readBy(node: Node): Generator<Value> {
  for (const value of node.inputs) if (value) yield value;
  for (const [, graph] of node.subgraphs()) {
    for (const inner of graph.nodes) yield* readBy(inner);
    yield* graph.outputs;
  }
}

class Cut {
  /** By value: how many simulated layers lie before it on the longest path. */
  readonly levels = new Map<Value, number>();
  readonly #model: Model;
  readonly #members = new Map<number, Node[]>();
  /** Values that stages read from earlier ones, and the graph's outputs. */
  readonly #crossing = new Set<Value>();

  constructor(model: Model, layers: readonly IntegerLayer[]) {
    this.#model = model;
    const byNode = new Map(layers.map((layer) => [layer.node, layer]));
    for (const node of model.graph.nodes) this.#place(node, byNode.get(node));
    for (const [level, nodes] of this.#members)
      for (const source of nodes.flatMap((node) => [...readBy(node)].map((value) => this.#source(value))))
        if (this.levelOf(source) < level) this.#crossing.add(source);
    for (const { input } of layers) this.#crossing.add(input);
    for (const output of model.graph.outputs) this.#crossing.add(output);
  }

  levelOf(value: Value): number {
    return this.levels.get(value) ?? 0;
  }

  #place(node: Node, layer: IntegerLayer | undefined): void {
    const level = Math.max(0, ...[...readBy(node)].map((value) => this.levelOf(value)));
    if (layer) {
      this.levels.set(layer.output, this.levelOf(layer.input) + 1);
      return;
    }
    if (node.outputs.every((output) => this.levels.has(output))) return; // the QuantizeLinear of a simulated layer
    for (const output of node.outputs) this.levels.set(output, level);
    if (this.#travels(node) && !node.output.isGraphOutput) return;
    const members = this.#members.get(level);
    if (members) members.push(node);
    else this.#members.set(level, [node]);
  }

  /** Cheap nodes that every stage computes for itself. */
  #travels(node: Node): boolean {
    const def = lookupOp(node, this.#model.opsets);
    return def === dequantizeLinear || (node.inputs.length === 0 && def?.deterministic !== false);
  }

  /** The value that has to exist before a stage can read `value`. */
  #source(value: Value): Value {
    const maker = value.producer;
    return maker && this.#travels(maker) && maker.inputs[0] ? this.#source(maker.inputs[0]) : value;
  }

  stage(level: number): { model: Model | undefined; inputs: readonly string[] } {
    const members = this.#members.get(level);
    if (!members) return { model: undefined, inputs: [] };
    const graph = new Graph(`stage${level}`);
    const values = new Map<Value, Value>();
    const within = new Set(members);
    for (const node of members) {
      for (const value of readBy(node)) this.#provide(value, { graph, values, within });
      cloneNode(node, graph, values);
    }
    for (const node of members)
      for (const output of node.outputs) if (this.#crossing.has(output)) graph.addOutput(values.get(output) as Value);
    if (graph.outputs.length === 0) return { model: undefined, inputs: [] };
    return { model: this.#wrap(graph), inputs: graph.inputs.map(({ name }) => name) };
  }

  /** Makes a value readable in a stage's graph: as a constant, by a node that travels, or as an input. */
  #provide(value: Value, into: { graph: Graph; values: Map<Value, Value>; within: ReadonlySet<Node> }): void {
    const { graph, values, within } = into;
    const maker = value.producer;
    if (values.has(value) || (maker && within.has(maker)) || value.graph !== this.#model.graph) return;
    if (value.constant) {
      values.set(value, graph.addInitializer(value.name, value.constant));
      return;
    }
    if (maker && this.#travels(maker)) {
      for (const read of maker.inputs) if (read) this.#provide(read, into);
      cloneNode(maker, graph, values);
      return;
    }
    values.set(value, graph.addInput(value.name, value.type));
  }

  #wrap(graph: Graph): Model {
    const { irVersion, opsets, functions } = this.#model;
    const model = new Model({ graph, irVersion, opsets });
    model.functions = functions;
    return model;
  }
}
