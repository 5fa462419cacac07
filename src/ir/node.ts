import type { Attribute } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Use, Value } from "./value.ts";

/** One operator call. Made by `graph.node(...)`; changed through its methods, so that use-def links and revisions hold. */
export class Node {
  name: string;
  readonly domain: string;
  readonly opType: string;
  readonly overload: string;
  docString: string | undefined;
  metadata: Map<string, string> | undefined;
  /** Encoded fields of the file that have no place here (device configurations), written back as they are. */
  unknownFields: Uint8Array | undefined;
  /** Undefined once removed. */
  graph: Graph | undefined;
  /** Neighbours in execution order; kept after removal so that a running iteration goes on. */
  next: Node | undefined;
  previous: Node | undefined;
  readonly outputs: readonly Value[] = [];
  readonly #inputs: (Value | undefined)[] = [];
  readonly #uses: (Use | undefined)[] = [];
  readonly #attributes = new Map<string, Attribute>();

  constructor(domain: string, opType: string, name: string, overload = "") {
    this.domain = domain;
    this.opType = opType;
    this.name = name;
    this.overload = overload;
  }

  get inputs(): readonly (Value | undefined)[] {
    return this.#inputs;
  }

  get attributes(): ReadonlyMap<string, Attribute> {
    return this.#attributes;
  }

  /** Connects input `index`; undefined leaves an optional input out. Extends the list as needed, drops trailing blanks. */
  setInput(index: number, value: Value | undefined): void {
    const old = this.#uses[index];
    if (old) this.#inputs[index]?.uses.delete(old);
    while (this.#inputs.length < index) this.#inputs.push(undefined);
    this.#inputs[index] = value;
    this.#uses[index] = undefined;
    if (value) {
      const use: Use = { node: this, index };
      value.uses.add(use);
      this.#uses[index] = use;
    }
    while (this.#inputs.length > 0 && this.#inputs.at(-1) === undefined) this.#inputs.pop();
    this.graph?.changed();
  }

  setInputs(values: readonly (Value | undefined)[]): void {
    for (let i = this.#inputs.length - 1; i >= values.length; i--) this.setInput(i, undefined);
    values.forEach((value, i) => {
      if (this.#inputs[i] !== value || value === undefined) this.setInput(i, value);
    });
  }

  setAttribute(name: string, attribute: Attribute | undefined): void {
    if (attribute === undefined) this.#attributes.delete(name);
    else this.#attributes.set(name, attribute);
    this.graph?.changed();
  }

  /** First output; most ops have one. */
  get output(): Value {
    const value = this.outputs[0];
    if (!value) throw new Error(`internal: node ${this.name} (${this.opType}) has no outputs`);
    return value;
  }

  int(name: string, fallback: number): number {
    const attribute = this.#attributes.get(name);
    return attribute?.type === "int" ? Number(attribute.value) : fallback;
  }

  float(name: string, fallback: number): number {
    const attribute = this.#attributes.get(name);
    return attribute?.type === "float" ? attribute.value : fallback;
  }

  string(name: string, fallback: string): string {
    const attribute = this.#attributes.get(name);
    return attribute?.type === "string" && typeof attribute.value === "string" ? attribute.value : fallback;
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.#attributes.get(name);
    return attribute?.type === "ints" ? attribute.value.map(Number) : undefined;
  }

  /** Graphs held in attributes (`If`, `Loop`, `Scan`), with the attribute's name. */
  *subgraphs(): Generator<readonly [string, Graph]> {
    for (const [name, attribute] of this.#attributes) {
      if (attribute.type === "graph") yield [name, attribute.value];
      else if (attribute.type === "graphs") for (const graph of attribute.value) yield [name, graph];
    }
  }
}
