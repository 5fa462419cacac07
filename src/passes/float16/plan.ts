import { allNodes, type Model, type Node, type Shape, type Value } from "../../ir/index.ts";
import { modelCost } from "../../ops/index.ts";
import { FlowGraph } from "./min-cut.ts";
import type { HalfPlan } from "./outcome.ts";
import type { Float16Params } from "./params.ts";
import { floatReason, touchesFloat } from "./reasons.ts";
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
  const sides = new Sides(edges, reasons, savings(model, nodes));
  const isHalf = (actor: Actor): boolean => (actor === "boundary" ? !params.keepIo : sides.isHalf(actor));
  const chosen = new Set(nodes.filter(isHalf));
  const floats = nodes.filter((node) => !chosen.has(node));
  const grown = new Set(floats.filter((node) => reasons.get(node) === undefined));
  const because = "lies between float32 nodes: casts around it would cost more than it saves";
  return { edges, isHalf, half: chosen, grown, floats: new Map(floats.map((node) => [node, reasons.get(node) ?? because])) };
}

/** Extents that only run time tells count as this. */
const assumedExtent = 16;
const elements = (shape: Shape | undefined): number =>
  (shape ?? [assumedExtent]).reduce<number>((product, dim) => product * (typeof dim === "number" ? dim : assumedExtent), 1);

/** Cost of a cast in bytes moved: four read, two written an element, and the call itself. */
const castCost = (value: Value): number => 6 * elements(value.type?.shape) + 4096;

/** What each node saves in 16 bits, in bytes moved; four multiplications take about as long as a byte. */
function savings(model: Model, nodes: readonly Node[]): ReadonlyMap<Node, number> {
  const costs = modelCost(model).nodes;
  return new Map(
    nodes.map((node) => {
      const touched = [...node.inputs, ...node.outputs].filter((value) => value && isFloat32(value.type)) as Value[];
      const moved = touched.reduce((sum, value) => sum + 2 * elements(value.type?.shape), 0);
      return [node, 1 + moved + (costs.get(node)?.macs ?? 0) / 4];
    }),
  );
}

class Sides {
  readonly #flow = new FlowGraph();
  readonly #vertices = new Map<Actor, number>();
  readonly #half: readonly boolean[];

  constructor(edges: ReadonlyMap<Value, Edge>, reasons: ReadonlyMap<Node, string | undefined>, saved: ReadonlyMap<Node, number>) {
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
      if (actor === "float32") this.#flow.connect(vertex, 1, Number.POSITIVE_INFINITY);
    }
    return vertex;
  }

  /** A value is cast at most once in each direction, however many nodes read it. Casts at the model's boundary are needed anyway. */
  #addEdge({ value, producer, consumers }: Edge): void {
    if (!producer || producer === "boundary") return;
    const readers = new Set(consumers.map(({ actor }) => actor).filter((actor) => actor !== "boundary"));
    if (readers.size === 0) return;
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
