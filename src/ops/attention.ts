import { addDims, type Dim, floorDivDims, mulDims, numel, type Shape, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import { barrier, type Cost, defineOp, type StaticInfo, type TensorInfo } from "./define.ts";
import { attend, joinHeads, keyMaskBias, maskBias, rotate, splitHeads } from "./gradients/attention.ts";
import { like } from "./type-rules.ts";

/** Extents of one of Q, K and V, whichever way its heads are laid out. */
interface Heads {
  readonly batch: Dim;
  readonly heads: Dim;
  readonly length: Dim;
  readonly size: Dim;
}

/** [batch, heads, length, size], or [batch, length, heads·size] with the number of heads as an attribute. */
export function headsOf(shape: Shape | undefined, heads: number | undefined): Heads | undefined {
  const [batch, second, third, fourth] = shape ?? [];
  if (batch === undefined || second === undefined || third === undefined) return undefined;
  if (fourth !== undefined) return { batch, heads: second, length: third, size: fourth };
  return heads ? { batch, heads, length: second, size: floorDivDims(third, heads) } : undefined;
}

/** Scores and their weighted sum: queries · heads · keys · (size of a key + size of a value); a softmax over the scores. */
export function attentionCost(queries: number, keys: number, keySize: number, valueSize: number): Cost {
  const macs = queries * keys * (keySize + valueSize);
  return { macs, flops: 2 * macs + 14 * queries * keys };
}

export const attention = defineOp({
  type: "Attention",
  since: 23,
  inputs: ["Q", "K", "V", "attn_mask?", "past_key?", "past_value?", "nonpad_kv_seqlen?"],
  outputs: ["Y", "present_key?", "present_value?", "qk_matmul_output?"],
  attributes: {
    is_causal: attr.int(0),
    kv_num_heads: attr.int(),
    q_num_heads: attr.int(),
    qk_matmul_output_mode: attr.int(0),
    scale: attr.float(),
    softcap: attr.float(0),
    softmax_precision: attr.int(),
  },
  infer: ({ Q, K, V, past_key, past_value }, { attributes: { q_num_heads, kv_num_heads } }) => {
    const [q, k, v] = [headsOf(Q.shape, q_num_heads), headsOf(K.shape, kv_num_heads), headsOf(V.shape, kv_num_heads)];
    if (!q || !k || !v) return { Y: like(Q, undefined), present_key: like(K, undefined), present_value: like(V, undefined) };
    const packed = Q.shape?.length === 3;
    const keys = past_key ? addDims(past_key.shape?.[2] ?? "?", k.length) : k.length;
    const values = past_value ? addDims(past_value.shape?.[2] ?? "?", v.length) : v.length;
    return {
      Y: like(Q, packed ? [q.batch, q.length, mulDims(q.heads, v.size)] : [q.batch, q.heads, q.length, v.size]),
      present_key: like(K, [k.batch, k.heads, keys, k.size]),
      present_value: like(V, [v.batch, v.heads, values, v.size]),
      qk_matmul_output: like(Q, [q.batch, q.heads, q.length, keys]),
    };
  },
  cost: ({ Q, K, V, past_key }, _, { q_num_heads, kv_num_heads }) => {
    const [q, k, v] = [headsOf(Q.shape, q_num_heads), headsOf(K.shape, kv_num_heads), headsOf(V.shape, kv_num_heads)];
    if (!q || !k || !v) return { macs: 0, flops: 0 };
    const keys = Number(k.length) + (past_key?.shape[2] ?? 0);
    return attentionCost(Number(q.batch) * Number(q.heads) * Number(q.length), keys, Number(q.size), Number(v.size));
  },
  channels: barrier, // heads are counted by attributes
  gradient: {
    expand: ({ b, inputs: { Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen }, attributes: a, wants }) => {
      if (nonpad_kv_seqlen) return undefined;
      const packed = b.rank(Q) === 3;
      const heads = (x: Value, count: number | undefined): Value => (packed ? splitHeads(b, x, count as number) : x);
      const joined = (past: Value | undefined, x: Value): Value => (past ? b.concat([past, x], 2) : x);
      const k = joined(past_key, heads(K, a.kv_num_heads));
      const v = joined(past_value, heads(V, a.kv_num_heads));
      const { y, stages } = attend(b, {
        q: heads(Q, a.q_num_heads),
        k,
        v,
        scale: a.scale,
        causal: a.is_causal ? { offset: past_key ? (b.shape(past_key)[2] as number) : 0 } : undefined,
        bias: attn_mask && maskBias(b, attn_mask, -1e9),
        softcap: a.softcap,
      });
      return {
        Y: packed ? joinHeads(b, y) : y,
        present_key: wants("present_key") ? b.op("Identity", [k]) : undefined,
        present_value: wants("present_value") ? b.op("Identity", [v]) : undefined,
        qk_matmul_output: stages[a.qk_matmul_output_mode],
      };
    },
  },
});

const rotationCost = (X: StaticInfo): Cost => ({ macs: 0, flops: 3 * numel(X.shape) });

/** Only the first `size` features of a head turn; 0 means all. */
function rotated(
  b: GraphBuilder,
  x: Value,
  cos: Value,
  sin: Value,
  { interleaved, size }: { interleaved: boolean; size: number },
): Value {
  const width = b.shape(x).at(-1) as number;
  if (size === 0 || size === width) return rotate(b, x, cos, sin, interleaved);
  const [turning, rest] = b.split(x, [size, width - size], b.rank(x) - 1) as readonly [Value, Value];
  return b.concat([rotate(b, turning, cos, sin, interleaved), rest], b.rank(x) - 1);
}

export const rotaryEmbedding = defineOp({
  type: "RotaryEmbedding",
  since: 23,
  inputs: ["X", "cos_cache", "sin_cache", "position_ids?"],
  outputs: ["Y"],
  attributes: { interleaved: attr.int(0), num_heads: attr.int(), rotary_embedding_dim: attr.int(0) },
  infer: ({ X }) => ({ Y: like(X) }),
  cost: ({ X }) => rotationCost(X),
  channels: barrier,
  gradient: {
    expand: ({
      b,
      inputs: { X, cos_cache, sin_cache, position_ids },
      attributes: { interleaved, num_heads, rotary_embedding_dim },
    }) => {
      const packed = b.rank(X) === 3;
      const x = packed ? splitHeads(b, X, num_heads as number) : X;
      const rows = (cache: Value): Value => {
        const picked = position_ids ? b.op("Gather", [cache, position_ids], { axis: 0 }) : cache;
        const [batch, length, half] = b.shape(picked) as readonly [number, number, number];
        return b.reshape(picked, [batch, 1, length, half]);
      };
      const turned = rotated(b, x, rows(cos_cache), rows(sin_cache), {
        interleaved: interleaved !== 0,
        size: rotary_embedding_dim,
      });
      return { Y: packed ? joinHeads(b, turned) : turned };
    },
  },
});

export const fusedRotaryEmbedding = defineOp({
  type: "RotaryEmbedding",
  domain: "com.microsoft",
  since: 1,
  inputs: ["input", "position_ids", "cos_cache", "sin_cache"],
  outputs: ["output"],
  attributes: {
    interleaved: attr.int(0),
    is_packed_batching: attr.int(0),
    num_heads: attr.int(0),
    rotary_embedding_dim: attr.int(0),
    scale: attr.float(1),
  },
  infer: ({ input }) => ({ output: like(input) }),
  cost: ({ input }) => rotationCost(input),
  channels: barrier,
});

/** A cache that grows by what this call adds: [batch, heads, past + new, size]. */
const grown = (past: TensorInfo | undefined, added: Heads): Dim[] => [
  added.batch,
  added.heads,
  past ? addDims(past.shape?.[2] ?? "?", added.length) : added.length,
  added.size,
];

export const multiHeadAttention = defineOp({
  type: "MultiHeadAttention",
  domain: "com.microsoft",
  since: 1,
  inputs: [
    "query",
    "key?",
    "value?",
    "bias?",
    "key_padding_mask?",
    "attention_bias?",
    "past_key?",
    "past_value?",
    "past_sequence_length?",
    "cache_indirection?",
  ],
  outputs: ["output", "present_key?", "present_value?", "qk?"],
  attributes: {
    mask_filter_value: attr.float(-10000),
    num_heads: attr.required.int(),
    scale: attr.float(),
    unidirectional: attr.int(0),
  },
  infer: ({ query, key, value, past_key, past_value, past_sequence_length }, { attributes: { num_heads } }) => {
    const [batch, length, packedHeads, , packedSize] = query.shape ?? [];
    if (batch === undefined || length === undefined) return { output: like(query, undefined) };
    // Q, K and V in one tensor [batch, length, heads, 3, size]
    if (!key) return { output: like(query, [batch, length, mulDims(packedHeads ?? "?", packedSize ?? "?")]) };
    // K and V in one tensor [batch, length, heads, 2, size]
    if (key.shape?.length === 5 || !value)
      return { output: like(query, [batch, length, mulDims(key.shape?.[2] ?? "?", key.shape?.[4] ?? "?")]) };
    const [k, v] = [headsOf(key.shape, num_heads), headsOf(value.shape, num_heads)];
    if (!k || !v) return { output: like(query, [batch, length, "?"]) };
    const output = like(query, [batch, length, value.shape?.length === 3 ? (value.shape[2] as Dim) : mulDims(v.heads, v.size)]);
    if (past_sequence_length) return { output }; // the cache is a buffer that the caller sized
    return { output, present_key: like(key, grown(past_key, k)), present_value: like(value, grown(past_value, v)) };
  },
  cost: ({ query, key, past_key }, { output }, { num_heads }) => {
    const [batch = 0, length = 0, width = 0] = output.shape;
    const keys = (key ? (key.shape.length === 4 ? key.shape[2] : key.shape[1]) : query.shape[1]) ?? 0;
    const size = width / num_heads;
    return attentionCost(batch * num_heads * length, keys + (past_key?.shape[2] ?? 0), size, size);
  },
  channels: barrier,
  gradient: {
    expand: ({ b, inputs, attributes: { num_heads, scale, unidirectional, mask_filter_value }, wants }) => {
      const { query, key, value, bias, key_padding_mask: mask, attention_bias, past_key, past_value } = inputs;
      if (!key || !value || inputs.past_sequence_length || (mask && b.rank(mask) !== 2)) return undefined;
      const sizes = [query, key, value].map((x) => (b.rank(x) === 3 ? (b.shape(x)[2] as number) : 0));
      const shifts = bias ? b.split(bias, sizes, 0) : [];
      const headed = (x: Value, i: number): Value =>
        b.rank(x) === 4 ? x : splitHeads(b, shifts[i] ? b.add(x, shifts[i] as Value) : x, num_heads);
      const joined = (past: Value | undefined, x: Value): Value => (past ? b.concat([past, x], 2) : x);
      const [k, v] = [joined(past_key, headed(key, 1)), joined(past_value, headed(value, 2))];
      const masks = [attention_bias, mask && keyMaskBias(b, mask, mask_filter_value)].filter((part) => part !== undefined);
      const { y, stages } = attend(b, {
        q: headed(query, 0),
        k,
        v,
        scale,
        causal: unidirectional ? { offset: (b.shape(k)[2] as number) - (b.shape(query)[1] as number) } : undefined,
        bias: masks.length > 0 ? masks.reduce((a, part) => b.add(a, part)) : undefined,
        masked: mask_filter_value,
      });
      return {
        output: joinHeads(b, y),
        present_key: wants("present_key") ? b.op("Identity", [k]) : undefined,
        present_value: wants("present_value") ? b.op("Identity", [v]) : undefined,
        qk: stages[0],
      };
    },
  },
});

const selfAttentionAttributes = {
  do_rotary: attr.int(0),
  mask_filter_value: attr.float(-10000),
  num_heads: attr.required.int(),
  past_present_share_buffer: attr.int(0),
  qkv_hidden_sizes: attr.ints(),
  rotary_embedding_dim: attr.int(0),
  scale: attr.float(),
  unidirectional: attr.int(0),
} as const;

interface SelfAttentionAttributes {
  readonly num_heads: number;
  readonly past_present_share_buffer: number;
  readonly qkv_hidden_sizes: readonly number[] | undefined;
}

/** X [batch, length, in] through one weight [in, q + k + v] and attention over its heads; the cache is [2, batch, heads, keys, size]. */
function selfAttention(X: TensorInfo, weights: TensorInfo, past: TensorInfo | undefined, a: SelfAttentionAttributes) {
  const hidden = a.qkv_hidden_sizes?.[2] ?? floorDivDims(weights.shape?.[1] ?? "?", 3);
  const [batch, length] = [X.shape?.[0] ?? "?", X.shape?.[1] ?? "?"];
  const keys = past ? (a.past_present_share_buffer ? (past.shape?.[3] ?? "?") : addDims(past.shape?.[3] ?? "?", length)) : length;
  return { output: [batch, length, hidden], present: [2, batch, a.num_heads, keys, floorDivDims(hidden, a.num_heads)] };
}

function selfAttentionCost(
  X: StaticInfo,
  weights: StaticInfo,
  past: StaticInfo | undefined,
  result: StaticInfo,
  heads: number,
): Cost {
  const [batch = 0, length = 0, width = 0] = result.shape;
  const projection = numel(X.shape) * (weights.shape[1] ?? 0);
  const inner = attentionCost(batch * heads * length, length + (past?.shape[3] ?? 0), width / heads, width / heads);
  return { macs: projection + inner.macs, flops: 2 * projection + inner.flops };
}

export const fusedAttention = defineOp({
  type: "Attention",
  domain: "com.microsoft",
  since: 1,
  inputs: ["input", "weights", "bias?", "mask_index?", "past?", "attention_bias?", "past_sequence_length?"],
  outputs: ["output", "present?"],
  attributes: selfAttentionAttributes,
  infer: ({ input, weights, past }, { attributes }) => {
    const { output, present } = selfAttention(input, weights, past, attributes);
    return { output: like(input, output), present: like(input, present) };
  },
  cost: ({ input, weights, past }, { output }, { num_heads }) => selfAttentionCost(input, weights, past, output, num_heads),
  channels: barrier,
  learned: ["weights", "bias"],
  gradient: {
    expand: ({ b, inputs, attributes: a, wants }) => {
      const { input: x, weights, bias, mask_index: mask, past, attention_bias } = inputs;
      if (a.do_rotary || inputs.past_sequence_length || (mask && b.rank(mask) !== 2)) return undefined;
      const width = b.shape(weights)[1] as number;
      const sizes = a.qkv_hidden_sizes ?? [width / 3, width / 3, width / 3];
      const projected = b.matMul(x, weights);
      const parts = b.split(bias ? b.add(projected, bias) : projected, sizes, 2).map((part) => splitHeads(b, part, a.num_heads));
      const [q, ownK, ownV] = parts as [Value, Value, Value];
      const cache = past ? b.split(past, [1, 1], 0).map((half) => b.reshape(half, b.shape(half).slice(1))) : [];
      const [k, v] = [cache[0] ? b.concat([cache[0], ownK], 2) : ownK, cache[1] ? b.concat([cache[1], ownV], 2) : ownV];
      const masks = [attention_bias, mask && keyMaskBias(b, mask, a.mask_filter_value)].filter((part) => part !== undefined);
      const { y } = attend(b, {
        q,
        k,
        v,
        scale: a.scale,
        causal: a.unidirectional ? { offset: (b.shape(k)[2] as number) - (b.shape(x)[1] as number) } : undefined,
        bias: masks.length > 0 ? masks.reduce((sum, part) => b.add(sum, part)) : undefined,
        masked: a.mask_filter_value,
      });
      const lifted = (part: Value): Value => b.reshape(part, [1, ...b.shape(part)]);
      return { output: joinHeads(b, y), present: wants("present") ? b.concat([lifted(k), lifted(v)], 0) : undefined };
    },
  },
});

export const qAttention = defineOp({
  type: "QAttention",
  domain: "com.microsoft",
  since: 1,
  inputs: [
    "input",
    "weight",
    "bias",
    "input_scale",
    "weight_scale",
    "mask_index?",
    "input_zero_point?",
    "weight_zero_point?",
    "past?",
  ],
  outputs: ["output", "present?"],
  attributes: selfAttentionAttributes,
  infer: ({ input, weight, bias, past }, { attributes }) => {
    const { output, present } = selfAttention(input, weight, past, attributes);
    return { output: like(bias, output), present: like(bias, present) };
  },
  cost: ({ input, weight, past }, { output }, { num_heads }) => selfAttentionCost(input, weight, past, output, num_heads),
  channels: barrier,
});

export const groupQueryAttention = defineOp({
  type: "GroupQueryAttention",
  domain: "com.microsoft",
  since: 1,
  inputs: [
    "query",
    "key?",
    "value?",
    "past_key?",
    "past_value?",
    "seqlens_k",
    "total_sequence_length",
    "cos_cache?",
    "sin_cache?",
    "position_ids?",
    "attention_bias?",
    "head_sink?",
  ],
  outputs: ["output", "present_key?", "present_value?", "output_qk?"],
  attributes: { num_heads: attr.required.int(), kv_num_heads: attr.required.int() },
  infer: ({ query, key }, { attributes: { num_heads, kv_num_heads } }) => {
    const [batch, length, width] = query.shape ?? [];
    if (batch === undefined || length === undefined || width === undefined) return { output: like(query, undefined) };
    // Without a key, Q, K and V lie side by side in one tensor.
    const hidden = key ? width : mulDims(floorDivDims(width, num_heads + 2 * kv_num_heads), num_heads);
    const cache = like(query, [batch, kv_num_heads, "?", floorDivDims(hidden, num_heads)]); // its length is an input
    return { output: like(query, [batch, length, hidden]), present_key: cache, present_value: cache };
  },
  cost: ({ query, past_key }, { output }, { num_heads }) => {
    const [batch = 0, length = 0, width = 0] = output.shape;
    const keys = (query.shape[1] as number) + (past_key?.shape[2] ?? 0);
    return attentionCost(batch * num_heads * length, keys, width / num_heads, width / num_heads);
  },
  channels: barrier,
});
