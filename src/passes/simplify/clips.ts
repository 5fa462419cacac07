import { type Node, scalarTensor, type Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { addConstant, canReplace, replaceNode, replaceValue } from "./edit.ts";
import { dtypeOf, isFloatValue, producerOf, scalarOf } from "./facts.ts";

// Relu(x) = Clip(x, 0, inf)
// Clip(Clip(x, a, b), c, d) = Clip(x, clip(a, c, d), clip(b, c, d))        when a <= b and c <= d
// Clip(x, -inf, inf) = x

interface Bounds {
  readonly low: number;
  readonly high: number;
}

function boundsOf(node: Node): Bounds | undefined {
  if (node.opType === "Relu") return { low: 0, high: Number.POSITIVE_INFINITY };
  const bound = (index: number, name: string, open: number): number | undefined =>
    node.inputs[index] ? scalarOf(node.inputs[index]) : node.float(name, open);
  const low = bound(1, "min", Number.NEGATIVE_INFINITY);
  const high = bound(2, "max", Number.POSITIVE_INFINITY);
  return low !== undefined && high !== undefined && low <= high ? { low, high } : undefined;
}

const clamp = (x: number, { low, high }: Bounds): number => Math.min(Math.max(x, low), high);

export const eliminateClip = defineRule({
  name: "eliminate-clip",
  summary: "Clip without bounds",
  anchors: ["Clip"],
  match(node) {
    const input = node.inputs[0];
    const bounds = boundsOf(node);
    return input && bounds?.low === Number.NEGATIVE_INFINITY && bounds.high === Number.POSITIVE_INFINITY
      ? { node, input }
      : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});

export const fuseClips = defineRule({
  name: "fuse-clips",
  summary: "Clip or Relu after Clip or Relu",
  anchors: ["Clip", "Relu"],
  match(node) {
    const first = producerOf(node.inputs[0], "Clip", "Relu");
    const [inner, outer] = [first && boundsOf(first), boundsOf(node)];
    return first && inner && outer ? { node, first, low: clamp(inner.low, outer), high: clamp(inner.high, outer) } : undefined;
  },
  check({ first }) {
    if (!isFloatValue(first.inputs[0])) return "the type is not known to be a float";
    return first.output.soleConsumer !== undefined || "the inner result is read elsewhere too";
  },
  rewrite({ node, first, low, high }) {
    const input = first.inputs[0] as Value;
    if (low === 0 && high === Number.POSITIVE_INFINITY) {
      replaceNode(node, "Relu", [input]);
      return;
    }
    const dtype = dtypeOf(input) ?? "float32";
    const bound = (value: number, name: string) =>
      Number.isFinite(value) ? addConstant(node, name, scalarTensor(dtype, value)) : undefined;
    replaceNode(node, "Clip", [input, bound(low, "min"), bound(high, "max")]);
  },
});
