import type { Attribute, SparseTensor } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Model, ModelFunction } from "./model.ts";
import type { Node } from "./node.ts";
import { formatType } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { describeNode } from "./traverse.ts";
import type { Value } from "./value.ts";

export interface EqualOptions {
  /** Also compare names of nodes and values, types of all values, doc strings, metadata and the order of nodes. */
  readonly exact?: boolean;
}

/**
 * Whether two models compute the same thing in the same way: `true`, or a sentence that says where they first differ. Names of nodes
 * and of intermediate values do not count, nor does the order of nodes; names of inputs, outputs and their types do.
 */
export function equalModels(a: Model, b: Model, options: EqualOptions = {}): true | string {
  const header = compareHeaders(a, b, options.exact ?? false);
  if (header) return header;
  const graphs = new Comparison(options.exact ?? false).graphs(a.graph, b.graph);
  if (graphs) return graphs;
  for (const fn of a.functions) {
    const twin = b.functions.find((other) => functionKey(other) === functionKey(fn));
    const difference = twin && compareFunctions(fn, twin, options.exact ?? false);
    if (difference) return `function ${functionKey(fn)}: ${difference}`;
  }
  return true;
}

const functionKey = ({ domain, name, overload }: ModelFunction): string => `${domain}.${name}:${overload}`;
const showMap = (map: ReadonlyMap<string, unknown>): string =>
  [...map]
    .map(([key, value]) => `${JSON.stringify(key)}: ${value}`)
    .sort()
    .join(", ");
const differ = (what: string, a: unknown, b: unknown): string => `${what}: ${a} and ${b}`;

function compareHeaders(a: Model, b: Model, exact: boolean): string | undefined {
  if (showMap(a.opsets) !== showMap(b.opsets)) return differ("operator sets differ", showMap(a.opsets), showMap(b.opsets));
  const keys = (model: Model) => model.functions.map(functionKey).sort().join(", ");
  if (keys(a) !== keys(b)) return differ("functions differ", keys(a), keys(b));
  if (!exact) return undefined;
  for (const key of ["irVersion", "producerName", "producerVersion", "domain", "modelVersion", "docString"] as const)
    if (a[key] !== b[key]) return differ(`${key} differs`, a[key], b[key]);
  if (showMap(a.metadata) !== showMap(b.metadata)) return differ("metadata differs", showMap(a.metadata), showMap(b.metadata));
  return undefined;
}

function compareFunctions(a: ModelFunction, b: ModelFunction, exact: boolean): string | undefined {
  if (a.attributeNames.join() !== b.attributeNames.join()) return "attribute names differ";
  if (showMap(a.opsets) !== showMap(b.opsets)) return "operator sets differ";
  const comparison = new Comparison(exact);
  return comparison.attributes(a.attributeDefaults, b.attributeDefaults, "default") ?? comparison.graphs(a.graph, b.graph);
}

/** Pairs the values and nodes of two graphs, from the outputs backward; keeps its own stack, since chains may be long. */
class Comparison {
  readonly #values = new Map<Value, Value>();
  readonly #nodes = new Map<Node, Node>();
  readonly #pending: (readonly [Value, Value, string])[] = [];
  readonly #exact: boolean;

  constructor(exact: boolean) {
    this.#exact = exact;
  }

  graphs(a: Graph, b: Graph): string | undefined {
    const where = `graph "${a.name}"`;
    if (a.nodeCount !== b.nodeCount) return differ(`${where}: numbers of nodes differ`, a.nodeCount, b.nodeCount);
    const difference = this.#interface(a, b, where) ?? this.#drain();
    if (difference) return difference;
    for (const pair of this.#unreached(a, b)) {
      const rest = this.#matchNodes(...pair) ?? this.#drain();
      if (rest) return rest;
    }
    return this.#exact ? this.#details(a, b, where) : undefined;
  }

