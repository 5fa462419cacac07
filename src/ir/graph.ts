import { invariant } from "../util/errors.ts";
import type { Attribute, AttributeInput } from "./attribute.ts";
import { Node } from "./node.ts";
import type { TensorType } from "./shape.ts";
import { Tensor } from "./tensor.ts";
import { Value } from "./value.ts";

export interface NodeOptions {
  readonly domain?: string;
  readonly overload?: string;
  readonly name?: string;
  /** Output names; "" leaves an optional output out. Default: one fresh name. */
  readonly outputs?: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeInput | undefined>>;
  /** Place it before this node; default: at the end. */
  readonly before?: Node;
}

/** Plain values to attributes: integers become "int", other numbers "float"; pass an Attribute where that guess would be wrong. */
export function toAttribute(input: AttributeInput): Attribute {
  if (typeof input === "number") return Number.isInteger(input) ? { type: "int", value: input } : { type: "float", value: input };
  if (typeof input === "bigint") return { type: "int", value: input };
  if (typeof input === "string") return { type: "string", value: input };
  if (input instanceof Tensor) return { type: "tensor", value: input };
  if (input instanceof Graph) return { type: "graph", value: input };
  if (Array.isArray(input)) {
    if (input.every((item) => typeof item === "string"))
      return { type: input.length ? "strings" : "ints", value: input } as Attribute;
    return { type: input.every(Number.isInteger) ? "ints" : "floats", value: input } as Attribute;
  }
  return input as Attribute;
}

/** Nodes in execution order, with use-def links. Every edit goes through a method and raises `revision`. */
export class Graph {
  name: string;
  docString: string | undefined;
  metadata: Map<string, string> | undefined;
  /** The graph whose node holds this one in an attribute. */
  parent: Graph | undefined;
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  /** Encoded TensorAnnotation messages (quantization_annotation), kept as read. */
  annotations: readonly Uint8Array[] = [];
  /** Encoded fields of the file that have no place here, written back as they are. */
  unknownFields: Uint8Array | undefined;
  #first: Node | undefined;
  #last: Node | undefined;
  #nodeCount = 0;
  #revision = 0;
  #names: Set<string> | undefined;
  #nameCounter = 0;
  readonly #initializers = new Set<Value>();

  constructor(name = "graph", parent?: Graph) {
    this.name = name;
    this.parent = parent;
  }

  /** Grows with every edit of this graph or of a graph inside it. */
  get revision(): number {
    return this.#revision;
  }

  changed(): void {
    this.#revision++;
    this.parent?.changed();
  }

  get root(): Graph {
    return this.parent ? this.parent.root : this;
  }

  get initializers(): ReadonlySet<Value> {
    return this.#initializers;
  }

  get nodeCount(): number {
    return this.#nodeCount;
  }

  get firstNode(): Node | undefined {
    return this.#first;
  }

  get lastNode(): Node | undefined {
    return this.#last;
  }

