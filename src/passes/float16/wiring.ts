import { allGraphs, definedValues, type Graph, type Model, type Node, type Value } from "../../ir/index.ts";
import { type BodyTie, lookupOp, type OpDef, readAttributes } from "../../ops/index.ts";
import { isFloat32 } from "./types.ts";

/** A tensor that travels between a node and its bodies under several names: all of them have one type. */
export interface Tie {
  readonly tie: string;
}
/** What decides the type of a value's end: a node, a tie, the model's boundary, or ONNX itself. */
export type Actor = Node | Tie | "boundary" | "float32";

export interface Consumer {
  readonly actor: Actor;
  /** Makes it read another value. */
  readonly connect: (value: Value) => void;
}

/** One float32 tensor: who makes it (nobody makes a constant) and who reads it. */
export interface Edge {
  readonly value: Value;
  readonly producer: Actor | undefined;
  readonly consumers: Consumer[];
}

export const isNode = (actor: Actor): actor is Node => typeof actor === "object" && "opType" in actor;

interface Ties {
  readonly inputs: ReadonlyMap<number, Tie>;
  readonly outputs: ReadonlyMap<number, Tie>;
  readonly bodyInputs: ReadonlyMap<number, Tie>;
  readonly bodyOutputs: ReadonlyMap<number, Tie>;
}

/** Every float32 tensor of a model and of the graphs inside it, with both of its ends. Types must be inferred. */
export function wiringOf(model: Model): Map<Value, Edge> {
  const wiring = new Wiring(model);
  for (const graph of allGraphs(model.graph)) wiring.addGraph(graph);
  return wiring.edges;
}

class Wiring {
  readonly edges = new Map<Value, Edge>();
  readonly #model: Model;
  readonly #ties = new Map<Node, Ties>();
  /** The node that holds a graph. */
  readonly #holders = new Map<Graph, Node>();

  constructor(model: Model) {
    this.#model = model;
  }

  addGraph(graph: Graph): void {
    const holder = this.#holders.get(graph);
    for (const node of graph.nodes) for (const [, body] of node.subgraphs()) this.#holders.set(body, node);
    for (const value of definedValues(graph)) {
      if (!isFloat32(value.type)) continue;
      const producer = value.constant ? undefined : this.#producerOf(value, holder);
      this.edges.set(value, { value, producer, consumers: [] });
    }
    // a graph inside reads values of those around it, which are known by now
    for (const node of graph.nodes) this.#addReads(node);
    graph.outputs.forEach((value, i) => {
      const actor = holder ? (this.#tiesOf(holder).bodyOutputs.get(i) ?? "float32") : "boundary";
      this.edges.get(value)?.consumers.push({ actor, connect: (other) => replaceOutput(graph, i, other) });
    });
  }

  #producerOf(value: Value, holder: Node | undefined): Actor {
    const { producer, graph } = value;
    if (!producer) {
      if (!holder) return "boundary";
      return this.#tiesOf(holder).bodyInputs.get(graph.inputs.indexOf(value)) ?? "float32";
    }
    const index = producer.outputs.indexOf(value);
    if (holdsGraphs(producer)) return this.#tiesOf(producer).outputs.get(index) ?? "float32";
    return isFixed(this.#defOf(producer), "outputs", index) ? "float32" : producer;
  }

  #addReads(node: Node): void {
    const ties = holdsGraphs(node) ? this.#tiesOf(node) : undefined;
    const def = this.#defOf(node);
    node.inputs.forEach((input, index) => {
      const edge = input && this.edges.get(input);
      if (!edge) return;
      const fixed = isFixed(def, "inputs", index);
      const actor = ties ? (ties.inputs.get(index) ?? "float32") : fixed ? "float32" : node;
      edge.consumers.push({ actor, connect: (other) => node.setInput(index, other) });
    });
  }

  #defOf(node: Node): OpDef | undefined {
    return lookupOp(node, this.#model.opsets);
  }

  #tiesOf(node: Node): Ties {
    let ties = this.#ties.get(node);
    if (!ties) {
      const def = this.#defOf(node);
      const attributes = def ? readAttributes(def.attributes, node.attributes, () => undefined as never) : {};
      const listed = def?.bodyTies?.({ inputs: node.inputs.length, outputs: node.outputs.length, attributes }) ?? [];
      ties = tiesFrom(listed, node);
      this.#ties.set(node, ties);
    }
    return ties;
  }
}

export const holdsGraphs = (node: Node): boolean => !node.subgraphs().next().done;

function tiesFrom(listed: readonly BodyTie[], node: Node): Ties {
  const [inputs, outputs, bodyInputs, bodyOutputs] = Array.from({ length: 4 }, () => new Map<number, Tie>()) as [
    Map<number, Tie>,
    Map<number, Tie>,
    Map<number, Tie>,
    Map<number, Tie>,
  ];
  listed.forEach((one, i) => {
    const tie = { tie: `${node.name || node.opType}[${i}]` };
    if (one.input !== undefined) inputs.set(one.input, tie);
    if (one.output !== undefined) outputs.set(one.output, tie);
    if (one.bodyInput !== undefined) bodyInputs.set(one.bodyInput, tie);
    if (one.bodyOutput !== undefined) bodyOutputs.set(one.bodyOutput, tie);
  });
  return { inputs, outputs, bodyInputs, bodyOutputs };
}

/** Ports that ONNX fixes to float32 in an op that otherwise takes 16-bit floats. */
function isFixed(def: OpDef | undefined, side: "inputs" | "outputs", index: number): boolean {
  if (!def || typeof def.fixedFloat32 === "boolean") return false;
  const name = def[side][index]?.replace(/^\.\.\.|\?$/g, "");
  return name !== undefined && def.fixedFloat32.includes(name);
}

function replaceOutput(graph: Graph, index: number, value: Value): void {
  graph.outputs[index] = value;
  graph.changed();
}