  #interface(a: Graph, b: Graph, where: string): string | undefined {
    for (const side of ["inputs", "outputs"] as const) {
      if (a[side].length !== b[side].length) return differ(`${where}: numbers of ${side} differ`, a[side].length, b[side].length);
      for (let i = 0; i < a[side].length; i++) {
        const [x, y] = [a[side][i] as Value, b[side][i] as Value];
        // inner graphs connect by position, so their names do not count
        if (x.name !== y.name && (this.#exact || !a.parent)) return differ(`${where}: names of ${side} differ`, x.name, y.name);
        if (formatType(x.type) !== formatType(y.type) && !a.parent)
          return differ(`${where}: types of "${x.name}" differ`, formatType(x.type), formatType(y.type));
        if (side === "inputs") this.#values.set(x, y);
        else this.#pending.push([x, y, where]);
        if (side === "inputs" && (x.constant || y.constant)) {
          const difference = compareTensors(x.constant, y.constant);
          if (difference) return `${where}: default of "${x.name}": ${difference}`;
        }
      }
    }
    return undefined;
  }

  #drain(): string | undefined {
    for (let pair = this.#pending.pop(); pair; pair = this.#pending.pop()) {
      const difference = this.#matchValues(...pair);
      if (difference) return difference;
    }
    return undefined;
  }

  #matchValues(a: Value, b: Value, where: string): string | undefined {
    const known = this.#values.get(a);
    if (known) return known === b ? undefined : `${where}: "${a.name}" stands for both "${known.name}" and "${b.name}"`;
    this.#values.set(a, b);
    if (a.producer && b.producer) {
      if (a.producer.outputs.indexOf(a) !== b.producer.outputs.indexOf(b))
        return `${where}: another output is read for "${a.name}"`;
      return this.#matchNodes(a.producer, b.producer);
    }
    const tensors = compareTensors(a.constant, b.constant) ?? compareSparse(a.sparse, b.sparse);
    if (tensors) return `${where}: initializer "${a.name}": ${tensors}`;
    const same = !a.producer && !b.producer && a.isGraphInput === b.isGraphInput;
    return same ? undefined : `${where}: "${a.name}" and "${b.name}" have different sources`;
  }

  #matchNodes(a: Node, b: Node): string | undefined {
    const known = this.#nodes.get(a);
    if (known) return known === b ? undefined : `${describeNode(a)} stands for two nodes`;
    this.#nodes.set(a, b);
    const where = describeNode(a);
    const key = (node: Node) => `${node.domain}.${node.opType}:${node.overload}`;
    if (key(a) !== key(b)) return differ(`${where}: operators differ`, key(a), key(b));
    const ports = (node: Node) => `${node.inputs.map(Boolean)} => ${node.outputs.map((output) => output.name !== "")}`;
    if (ports(a) !== ports(b)) return differ(`${where}: connected ports differ`, ports(a), ports(b));
    a.inputs.forEach((input, i) => {
      if (input) this.#pending.push([input, b.inputs[i] as Value, where]);
    });
    a.outputs.forEach((output, i) => {
      if (output.name) this.#pending.push([output, b.outputs[i] as Value, where]);
    });
    return this.attributes(a.attributes, b.attributes, where);
  }

  attributes(a: ReadonlyMap<string, Attribute>, b: ReadonlyMap<string, Attribute>, where: string): string | undefined {
    const names = (map: ReadonlyMap<string, Attribute>) => [...map.keys()].sort().join(", ");
    if (names(a) !== names(b)) return differ(`${where}: attributes differ`, names(a), names(b));
    for (const [name, attribute] of a) {
      const difference = this.#attribute(attribute, b.get(name) as Attribute);
      if (difference) return `${where}: attribute "${name}": ${difference}`;
    }
    return undefined;
  }

  #attribute(a: Attribute, b: Attribute): string | undefined {
    if (a.type !== b.type) return differ("types differ", a.type, b.type);
    if (a.type === "graph") return this.graphs(a.value, b.value as Graph);
    if (a.type === "tensor") return compareTensors(a.value, b.value as Tensor);
    if (a.type === "sparse_tensor") return compareSparse(a.value, b.value as SparseTensor);
    if (!Array.isArray(a.value))
      return plain(a.type, a.value) === plain(a.type, b.value) ? undefined : differ("values differ", a.value, b.value);
    const [x, y] = [a.value as readonly unknown[], b.value as readonly unknown[]];
    if (x.length !== y.length) return differ("lengths differ", x.length, y.length);
    const single = a.type.replace(/s$/, "");
    for (let i = 0; i < x.length; i++) {
      const difference = this.#attribute({ type: single, value: x[i] } as Attribute, { type: single, value: y[i] } as Attribute);
      if (difference) return `element ${i}: ${difference}`;
    }
    return undefined;
  }

  /** Nodes that no output needs, paired in order. */
  *#unreached(a: Graph, b: Graph): Generator<readonly [Node, Node]> {
    const paired = new Set(this.#nodes.values());
    const rest = [...b.nodes].filter((node) => !paired.has(node));
    for (const node of a.nodes) {
      if (this.#nodes.has(node)) continue;
      const next = rest.shift();
      if (next) yield [node, next];
    }
  }

  #details(a: Graph, b: Graph, where: string): string | undefined {
    const fields = (graph: Graph) => JSON.stringify([graph.name, graph.docString, [...(graph.metadata ?? [])]]);
    if (fields(a) !== fields(b)) return differ(`${where}: names or documentation differ`, fields(a), fields(b));
    const order = (graph: Graph) =>
      Array.from(graph.nodes, (node) => `${node.name} ${node.docString ?? ""} ${[...(node.metadata ?? [])]}`);
    const [x, y] = [order(a), order(b)];
    const at = x.findIndex((line, i) => line !== y[i]);
    if (at >= 0) return differ(`${where}: node ${at} differs`, x[at], y[at]);
    const [c, d] = [constants(a), constants(b)];
    if (c !== d) return differ(`${where}: initializers differ`, c, d);
    for (const [value, twin] of this.#values)
      if (value.graph === a && describe(value) !== describe(twin)) return differ(where, describe(value), describe(twin));
    return undefined;
  }
}

