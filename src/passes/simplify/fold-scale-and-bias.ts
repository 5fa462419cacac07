import type { Node, Tensor } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { type AffineNode, affineOf, affineOps, linearOf, linearOps } from "./affine.ts";
import { addConstant, canReplace, floatAttribute, replaceValue } from "./edit.ts";
import { producerOf } from "./facts.ts";

// s * (W x + b) + t  =  (s W) x + (s b + t)      for s, t constant per output channel
//
// The outer map is BatchNormalization in inference, or Add/Sub/Mul/Div with a constant; the inner one Conv, ConvTranspose, Gemm,
// MatMul (no shift: it has no bias) or LayerNormalization (its scale and bias play W and b).

interface Match {
  readonly affine: AffineNode;
  readonly linear: Node;
  /** What `check` worked out, for `rewrite`. */
  parameters?: { readonly weight: Tensor; readonly bias: Tensor | undefined };
}

function plan({ affine, linear }: Match): NonNullable<Match["parameters"]> | string {
  if (affine.input.uses.size !== 1 || affine.input.isGraphOutput) return `${affine.input.name} is read elsewhere too`;
  if (linear.graph !== affine.node.graph) return "the nodes are in different graphs";
  const target = linearOf(linear);
  if (typeof target === "string") return target;
  const map = affine.read(target.rank, target.axis, target.channels);
  if (typeof map === "string") return map;
  if (map.shift && !target.hasBias) return `${linear.opType} has no bias`;
  return target.absorb(map);
}

export const foldScaleAndBias = defineRule<Match>({
  name: "fold-scale-and-bias",
  summary:
    "BatchNormalization, or a constant scale or shift per channel, into the Conv, ConvTranspose, Gemm, MatMul or LayerNormalization before it",
  anchors: affineOps,
  match(node) {
    const affine = affineOf(node);
    const linear = affine && producerOf(affine.input, ...linearOps);
    return linear && affine.input === linear.outputs[0] ? { affine, linear } : undefined;
  },
  check(match) {
    const replaceable = canReplace(match.affine.node.output, match.linear.output);
    if (replaceable !== true) return replaceable;
    const planned = plan(match);
    if (typeof planned === "string") return planned;
    match.parameters = planned;
    return true;
  },
  rewrite({ affine, linear, parameters }) {
    if (parameters && parameters.weight !== linear.inputs[1]?.constant)
      linear.setInput(1, addConstant(linear, "weight", parameters.weight));
    if (parameters?.bias) {
      linear.setInput(2, addConstant(linear, "bias", parameters.bias));
      if (linear.attributes.has("beta")) linear.setAttribute("beta", floatAttribute(1));
    }
    replaceValue(affine.node.output, linear.output);
  },
});