  /** In execution order; nodes may be removed and inserted while iterating. */
  get nodes(): Iterable<Node> {
    const graph = this;
    return {
      *[Symbol.iterator]() {
        for (let node = graph.#first; node; node = node.next) if (node.graph === graph) yield node;
      },
    };
  }

  /** Nodes from last to first. */
  *nodesReversed(): Generator<Node> {
    for (let node = this.#last; node; node = node.previous) if (node.graph === this) yield node;
  }

  /** A name that no value of the whole model has, close to `hint`. */
  freshName(hint: string): string {
    const root = this.root;
    root.#names ??= new Set(allValueNames(root));
    const base = hint || "value";
    if (!root.#names.has(base)) {
      root.#names.add(base);
      return base;
    }
    let name: string;
    do name = `${base}_${++root.#nameCounter}`;
    while (root.#names.has(name));
    root.#names.add(name);
    return name;
  }

  #claim(name: string): void {
    this.root.#names?.add(name);
  }

  addInput(name: string, type?: TensorType): Value {
    const value = new Value(this, name, type);
    this.#claim(name);
    this.inputs.push(value);
    this.changed();
    return value;
  }

  /** Makes an existing value a graph output. */
  addOutput(value: Value): void {
    this.outputs.push(value);
    this.changed();
  }

  /** A new constant value; give `name` exactly when reading files, or a hint through `freshName`. */
  addInitializer(name: string, constant: Tensor): Value {
    const value = new Value(this, name, { dtype: constant.dtype, shape: constant.shape }, constant);
    this.#claim(name);
    this.#initializers.add(value);
    this.changed();
    return value;
  }

  /** Turns an existing value (a graph input of IR 3, say) into an initializer, or replaces an initializer's tensor. */
  setConstant(value: Value, constant: Tensor): void {
    invariant(value.graph === this && !value.producer, `${value.name} cannot become an initializer of ${this.name}`);
    value.constant = constant;
    value.type = { dtype: constant.dtype, shape: constant.shape };
    this.#initializers.add(value);
    this.changed();
  }

  /** Marks a value as defined by a sparse initializer. */
  markInitializer(value: Value): void {
    this.#initializers.add(value);
    this.changed();
  }

  removeInitializer(value: Value): void {
    invariant(value.uses.size === 0 && !value.isGraphOutput, `initializer ${value.name} is still read`);
    this.#initializers.delete(value);
    const input = this.inputs.indexOf(value);
    if (input >= 0) this.inputs.splice(input, 1);
    this.changed();
  }

  /** Adds a node; returns it. Outputs are new values of this graph. */
  node(opType: string, inputs: readonly (Value | undefined)[], options: NodeOptions = {}): Node {
    const node = new Node(options.domain ?? "", opType, options.name ?? "", options.overload);
    node.setInputs(inputs);
    for (const [name, value] of Object.entries(options.attributes ?? {}))
      if (value !== undefined) this.#attach(node, name, toAttribute(value));
    for (const name of options.outputs ?? [this.freshName(options.name || opType)]) this.addNodeOutput(node, name);
    this.#link(node, options.before);
    return node;
  }

  /** Appends an output to a node under construction. */
  addNodeOutput(node: Node, name: string): Value {
    const value = new Value(this, name);
    value.producer = node;
    if (name) this.#claim(name);
    (node.outputs as Value[]).push(value);
    return value;
  }

  #attach(node: Node, name: string, attribute: Attribute): void {
    if (attribute.type === "graph") attribute.value.parent = this;
    if (attribute.type === "graphs") for (const graph of attribute.value) graph.parent = this;
    node.setAttribute(name, attribute);
  }

  #link(node: Node, before: Node | undefined): void {
    node.graph = this;
    node.next = before;
    node.previous = before ? before.previous : this.#last;
    if (node.previous) node.previous.next = node;
    else this.#first = node;
    if (before) before.previous = node;
    else this.#last = node;
    this.#nodeCount++;
    this.changed();
  }

  #unlink(node: Node): void {
    invariant(node.graph === this, `node ${node.name} is not in graph ${this.name}`);
    if (node.previous) node.previous.next = node.next;
    else this.#first = node.next;
    if (node.next) node.next.previous = node.previous;
    else this.#last = node.previous;
    node.graph = undefined;
    this.#nodeCount--;
    this.changed();
  }

  /** Moves a node of this graph before another (execution order only). */
  moveBefore(node: Node, before: Node | undefined): void {
    this.#unlink(node);
    this.#link(node, before);
  }

  /** Removes a node whose outputs nobody reads. */
  remove(node: Node): void {
    for (const output of node.outputs)
      invariant(
        output.uses.size === 0 && !output.isGraphOutput,
        `output ${output.name} of removed node ${node.name} is still read`,
      );
    this.#unlink(node);
    node.setInputs([]);
    for (const [, graph] of node.subgraphs()) releaseUses(graph);
  }

  rename(value: Value, name: string): void {
    this.#claim(name);
    value.name = name;
    this.changed();
  }

  /**
   * Makes every reader of `from` read `to`, graph outputs included. A graph output keeps its name: `to` takes it when it can
   * (made by a node of the same graph and no output itself), otherwise an Identity node carries it.
   */
  replaceAllUses(from: Value, to: Value): void {
    invariant(from !== to, `value ${from.name} cannot replace itself`);
    for (const use of [...from.uses]) use.node.setInput(use.index, to);
    for (let i = 0; i < from.graph.outputs.length; i++) if (from.graph.outputs[i] === from) this.#replaceOutput(from, to, i);
    this.changed();
  }

  #replaceOutput(from: Value, to: Value, index: number): void {
    const graph = from.graph;
    const name = from.name;
    graph.rename(from, graph.freshName(`${name}_replaced`));
    if (to.graph === graph && to.producer && !to.isGraphOutput) {
      graph.rename(to, name);
      to.type ??= from.type;
      graph.outputs[index] = to;
      return;
    }
    const identity = graph.node("Identity", [to], { outputs: [name] });
    identity.output.type = from.type ?? to.type;
    graph.outputs[index] = identity.output;
  }
}

function releaseUses(graph: Graph): void {
  for (const node of graph.nodes) {
    node.setInputs([]);
    for (const [, inner] of node.subgraphs()) releaseUses(inner);
  }
}

function* allValueNames(graph: Graph): Generator<string> {
  for (const value of graph.inputs) yield value.name;
  for (const value of graph.initializers) yield value.name;
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output.name) yield output.name;
    for (const [, inner] of node.subgraphs()) yield* allValueNames(inner);
  }
}
