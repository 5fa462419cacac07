import { EdgewrightError, fail } from "../util/errors.ts";
import type { Attribute, SparseTensor } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Model, ModelFunction } from "./model.ts";
import type { Node } from "./node.ts";
import { formatType, type TensorType } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { allNodes, describeNode } from "./traverse.ts";
import type { Value } from "./value.ts";

/** Rules of docs/legal-models.md; an error names the one that is broken. */
export type LegalRule =
  | "names"
  | "order"
  | "links"
  | "uses"
  | "parents"
  | "initializers"
  | "tensors"
  | "interface"
  | "operator-sets"
  | "functions"
  | "references";

function illegal(rule: LegalRule, message: string, subject: string): never {
  fail("MODEL_ILLEGAL", message, { subject, hint: `Rule "${rule}" of docs/legal-models.md.` });
}

/** Throws (`MODEL_ILLEGAL`) when the model breaks a rule of docs/legal-models.md; tests run it after every pass. */
export function verify(model: Model): void {
  const seen = new Set<Value>();
  for (const input of model.graph.inputs)
    if (!input.type && !input.foreignType) illegal("interface", `Input "${input.name}" of the model has no type.`, input.name);
  if (model.graph.parent) illegal("parents", "The model's graph has a parent.", model.graph.name);
  verifyOpsets(model.graph, model.opsets, model.functions);
  verifyGraph(model.graph, seen, undefined);
  const keys = new Set<string>();
  for (const fn of model.functions) {
    const key = `${fn.domain}.${fn.name}:${fn.overload}`;
    if (keys.has(key)) illegal("functions", `Function ${key} is defined twice.`, key);
    keys.add(key);
    verifyFunction(fn, seen, model.functions);
  }
}

function verifyFunction(fn: ModelFunction, seen: Set<Value>, functions: readonly ModelFunction[]): void {
  if (!fn.name) illegal("functions", "A function has no name.", fn.domain);
  if (fn.graph.parent) illegal("parents", `The body of function ${fn.name} has a parent.`, fn.name);
  if (fn.graph.initializers.size > 0) illegal("functions", `Function ${fn.name} holds initializers.`, fn.name);
  verifyOpsets(fn.graph, fn.opsets, functions);
  verifyGraph(fn.graph, seen, new Set([...fn.attributeNames, ...fn.attributeDefaults.keys()]));
}

function verifyGraph(graph: Graph, seen: Set<Value>, parameters: ReadonlySet<string> | undefined): void {
  const check = new GraphCheck(seen, parameters);
  check.graph(graph, undefined);
  check.uses();
}

function verifyOpsets(graph: Graph, opsets: ReadonlyMap<string, number>, functions: readonly ModelFunction[]): void {
  const own = new Set(functions.map((fn) => fn.domain));
  for (const [domain, version] of opsets)
    if (!Number.isSafeInteger(version) || version < 1)
      illegal("operator-sets", `Operator set "${domain}" has the version ${version}.`, domain);
  for (const node of allNodes(graph))
    if (!opsets.has(node.domain) && !own.has(node.domain))
      illegal(
        "operator-sets",
        `${describeNode(node)} needs the operator set "${node.domain}", which is not imported.`,
        node.domain,
      );
}

/** What is visible where a node runs: values by identity, and the names that are taken. */
interface Visible {
  readonly values: Set<Value>;
  readonly names: Set<string>;
  readonly outer: Visible | undefined;
}
const isVisible = (visible: Visible | undefined, value: Value): boolean => {
  for (let at = visible; at; at = at.outer) if (at.values.has(value)) return true;
  return false;
};
const isTaken = (visible: Visible | undefined, name: string): boolean => {
  for (let at = visible; at; at = at.outer) if (at.names.has(name)) return true;
  return false;
};

class GraphCheck {
  /** All values met so far: none may belong to two graphs. */
  readonly #seen: Set<Value>;
  /** Attributes of the function whose body this is; undefined outside functions. */
  readonly #parameters: ReadonlySet<string> | undefined;

  readonly #reads = new Map<Value, number>();
  readonly #own: Value[] = [];

  constructor(seen: Set<Value>, parameters: ReadonlySet<string> | undefined) {
    this.#seen = seen;
    this.#parameters = parameters;
  }

  graph(graph: Graph, outer: Visible | undefined): void {
    const visible: Visible = { values: new Set(), names: new Set(), outer };
    for (const input of graph.inputs) {
      if (input.producer) illegal("links", `Input "${input.name}" is made by a node.`, input.name);
      this.#define(input, graph, visible);
    }
    for (const value of graph.initializers) this.#initializer(value, graph, visible);
    this.#nodes(graph, visible);
    for (const output of graph.outputs)
      if (!isVisible(visible, output))
        illegal("interface", `Output "${output.name}" of graph "${graph.name}" is not defined in it.`, output.name);
  }

