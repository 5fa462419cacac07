import { allGraphs, type Graph, type Tensor, type Value } from "../../ir/index.ts";
import { constantOf } from "./facts.ts";

/** Makes readers of equal initializers of a graph read one of them; returns the names of those that went. */
export function mergeEqualInitializers(root: Graph): string[] {
  const merged: string[] = [];
  for (const graph of allGraphs(root)) {
    const kept = new Map<string, Value[]>();
    const outputs = new Set(graph.outputs);
    for (const [key, group] of bySignature(graph)) {
      for (const value of group) {
        const tensor = value.constant as Tensor;
        // Only tensors of one type and shape are read and hashed: most groups have one member
        const full = group.length > 1 ? `${key}:${contentKey(tensor)}` : key;
        const twin = kept.get(full)?.find((other) => sameContent(other.constant as Tensor, tensor));
        if (twin && !outputs.has(value)) {
          graph.replaceAllUses(value, twin);
          graph.removeInitializer(value);
          merged.push(value.name);
        } else if (!twin) kept.set(full, [...(kept.get(full) ?? []), value]);
      }
    }
  }
  return merged;
}

function bySignature(graph: Graph): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  const inputs = new Set(graph.inputs);
  for (const value of graph.initializers) {
    if (!value.constant || value.sparse || inputs.has(value) || !constantOf(value)) continue;
    const key = `${value.constant.dtype}[${value.constant.shape}]`;
    const group = groups.get(key);
    if (group) group.push(value);
    else groups.set(key, [value]);
  }
  return groups;
}

/** FNV-1a over at most 64 sampled bytes: enough to keep different tensors apart; equality is decided byte by byte. */
function contentKey(tensor: Tensor): number {
  if (tensor.strings) return tensor.strings.length;
  const bytes = tensor.bytes();
  const step = Math.max(1, Math.floor(bytes.length / 61));
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i += step) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash;
}

function sameContent(a: Tensor, b: Tensor): boolean {
  if (a.strings || b.strings)
    return a.strings?.length === b.strings?.length && (a.strings ?? []).every((s, i) => s === b.strings?.[i]);
  const [x, y] = [a.bytes(), b.bytes()];
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
}
