import type { Model, Node, Value } from "../../ir/index.ts";
import { lookupOp, portIndex } from "../../ops/index.ts";
import type { QdqGraph } from "../../passes/quantize/legality/qdq-graph.ts";
import { absorbedClamps, matchNodes, type NodeMatch } from "../../passes/quantize/match-nodes.ts";

/** The value behind quantize and dequantize nodes. */
export function behindPairs(value: Value | undefined, pairs: ReadonlySet<Node>): Value | undefined {
  let found = value;
  while (found?.producer && pairs.has(found.producer)) found = found.producer.inputs[0];
  return found;
}

export const pairsOf = ({ quantizers, dequantizers }: QdqGraph): ReadonlySet<Node> => new Set([...quantizers, ...dequantizers]);

/**
 * Nodes of a float model and of a quantized one that compute the same: by names, as our own passes keep them; for what is left, nodes with
 * weights of the same op and shape in the same order, and from there their neighbours, as files of other tools need it.
 */
export function matchModels(reference: Model, quantized: QdqGraph): NodeMatch {
  const counterparts = new Map(matchNodes(reference, quantized).counterparts);
  const matched = new Set(counterparts.values());
  for (const [node, found] of matchAnchors(reference, quantized, counterparts, matched)) {
    counterparts.set(node, found);
    matched.add(found);
  }
  spread(quantized, counterparts, matched);
  return { counterparts, absorbed: absorbedClamps(reference, counterparts) };
}

interface Anchor {
  readonly node: Node;
  readonly signature: string;
}

function matchAnchors(
  reference: Model,
  { units }: QdqGraph,
  counterparts: ReadonlyMap<Node, Node>,
  matched: ReadonlySet<Node>,
): [Node, Node][] {
  const floats: Anchor[] = [];
  for (const node of reference.graph.nodes) {
    const def = lookupOp(node, reference.opsets);
    const port = def?.quantization?.weight?.input;
    const shape = def && port !== undefined ? node.inputs[portIndex(def.inputs, port)]?.constant?.shape : undefined;
    if (shape && !counterparts.has(node)) floats.push({ node, signature: `${node.opType} ${shape}` });
  }
  const integers: Anchor[] = units.flatMap(({ node, weight }) => {
    const shape = weight?.scheme?.integers?.shape ?? weight?.value.constant?.shape;
    return shape && !matched.has(node) ? [{ node, signature: `${node.opType} ${shape}` }] : [];
  });
  return longestCommon(floats, integers);
}

/** The longest common subsequence: pairs in order, with as many anchors as possible. */
function longestCommon(a: readonly Anchor[], b: readonly Anchor[]): [Node, Node][] {
  const width = b.length + 1;
  const best = new Uint32Array((a.length + 1) * width);
  const equal = (i: number, j: number): boolean => a[i]?.signature === b[j]?.signature;
  const at = (i: number, j: number): number => best[i * width + j] as number;
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i * width + j] = equal(i, j) ? 1 + at(i + 1, j + 1) : Math.max(at(i + 1, j), at(i, j + 1));
  const pairs: [Node, Node][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (equal(i, j)) pairs.push([(a[i++] as Anchor).node, (b[j++] as Anchor).node]);
    else if (at(i + 1, j) >= at(i, j + 1)) i++;
    else j++;
  }
  return pairs;
}

/** From matched nodes to neighbours of the same op, against and with the flow, until nothing is added. */
function spread(quantized: QdqGraph, counterparts: Map<Node, Node>, matched: Set<Node>): void {
  const pairs = pairsOf(quantized);
  const pending = [...counterparts];
  const propose = (float: Node | undefined, found: Node | undefined): void => {
    if (!float || !found || counterparts.has(float) || matched.has(found)) return;
    if (float.opType !== found.opType || float.domain !== found.domain) return;
    counterparts.set(float, found);
    matched.add(found);
    pending.push([float, found]);
  };
  for (let next = pending.pop(); next; next = pending.pop()) {
    const [float, found] = next;
    float.inputs.forEach((input, i) => {
      propose(input?.producer, behindPairs(found.inputs[i], pairs)?.producer);
    });
    float.outputs.forEach((output, i) => {
      const [read, readQuantized] = [readersOf(output, new Set()), readersOf(found.outputs[i], pairs)];
      for (const reader of read) {
        const same = readQuantized.filter(({ opType }) => opType === reader.opType);
        const rivals = read.filter(({ opType }) => opType === reader.opType);
        if (same.length === 1 && rivals.length === 1) propose(reader, same[0]);
      }
    });
  }
}

/** Nodes that read a value, seen through quantize and dequantize nodes. */
function readersOf(value: Value | undefined, pairs: ReadonlySet<Node>): Node[] {
  const readers = new Set<Node>();
  const pending = value ? [value] : [];
  for (let next = pending.pop(); next; next = pending.pop())
    for (const { node } of next.uses) {
      if (pairs.has(node)) pending.push(...node.outputs);
      else readers.add(node);
    }
  return [...readers];
}
