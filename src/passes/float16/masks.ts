import { allNodes, float32Tensor, type Model, type Node, type Tensor, toFloat32, type Value } from "../../ir/index.ts";
import { lookupOp, type OpDef } from "../../ops/index.ts";
import { isFloat32 } from "./types.ts";

/** A few of these add up within float16, and exp() of it is zero in every float type. */
const softMask = -10_000;

/**
 * Masks of attention are "minus very much": -1e9, or the lowest float32. Where such a constant reaches nothing but a Softmax, by way of
 * elementwise ops and moves, -10000 does the same and fits into float16. Changes the model in place and gives the number of constants that
 * it changed. Whoever calls it compares results: a score may itself be that low, and a row may be masked as a whole.
 */
export function softenMasks(model: Model): number {
  const known = new Map<Value, boolean>();
  const soft = new Map<Value, Value>();
  for (const node of allNodes(model.graph)) {
    if (!passesOn(lookupOp(node, model.opsets)) || !endsInSoftmax(node.output, model, known)) continue;
    node.inputs.forEach((input, index) => {
      const tensor = input?.constant;
      if (!input || !tensor || !isFloat32(tensor) || !isMask(tensor)) return;
      const copy = soft.get(input) ?? softened(input, tensor);
      soft.set(input, copy);
      node.setInput(index, copy);
    });
  }
  for (const value of soft.keys())
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) value.graph.removeInitializer(value);
  return soft.size;
}

function softened({ graph, name }: Value, tensor: Tensor): Value {
  const values = toFloat32(tensor).map((x) => (Number.isFinite(x) ? Math.max(x, softMask) : x));
  return graph.addInitializer(graph.freshName(`${name}_soft`), float32Tensor(tensor.shape, values));
}

/** Elementwise, or a move of elements. */
function passesOn(def: OpDef | undefined): boolean {
  const output = def?.quantization?.output;
  return def !== undefined && (def.channels === "elementwise" || (typeof output === "object" && "sameAs" in output));
}

function endsInSoftmax(value: Value, model: Model, known: Map<Value, boolean>): boolean {
  const found = known.get(value);
  if (found !== undefined) return found;
  known.set(value, false);
  const ends = ({ node }: { node: Node }): boolean => {
    const def = lookupOp(node, model.opsets);
    return def?.ignoresFarBelow === true || (passesOn(def) && endsInSoftmax(node.output, model, known));
  };
  const result = !value.isGraphOutput && value.uses.size > 0 && [...value.uses].every(ends);
  known.set(value, result);
  return result;
}

/** Zeros, and numbers below any score. */
function isMask(tensor: Tensor): boolean {
  let lowest = 0;
  for (const x of toFloat32(tensor)) if (Number.isFinite(x) && x < lowest) lowest = x;
  return lowest < 3 * softMask;
}
