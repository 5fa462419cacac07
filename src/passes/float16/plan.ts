import { allNodes, type Model, type Node, type Shape, type Value } from "../../ir/index.ts";
import { modelCost } from "../../ops/index.ts";
import { FlowGraph } from "./min-cut.ts";
import type { HalfPlan } from "./outcome.ts";
import type { Float16Params } from "./params.ts";
import { floatReason, touchesFloat } from "./reasons.ts";
import { usualHalf } from "./row.ts";
import { halfFacts, isFloat32 } from "./types.ts";
import { type Actor, type Edge, holdsGraphs, wiringOf } from "./wiring.ts";

/**
 * Decides for every node and for every tensor that enters or leaves a body. Nodes that must stay float32 are given; around them the
 * choice is the minimum cut of the graph under memory traffic: computing in float32 moves two bytes more an element, a cast moves six.
 * Islands therefore grow over whatever lies between them where that is cheaper than casting there and back.
 */
export function planHalf(model: Model, params: Float16Params): HalfPlan {
  const half = halfFacts(params.dtype);
  const edges = wiringOf(model);
  const nodes = [...allNodes(model.graph)].filter((node) => touchesFloat(node) && !holdsGraphs(node));
  const reasons = new Map(nodes.map((node) => [node, floatReason(node, model, params, half)]));
  const sides = new Sides(edges, reasons, savings(model, nodes), boundaryOf(params));
  const isHalf = (actor: Actor): boolean => (actor === "boundary" ? !params.keepIo : sides.isHalf(actor));
  const chosen = new Set(nodes.filter(isHalf));
  const floats = nodes.filter((node) => !chosen.has(node));
  const grown = new Set(floats.filter((node) => reasons.get(node) === undefined));
  const because = "lies between float32 nodes: casts around it would cost more than it saves";
  return { edges, isHalf, half: chosen, grown, floats: new Map(floats.map((node) => [node, reasons.get(node) ?? because])) };
}

type Boundary = "free" | "float32" | "half";

/**
 * Where a target computes in 16 bits throughout, casts at inputs and outputs are there anyway and cost nothing. Where it computes a few
 * ops so, each has to earn its casts.
 */
const boundaryOf = ({ keepIo, row = usualHalf, dtype }: Float16Params): Boundary =>
  keepIo ? (row[dtype] === "all" ? "free" : "float32") : "half";

/** Extents that only run time tells count as this. */
const assumedExtent = 16;
const elements = (shape: Shape | undefined): number =>
  (shape ?? [assumedExtent]).reduce<number>((product, dim) => product * (typeof dim === "number" ? dim : assumedExtent), 1);

/** Cost of a cast in bytes moved: four read, two written an element, and the call itself. */
const castCost = (value: Value): number => 6 * elements(value.type?.shape) + 4096;

/** What each node saves in 16 bits, in bytes moved and held; four multiplications take about as long as a byte. */
function savings(model: Model, nodes: readonly Node[]): ReadonlyMap<Node, number> {
  const costs = modelCost(model).nodes;
  return new Map(
    nodes.map((node) => {
      const touched = [...node.inputs, ...node.outputs].filter((value) => value && isFloat32(value.type)) as Value[];
      const constants = touched.reduce((sum, value) => sum + (value.constant ? 2 * elements(value.type?.shape) : 0), 0);
      const moved = touched.reduce((sum, value) => sum + 2 * elements(value.type?.shape), 0);
      const cost = costs.get(node);
      return [node, 1 + constants + (cost ? cost.bytes / 2 + cost.macs / 4 : moved)];
    }),
  );
}

class Sides {
  readonly #flow = new FlowGraph();
  readonly #vertices = new Map<Actor, number>();
  readonly #boundary: Boundary;
  readonly #half: readonly boolean[];

  constructor(
    edges: ReadonlyMap<Value, Edge>,
    reasons: ReadonlyMap<Node, string | undefined>,
    saved: ReadonlyMap<Node, number>,
    boundary: Boundary,
  ) {
    this.#boundary = boundary;
    for (const [node, reason] of reasons) {
      const vertex = this.#vertexOf(node);
      if (reason === undefined) this.#flow.connect(0, vertex, saved.get(node) ?? 1);
      else this.#flow.connect(vertex, 1, Number.POSITIVE_INFINITY);
    }
    for (const edge of edges.values()) this.#addEdge(edge);
    this.#half = this.#flow.cut();
  }

  isHalf(actor: Actor): boolean {
    const vertex = this.#vertices.get(actor);
    return vertex !== undefined && (this.#half[vertex] as boolean);
  }

  #vertexOf(actor: Actor): number {
    let vertex = this.#vertices.get(actor);
    if (vertex === undefined) {
      vertex = this.#flow.addVertex();
      this.#vertices.set(actor, vertex);
      const end = actor === "boundary" ? this.#boundary : actor;
      if (end === "half") this.#flow.connect(0, vertex, Number.POSITIVE_INFINITY);
      if (end === "float32") this.#flow.connect(vertex, 1, Number.POSITIVE_INFINITY);
    }
    return vertex;
  }

  /** A value is cast at most once in each direction, however many nodes read it. */
  #addEdge({ value, producer, consumers }: Edge): void {
    const counts = (actor: Actor): boolean => actor !== "boundary" || this.#boundary !== "free";
    const readers = new Set(consumers.map(({ actor }) => actor).filter(counts));
    if (!producer || !counts(producer) || readers.size === 0) return;
    const cost = castCost(value);
    const from = this.#vertexOf(producer);
    const [widened, narrowed] = [this.#flow.addVertex(), this.#flow.addVertex()];
    this.#flow.connect(from, widened, cost);
    this.#flow.connect(narrowed, from, cost);
    for (const reader of readers) {
      const to = this.#vertexOf(reader);
      if (to === from) continue;
      this.#flow.connect(widened, to, Number.POSITIVE_INFINITY);
      this.#flow.connect(to, narrowed, Number.POSITIVE_INFINITY);
    }
  }
}