  /** Checks the readers of every value met; last, so that rules about the reads themselves speak first. */
  uses(): void {
    for (const value of this.#own) verifyUses(value, value.graph, this.#reads.get(value) ?? 0);
  }

  #define(value: Value, graph: Graph, visible: Visible): void {
    if (!value.name) illegal("names", `A value of graph "${graph.name}" has no name.`, graph.name);
    if (value.graph !== graph)
      illegal("links", `"${value.name}" says it belongs to another graph than "${graph.name}".`, value.name);
    if (this.#seen.has(value)) illegal("names", `"${value.name}" is defined twice.`, value.name);
    if (isTaken(visible, value.name)) illegal("names", `Two values are called "${value.name}".`, value.name);
    if (value.constant && !graph.initializers.has(value))
      illegal("initializers", `"${value.name}" is constant but no initializer of its graph.`, value.name);
    this.#seen.add(value);
    this.#own.push(value);
    visible.values.add(value);
    visible.names.add(value.name);
  }

  #initializer(value: Value, graph: Graph, visible: Visible): void {
    if (value.producer) illegal("initializers", `Initializer "${value.name}" is made by a node.`, value.name);
    if (!visible.values.has(value)) this.#define(value, graph, visible);
    if (value.constant) verifyTensor(value.constant, value.name, value.type);
    else if (value.sparse) verifySparse(value.sparse, value.name);
    else illegal("initializers", `Initializer "${value.name}" has no value.`, value.name);
  }

  #nodes(graph: Graph, visible: Visible): void {
    let previous: Node | undefined;
    let count = 0;
    for (const node of graph.nodes) {
      const where = describeNode(node);
      if (!node.opType) illegal("names", `A node of graph "${graph.name}" has no operator.`, graph.name);
      if (node.previous !== previous) illegal("links", `${where} is not linked to the node before it.`, where);
      this.#node(node, where, visible);
      for (const output of node.outputs) {
        if (output.producer !== node) illegal("links", `Output "${output.name}" of ${where} names another producer.`, where);
        if (output.name) this.#define(output, graph, visible);
      }
      previous = node;
      count++;
    }
    if (count !== graph.nodeCount || graph.lastNode !== previous)
      illegal("links", `Graph "${graph.name}" counts ${graph.nodeCount} nodes but links ${count}.`, graph.name);
  }

  #node(node: Node, where: string, visible: Visible): void {
    for (const input of node.inputs) {
      if (!input) continue;
      if (!isVisible(visible, input)) illegal("order", `${where} reads "${input.name}", which is not defined before it.`, where);
      this.#reads.set(input, (this.#reads.get(input) ?? 0) + 1);
    }
    for (const [name, attribute] of node.attributes) this.#attribute(attribute, `${where}, attribute "${name}"`, node, visible);
  }

  #attribute(attribute: Attribute, where: string, node: Node, visible: Visible): void {
    if (attribute.type === "reference" && !this.#parameters?.has(attribute.value))
      illegal("references", `${where} refers to "${attribute.value}", which is no attribute of a function around it.`, where);
    if (attribute.type === "tensor") verifyTensor(attribute.value, where);
    if (attribute.type === "tensors") for (const tensor of attribute.value) verifyTensor(tensor, where);
    if (attribute.type === "sparse_tensor") verifySparse(attribute.value, where);
    const graphs = attribute.type === "graph" ? [attribute.value] : attribute.type === "graphs" ? attribute.value : [];
    for (const graph of graphs) {
      if (graph.parent !== node.graph) illegal("parents", `${where} holds a graph with another parent.`, where);
      this.graph(graph, visible);
    }
  }
}

/** The readers that a value lists are those that read it: as many as found, and each a real one. */
function verifyUses(value: Value, graph: Graph, reads: number): void {
  if (value.uses.size !== reads)
    illegal("uses", `"${value.name}" lists ${value.uses.size} readers, but ${reads} inputs read it.`, value.name);
  for (const use of value.uses)
    if (use.node.inputs[use.index] !== value || !use.node.graph)
      illegal("uses", `"${value.name}" of graph "${graph.name}" lists a reader that does not read it.`, value.name);
}

function verifyTensor(tensor: Tensor, where: string, type?: TensorType): void {
  if (type && (type.dtype !== tensor.dtype || !fits(type, tensor)))
    illegal("initializers", `"${where}" is a ${formatType(tensor)} but declared as ${formatType(type)}.`, where);
  if (tensor.dtype === "string" && tensor.strings?.length !== tensor.size)
    illegal("tensors", `"${where}" of shape [${tensor.shape}] has ${tensor.strings?.length ?? 0} strings.`, where);
  if (tensor.external) return; // its length was checked against the file when it was opened
  try {
    tensor.bytes();
  } catch (error) {
    if (error instanceof EdgewrightError) illegal("tensors", `"${where}": ${error.message}`, where);
    throw error;
  }
}

const fits = (type: TensorType, tensor: Tensor): boolean =>
  !type.shape ||
  (type.shape.length === tensor.shape.length &&
    type.shape.every((dim, axis) => typeof dim === "string" || dim === tensor.shape[axis]));

function verifySparse(sparse: SparseTensor, where: string): void {
  verifyTensor(sparse.values, where);
  verifyTensor(sparse.indices, where);
  const count = sparse.values.size;
  const { shape } = sparse.indices;
  const legal =
    sparse.indices.dtype === "int64" && shape[0] === count && (shape.length === 1 || shape[1] === sparse.shape.length);
  if (!legal || sparse.values.shape.length !== 1)
    illegal("tensors", `Sparse "${where}" needs [n] values and int64 [n] or [n, rank] indices.`, where);
}