const constants = (graph: Graph): string =>
  [...graph.initializers]
    .map((value) => value.name)
    .sort()
    .join(", ");
const describe = (value: Value): string =>
  `${formatType(value.type)} ${value.name} ${value.docString ?? ""} ${[...(value.metadata ?? [])]} ${value.foreignType?.encoded ?? ""}`;

/** Values that compare by their text: numbers at the precision that files keep. */
function plain(type: Attribute["type"], value: unknown): string {
  if (type === "float") return Object.is(value, -0) ? "-0" : String(Math.fround(value as number));
  if (type === "type_proto") return String((value as { encoded: Uint8Array }).encoded);
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}

export function compareTensors(a: Tensor | undefined, b: Tensor | undefined): string | undefined {
  if (!a || !b) return a === b ? undefined : "only one is constant";
  if (a === b) return undefined;
  if (a.dtype !== b.dtype) return differ("element types differ", a.dtype, b.dtype);
  if (a.shape.join() !== b.shape.join()) return differ("shapes differ", `[${a.shape}]`, `[${b.shape}]`);
  if (a.dtype === "string") return JSON.stringify(a.strings) === JSON.stringify(b.strings) ? undefined : "strings differ";
  const [x, y] = [a.bytes(), b.bytes()];
  for (let i = 0; i < x.byteLength; i++) if (x[i] !== y[i]) return `bytes differ from byte ${i} on`;
  return undefined;
}

function compareSparse(a: SparseTensor | undefined, b: SparseTensor | undefined): string | undefined {
  if (!a || !b) return a === b ? undefined : "only one is sparse";
  if (a.shape.join() !== b.shape.join()) return differ("shapes differ", `[${a.shape}]`, `[${b.shape}]`);
  return compareTensors(a.values, b.values) ?? compareTensors(a.indices, b.indices);
}
