import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

/** [batch, length, heads·size] → [batch, heads, length, size]. */
export const splitHeads = (b: GraphBuilder, x: Value, heads: number): Value => {
  const [batch, length, width] = b.shape(x) as readonly [number, number, number];
  return b.transpose(b.reshape(x, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
};
export const joinHeads = (b: GraphBuilder, x: Value): Value => {
  const [batch, heads, length, size] = b.shape(x) as readonly [number, number, number, number];
  return b.reshape(b.transpose(x, [0, 2, 1, 3]), [batch, length, heads * size]);
};

export interface AttentionCall {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly scale: number | undefined;
  /** Query i sees keys up to i + offset; undefined: all. */
  readonly causal: { readonly offset: number } | undefined;
  /** Added to the scores; broadcast to [batch, heads, queries, keys]. */
  readonly bias?: Value | undefined;
  readonly softcap?: number;
  /** Stands for minus infinity. */
  readonly masked?: number;
}

/** Each stage of the scores, for models that ask for one, and the result [batch, heads, queries, size]. */
export interface Attended {
  readonly y: Value;
  readonly stages: readonly [raw: Value, biased: Value, capped: Value, weights: Value];
}

/** Keys and values repeated for groups of query heads that share them. */
function repeatHeads(b: GraphBuilder, x: Value, heads: number): Value {
  const [batch, own, length, size] = b.shape(x) as readonly [number, number, number, number];
  if (own === heads) return x;
  const wide = b.expand(b.reshape(x, [batch, own, 1, length, size]), [batch, own, heads / own, length, size]);
  return b.reshape(wide, [batch, heads, length, size]);
}

function causalBias(b: GraphBuilder, [queries, keys]: readonly [number, number], offset: number, masked: number): Value {
  const values = Float32Array.from({ length: queries * keys }, (_, at) =>
    at % keys <= Math.floor(at / keys) + offset ? 0 : masked,
  );
  return b.floats([queries, keys], values);
}

/** softmax(q·kᵀ·scale + bias)·v (Vaswani et al., 2017) by primitives. q, k, v are [batch, heads, length, size]. */
export function attend(b: GraphBuilder, call: AttentionCall): Attended {
  const [, heads, queries, size] = b.shape(call.q) as readonly [number, number, number, number];
  const k = repeatHeads(b, call.k, heads);
  const v = repeatHeads(b, call.v, heads);
  const raw = b.mul(b.matMul(call.q, b.matrixTranspose(k)), call.scale || 1 / Math.sqrt(size));
  const keys = b.shape(k)[2] as number;
  const shifted = call.bias ? b.add(raw, call.bias) : raw;
  const biased = call.causal ? b.add(shifted, causalBias(b, [queries, keys], call.causal.offset, call.masked ?? -1e9)) : shifted;
  const capped = call.softcap ? b.mul(b.op("Tanh", [b.mul(biased, 1 / call.softcap)]), call.softcap) : biased;
  const weights = b.op("Softmax", [capped], { axis: -1 });
  return { y: b.matMul(weights, v), stages: [raw, biased, capped, weights] };
}

/** A boolean mask (true: may be seen) as something to add. */
export const maskBias = (b: GraphBuilder, mask: Value, masked: number): Value =>
  b.dtype(mask) === "bool" ? b.op("Where", [mask, b.scalar(0), b.scalar(masked)]) : mask;

/** A mask of ones (seen) and zeros per key, [batch, keys], as something to add to [batch, heads, queries, keys]. */
export function keyMaskBias(b: GraphBuilder, mask: Value, masked: number): Value {
  const [batch, keys] = b.shape(mask) as readonly [number, number];
  return b.reshape(b.mul(b.sub(1, b.cast(mask, "float32")), masked), [batch, 1, 1, keys]);
}

/** Rotates pairs of features by angles that grow with the position (Su et al., "RoFormer", 2021). x [.., size]; cos and sin broadcast. */
export function rotate(b: GraphBuilder, x: Value, cos: Value, sin: Value, interleaved: boolean): Value {
  const shape = b.shape(x);
  const half = (shape.at(-1) as number) / 2;
  const rank = shape.length;
  if (!interleaved) {
    const [first, second] = b.split(x, [half, half], rank - 1) as readonly [Value, Value];
    return b.concat([b.sub(b.mul(first, cos), b.mul(second, sin)), b.add(b.mul(first, sin), b.mul(second, cos))], rank - 1);
  }
  const pairs = b.reshape(x, [...shape.slice(0, -1), half, 2]);
  const [even, odd] = b.split(pairs, [1, 1], rank).map((v) => b.reshape(v, [...shape.slice(0, -1), half])) as [Value, Value];
  const column = (v: Value): Value => b.reshape(v, [...shape.slice(0, -1), half, 1]);
  const turned = [b.sub(b.mul(even, cos), b.mul(odd, sin)), b.add(b.mul(even, sin), b.mul(odd, cos))].map(column);
  return b.reshape(b.concat(turned, rank), shape);
}
