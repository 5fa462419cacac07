import { type Attribute, allGraphs, type Graph, type Model, type Node, type Tensor, type Value } from "../../ir/index.ts";
import { nodeKey } from "../quantize/plan.ts";
import type { Emitted, HalfPlan } from "./outcome.ts";
import type { Float16Params } from "./params.ts";
import { constantProblem, type HalfFacts, halfFacts, isFloat32, toHalf } from "./types.ts";
import type { Edge } from "./wiring.ts";

/** A constant smaller than this is not worth a Cast: the node takes about as many bytes as it saves. */
const leastElements = 256;

/** Retypes what the plan has in 16 bits and casts where the two precisions meet: a value at most once in each direction. */
export function emitHalf(model: Model, plan: HalfPlan, params: Float16Params): Emitted {
  const emitter = new Emitter(plan, params);
  for (const edge of plan.edges.values()) if (edge.value.constant) emitter.constant(edge);
  for (const edge of plan.edges.values()) if (!edge.value.constant) emitter.activation(edge);
  for (const node of plan.half) emitter.retypeAttributes(node);
  for (const graph of allGraphs(model.graph)) finish(graph, emitter.half);
  return emitter.done;
}

class Emitter {
  readonly done: Emitted = { casts: 0, stored: 0, storedBytes: 0, widened: new Map() };
  readonly half: HalfFacts;
  readonly #plan: HalfPlan;
  readonly #params: Float16Params;

  constructor(plan: HalfPlan, params: Float16Params) {
    this.#plan = plan;
    this.#params = params;
    this.half = halfFacts(params.dtype);
  }

  /** One 16-bit initializer for all readers; those in float32 share one Cast. */
  constant({ value, consumers }: Edge): void {
    const halves = consumers.filter(({ actor }) => this.#plan.isHalf(actor));
    const floats = consumers.filter(({ actor }) => !this.#plan.isHalf(actor));
    const storable = floats.length > 0 && this.#isStorable(value);
    if (halves.length === 0 && !storable) return;
    const tensor = value.constant as Tensor;
    const { graph } = value;
    const copy = graph.addInitializer(graph.freshName(`${value.name}_${this.half.dtype}`), toHalf(tensor, this.half));
    this.done.stored++;
    this.done.storedBytes += tensor.byteLength;
    for (const { connect } of halves) connect(copy);
    if (!storable) return;
    const wide = addCast(copy, `${value.name}_float32`, 1, "float32");
    for (const { connect } of floats) connect(wide);
    for (const { node } of wide.uses) this.done.widened.set(node, (this.done.widened.get(node) ?? 0) + tensor.byteLength);
  }

  #isStorable(value: Value): boolean {
    const tensor = value.constant as Tensor;
    if (tensor.size < leastElements || value.isGraphOutput) return false;
    const { exclude } = this.#params;
    for (const { node } of value.uses) if (exclude.includes(nodeKey(node))) return false;
    return constantProblem(tensor, this.half) === undefined;
  }

  activation({ value, producer, consumers }: Edge): void {
    const isHalf = producer !== undefined && this.#plan.isHalf(producer);
    const others = consumers.filter(({ actor }) => this.#plan.isHalf(actor) !== isHalf);
    const { type } = value;
    const [dtype, code] = isHalf ? (["float32", 1] as const) : ([this.half.dtype, this.half.code] as const);
    const inner = others.filter(({ actor }) => actor !== "boundary");
    const outer = others.filter(({ actor }) => actor === "boundary");
    if (isHalf) value.type = { dtype: this.half.dtype, shape: type?.shape };
    if (others.length === 0) return;
    this.done.casts++;
    if (outer.length > 0) {
      // the model's output keeps its name: what is computed takes another one
      const cast = castOutput(value, code, dtype);
      for (const { connect } of inner) connect(cast);
      return;
    }
    const cast = addCast(value, `${value.name}_${dtype}`, code, dtype);
    for (const { connect } of inner) connect(cast);
  }

  /** Attributes that name the type of the result, or hold it. */
  retypeAttributes(node: Node): void {
    if (node.outputs[0]?.type?.dtype !== this.half.dtype) return;
    for (const [name, attribute] of [...node.attributes]) {
      const changed = this.#retyped(name, attribute);
      if (changed) node.setAttribute(name, changed);
    }
  }

  #retyped(name: string, attribute: Attribute): Attribute | undefined {
    if (attribute.type === "tensor" && isFloat32(attribute.value))
      return { type: "tensor", value: toHalf(attribute.value, this.half) };
    if (attribute.type === "int" && ["to", "dtype"].includes(name) && Number(attribute.value) === 1)
      return { type: "int", value: this.half.code };
    return undefined;
  }
}

/** Places a Cast right behind where the value arises. */
function addCast(value: Value, hint: string, code: number, dtype: "float32" | HalfFacts["dtype"]): Value {
  const { graph } = value;
  const before = value.producer?.graph === graph ? value.producer.next : graph.firstNode;
  const name = graph.freshName(hint);
  const node = graph.node("Cast", [value], {
    name: `${name}_Cast`,
    outputs: [name],
    attributes: { to: code },
    ...(before ? { before } : {}),
  });
  node.output.type = { dtype, shape: value.type?.shape };
  return node.output;
}

/** A Cast whose result is the model's output under its name; other readers go on reading the value itself. */
function castOutput(output: Value, code: number, dtype: "float32" | HalfFacts["dtype"]): Value {
  const { graph } = output;
  const readers = [...output.uses];
  const node = graph.node("Cast", [output], { name: `${output.name}_Cast`, attributes: { to: code } });
  node.output.type = { dtype, shape: output.type?.shape };
  graph.replaceAllUses(output, node.output);
  node.setInput(0, output);
  for (const { node: reader, index } of readers) reader.setInput(index, output);
  const next = output.producer?.next;
  if (next && next !== node) graph.moveBefore(node, next);
  return node.output;
}

/** Conversions that convert nothing any more, and constants that nobody reads. */
function finish(graph: Graph, half: HalfFacts): void {
  for (const node of graph.nodes) {
    const [input] = node.inputs;
    const named = Number((node.attributes.get("to") as { value?: number } | undefined)?.value);
    if (named !== half.code || input?.type?.dtype !== half.dtype || node.output.isGraphOutput) continue;
    graph.replaceAllUses(node.output, input);
    graph.remove(node);
  }
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
}
