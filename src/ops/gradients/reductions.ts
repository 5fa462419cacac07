import { toNumbers, type Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

interface Reduced {
  readonly b: GraphBuilder;
  readonly x: Value;
  /** The result and its gradient, with reduced axes kept as extents of 1. */
  readonly y: Value;
  readonly dy: Value;
  /** How many elements each result is made from. */
  readonly count: number;
  readonly axes: readonly number[];
}

/** To the elements that are the extreme, in equal parts where several are. */
function extreme({ b, x, y, dy, axes }: Reduced): Value {
  const hit = b.cast(b.op("Equal", [x, y]), "float32");
  return b.mul(hit, b.div(dy, b.reduceSum(hit, axes)));
}

/** dx of each reduction, of a shape that broadcasts to x's. */
export const reductionGradients: Readonly<Record<string, (call: Reduced) => Value>> = {
  ReduceSum: ({ dy }) => dy,
  ReduceMean: ({ b, dy, count }) => b.mul(dy, 1 / count),
  ReduceMax: extreme,
  ReduceMin: extreme,
  // y/x; undefined at zeros, where the product of the others would be needed
  ReduceProd: ({ b, x, y, dy }) => b.div(b.mul(dy, y), x),
  ReduceL1: ({ b, x, dy }) => b.mul(dy, b.op("Sign", [x])),
  ReduceL2: ({ b, x, y, dy }) => b.mul(x, b.div(dy, b.op("Max", [y, b.scalar(1e-12)]))),
  ReduceLogSum: ({ b, y, dy }) => b.div(dy, b.exp(y)),
  ReduceLogSumExp: ({ b, x, y, dy }) => b.mul(dy, b.exp(b.sub(x, y))),
  ReduceSumSquare: ({ b, x, dy }) => b.mul(x, b.mul(dy, 2)),
};

/** Which axes a reduction with these inputs takes. */
function reducedAxes(b: GraphBuilder, x: Value, axes: Value | undefined, noop: boolean): readonly number[] {
  const rank = b.rank(x);
  const given = axes?.constant ? toNumbers(axes.constant) : [];
  if (given.length > 0) return given.map((axis) => (axis < 0 ? axis + rank : axis));
  return noop ? [] : Array.from({ length: rank }, (_, i) => i);
}

export function reductionGradient(
  type: string,
  b: GraphBuilder,
  ports: { readonly data: Value; readonly axes: Value | undefined; readonly reduced: Value; readonly dy: Value },
  noop: boolean,
): Value | undefined {
  const rule = reductionGradients[type];
  const { data: x, reduced, dy } = ports;
  const axes = reducedAxes(b, x, ports.axes, noop);
  if (!rule) return undefined;
  const kept = b.shape(x).map((dim, i) => (axes.includes(i) ? 1 : dim));
  const count = axes.reduce((product, axis) => product * (b.shape(x)[axis] as number), 1);
  return b.expand(rule({ b, x, y: b.reshape(reduced, kept), dy: b.reshape(dy, kept), count, axes }), b.shape(x));
}
