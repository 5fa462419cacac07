import type { Model, Node, Value } from "../../ir/index.ts";
import type { QuantizationPlan } from "./plan.ts";

/** A stretch of the graph with few values at its ends, to be tuned as one. */
export interface Block {
  /** Values computed outside that the block may read; graph inputs included, constants not. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Nodes in integers with weights. */
  readonly layers: readonly Node[];
}

/** Layers that make a block: an inverted residual, a bottleneck. */
const wanted = 3;
/** A stretch this long is cut even where more values than usual cross. */
const most = 8;

/**
 * Cuts the main graph where the fewest values cross, which falls together with residual blocks and transformer layers without knowing of
 * either, into blocks of at least three layers with weights (the last may have fewer).
 */
export function blocksOf({ graph }: Model, plan: QuantizationPlan): readonly Block[] {
  const nodes = [...graph.nodes];
  const live = liveValues(nodes, graph.inputs);
  const layersAt = nodes.map((node) => Boolean(plan.nodes.get(node)?.weight));
  const inner = live.slice(0, -1).map((values) => values.length);
  const least = Math.min(...inner);
  const blocks: Block[] = [];
  let start = 0;
  let layers: Node[] = [];
  const close = (end: number): void => {
    const before = start === 0 ? graph.inputs.filter((value) => !value.constant) : (live[start - 1] as readonly Value[]);
    // what only passes by is no result of the block
    const made = new Set(nodes.slice(start, end + 1).flatMap((node) => node.outputs));
    const outputs = new Set([...(live[end] as readonly Value[]), ...graph.outputs].filter((value) => made.has(value)));
    blocks.push({ inputs: before.map(({ name }) => name), outputs: [...outputs].map(({ name }) => name), layers });
    start = end + 1;
    layers = [];
  };
  nodes.forEach((node, i) => {
    if (layersAt[i]) layers.push(node);
    if (i === nodes.length - 1) return;
    const count = inner[i] as number;
    const nextStarts = nextLayer(layersAt, i) === i + 1 || layers.length === 0;
    const narrow = count === least && layers.length >= wanted;
    const long = layers.length >= most && count <= leastUntil(inner, layersAt, i);
    if ((narrow || long) && !onlyClamps(plan, nodes, i) && (nextStarts || count === least)) close(i);
  });
  if (layers.length > 0 || blocks.length === 0) close(nodes.length - 1);
  return blocks.filter((block) => block.layers.length > 0 && block.outputs.length > 0);
}

/** A cut between a layer and the clamp that its quantize node replaces would fall inside one integer op. */
const onlyClamps = (plan: QuantizationPlan, nodes: readonly Node[], i: number): boolean =>
  [...plan.nodes.values()].some(({ node, clamps }) => {
    const chain = [node, ...clamps];
    const at = chain.indexOf(nodes[i] as Node);
    return at >= 0 && at < chain.length - 1;
  });

function nextLayer(layersAt: readonly boolean[], i: number): number {
  for (let k = i + 1; k < layersAt.length; k++) if (layersAt[k]) return k;
  return layersAt.length;
}

/** The smallest number of crossing values from here over the next four layers. */
function leastUntil(counts: readonly number[], layersAt: readonly boolean[], from: number): number {
  let least = counts[from] as number;
  for (let i = from, seen = 0; i < counts.length && seen < 4; i++) {
    least = Math.min(least, counts[i] as number);
    if (layersAt[i]) seen++;
  }
  return least;
}

/** For each position, the values that nodes up to it (or the graph's caller) made and later nodes read; results count no longer than that. */
function liveValues(nodes: readonly Node[], inputs: readonly Value[]): readonly (readonly Value[])[] {
  const places = new Map(nodes.map((node, i) => [node, i]));
  const lastUse = (value: Value): number => {
    let last = -1;
    for (const use of value.uses) last = Math.max(last, places.get(use.node) ?? Number.POSITIVE_INFINITY);
    return last;
  };
  let live: { value: Value; last: number }[] = inputs
    .filter((value) => !value.constant)
    .map((value) => ({ value, last: lastUse(value) }));
  return nodes.map((node, i) => {
    live = [...live, ...node.outputs.filter(({ name }) => name).map((value) => ({ value, last: lastUse(value) }))].filter(
      ({ last }) => last > i,
    );
    return live.map(({ value }) => value);
  });
}
