import { type Node, type Tensor, tensorOf, toNumbers } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { addConstant, replaceNode } from "./edit.ts";
import { alignShape, constantOperand, isFloatValue, producerOf } from "./facts.ts";

// (x + a) + b = x + (a + b),   (x * a) * b = x * (a b)         a, b constant; Sub and Div count as their inverses

const kinds: Readonly<Record<string, "sum" | "product">> = { Add: "sum", Sub: "sum", Mul: "product", Div: "product" };

/** Two constants larger than this together are left alone: their broadcast could be larger still. */
const largest = 1 << 20;

interface Link {
  readonly constant: Tensor;
  readonly constantIndex: 0 | 1;
  readonly other: NonNullable<ReturnType<typeof constantOperand>>["other"];
}

/** The constant of a link as a summand or a factor; undefined for c - x and c / x. */
function operand(node: Node, link: Link): number[] | undefined {
  const inverse = node.opType === "Sub" || node.opType === "Div";
  if (inverse && link.constantIndex === 0) return undefined;
  const numbers = toNumbers(link.constant);
  if (!inverse) return numbers;
  return numbers.map(node.opType === "Sub" ? (n) => -n : (n) => 1 / n);
}

function broadcast(
  a: readonly number[],
  aShape: readonly number[],
  b: readonly number[],
  bShape: readonly number[],
  kind: "sum" | "product",
) {
  const rank = Math.max(aShape.length, bShape.length);
  const [left, right] = [alignShape(aShape, rank) ?? [], alignShape(bShape, rank) ?? []];
  const shape = left.map((dim, i) => (dim === 1 ? (right[i] as number) : dim));
  if (shape.some((dim, i) => right[i] !== 1 && right[i] !== dim)) return undefined;
  const at = (source: readonly number[], dims: readonly number[], flat: number) => {
    let [index, stride, rest] = [0, 1, flat];
    for (let axis = rank - 1; axis >= 0; axis--) {
      const extent = shape[axis] as number;
      if (dims[axis] !== 1) index += (rest % extent) * stride;
      stride *= dims[axis] as number;
      rest = Math.floor(rest / extent);
    }
    return source[index] as number;
  };
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (size > largest) return undefined;
  const values = Float64Array.from({ length: size }, (_, i) =>
    kind === "sum" ? at(a, left, i) + at(b, right, i) : at(a, left, i) * at(b, right, i),
  );
  return { shape, values };
}

export const fuseConstantChain = defineRule({
  name: "fuse-constant-chain",
  summary: "two additions or two multiplications of constants in a row",
  anchors: Object.keys(kinds),
  match(node) {
    const outer = constantOperand(node);
    const kind = kinds[node.opType];
    const first = producerOf(outer?.other, ...Object.keys(kinds).filter((type) => kinds[type] === kind));
    const inner = first && constantOperand(first);
    if (!outer || !inner || !first || !kind || outer.constant.size + inner.constant.size > largest) return undefined;
    const [a, b] = [operand(first, inner), operand(node, outer)];
    if (!a || !b) return undefined;
    const combined = broadcast(a, inner.constant.shape, b, outer.constant.shape, kind);
    return combined && { node, first, kind, input: inner.other, dtype: outer.constant.dtype, ...combined };
  },
  check({ first, input, values }) {
    if (!isFloatValue(input)) return "the type is not known to be a float";
    if (!first.output.soleConsumer) return "the inner result is read elsewhere too";
    return values.every(Number.isFinite) || "the combined constant would not be finite";
  },
  rewrite({ node, kind, input, dtype, shape, values }) {
    const constant = addConstant(node, "constant", tensorOf(dtype, shape, values));
    replaceNode(node, kind === "sum" ? "Add" : "Mul", [input, constant]);
  },
});
