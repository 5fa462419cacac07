import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

/** Labels of each term and of the result, one per axis. */
export interface Labels {
  readonly terms: readonly (readonly string[])[];
  readonly result: readonly string[];
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

interface Factor {
  readonly value: Value;
  readonly labels: readonly string[];
}

/** Einsum of factors with labels of any spelling. */
function contract(b: GraphBuilder, factors: readonly Factor[], result: readonly string[]): Value {
  const all = [...new Set([...factors.flatMap(({ labels }) => labels), ...result])];
  const spell = (labels: readonly string[]): string => labels.map((label) => letters[all.indexOf(label)]).join("");
  const equation = `${factors.map(({ labels }) => spell(labels)).join(",")}->${spell(result)}`;
  return b.op(
    "Einsum",
    factors.map(({ value }) => value),
    { equation },
  );
}

/** A label that a term has twice (a diagonal) gets a second name, tied to the first by an identity matrix. */
function distinct(b: GraphBuilder, value: Value, labels: readonly string[]): { labels: string[]; ties: Factor[] } {
  const ties: Factor[] = [];
  const found = labels.map((label, axis) => {
    const before = labels.slice(0, axis).filter((other) => other === label).length;
    if (before === 0) return label;
    const own = `${label}'${before}`;
    const extent = b.shape(value)[axis] as number;
    ties.push({ value: b.op("EyeLike", [b.zeros([extent, extent])], { dtype: 1 }), labels: [label, own] });
    return own;
  });
  return { labels: found, ties };
}

/**
 * The gradient of one factor of an Einsum is an Einsum of dy with the other factors. Axes that only this factor has were summed over:
 * their gradient is the same everywhere. Broadcast extents of 1 collect the sum.
 */
export function einsumGradient(
  b: GraphBuilder,
  inputs: readonly Value[],
  { terms, result }: Labels,
  at: number,
  dy: Value,
): Value {
  const own = inputs[at] as Value;
  const { labels, ties } = distinct(b, own, terms[at] as readonly string[]);
  const shape = b.shape(own);
  const others = inputs.flatMap((value, i) => (i === at ? [] : [withoutBroadcast(b, value, terms[i] as readonly string[])]));
  const factors = [withoutBroadcast(b, dy, result), ...others, ...ties];
  const present = new Set(factors.flatMap((factor) => factor.labels));
  const reachable = labels.filter((label) => present.has(label));
  const product = contract(b, factors, reachable);
  const extents = labels.map((label) => (present.has(label) ? (b.shape(product)[reachable.indexOf(label)] as number) : 1));
  const whole = b.reshape(product, extents);
  // an own extent of 1 that was broadcast takes the sum; an axis that was summed over is repeated
  const summed =
    whole === product && `${extents}` === `${shape}`
      ? whole
      : b.sumTo(
          whole,
          extents.map((extent, i) => (shape[i] === 1 ? 1 : extent)),
        );
  return b.expand(summed, shape);
}

/** Extents of 1 carry no label: Einsum itself would otherwise have to broadcast them. */
function withoutBroadcast(b: GraphBuilder, value: Value, labels: readonly string[]): Factor {
  const shape = b.shape(value);
  if (!shape.includes(1)) return { value, labels };
  const kept = labels.flatMap((label, i) => (shape[i] === 1 ? [] : [label]));
  return {
    value: b.reshape(
      value,
      shape.filter((dim) => dim !== 1),
    ),
    labels: kept,
  };
}
