import { type Node, type Tensor, tensorOf, toFloat32, toNumbers } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { type Affine, type AffineNode, affineOf, affineOps, scaleBlocks } from "./affine.ts";
import { addConstant } from "./edit.ts";
import { constantOf, shapeOf } from "./facts.ts";

// W (s * x + t) + b  =  (W s) x + (b + W t)      for s, t constant per input channel
//
// Exact for a Conv without padding. With padding the border is 0 before the map and t after it, so only t = 0 can be folded.

interface Match {
  readonly affine: AffineNode;
  readonly conv: Node;
  parameters?: { readonly weight: Tensor; readonly bias: Tensor | undefined };
}

function plan({ affine, conv }: Match): NonNullable<Match["parameters"]> | string {
  if (affine.node.output.uses.size !== 1 || affine.node.output.isGraphOutput)
    return `${affine.node.output.name} is read elsewhere too`;
  if (conv.graph !== affine.node.graph) return "the nodes are in different graphs";
  const weight = constantOf(conv.inputs[1]);
  const bias = conv.inputs[2] ? constantOf(conv.inputs[2]) : undefined;
  if (!weight || (conv.inputs[2] && !bias)) return "the weight or the bias is not constant";
  const perGroup = weight.shape[1] as number;
  const channels = perGroup * conv.int("group", 1);
  if (shapeOf(affine.input)?.[1] !== channels) return "the number of channels before the map is not known";
  const map = affine.read(weight.shape.length, 1, channels);
  if (typeof map === "string") return map;
  if (map.shift?.some((t) => t !== 0) && isPadded(conv)) return "the padding would be shifted too";
  return absorb(conv, weight, bias, perGroup, map);
}

const isPadded = (conv: Node): boolean => {
  const automatic = conv.string("auto_pad", "NOTSET");
  return automatic === "NOTSET" ? (conv.ints("pads") ?? []).some((pad) => pad !== 0) : automatic !== "VALID";
};

/** Conv weight is [out, in/group, ...kernel]; output channel o reads the input channels of its group. */
function absorb(conv: Node, weight: Tensor, bias: Tensor | undefined, perGroup: number, { scale, shift }: Affine) {
  const out = weight.shape[0] as number;
  const kernel = weight.shape.slice(2).reduce((product, dim) => product * dim, 1);
  const outPerGroup = out / conv.int("group", 1);
  const inputOf = (block: number) => Math.floor(Math.floor(block / perGroup) / outPerGroup) * perGroup + (block % perGroup);
  const scaled = scaleBlocks(weight, kernel, scale && ((block) => scale[inputOf(block)] as number));
  const bias64 = bias ? toNumbers(bias) : Array<number>(out).fill(0);
  if (shift) {
    const source = toFloat32(weight);
    source.forEach((w, i) => {
      const block = Math.floor(i / kernel);
      const o = Math.floor(block / perGroup);
      bias64[o] = (bias64[o] as number) + w * (shift[inputOf(block)] as number);
    });
  }
  if (!toFloat32(scaled).every(Number.isFinite) || !bias64.every(Number.isFinite))
    return "the folded parameters would not be finite";
  return { weight: scaled, bias: shift ? tensorOf(weight.dtype, [out], bias64) : bias };
}

export const foldScaleAndBiasIntoNext = defineRule<Match>({
  name: "fold-scale-and-bias-into-next",
  summary: "BatchNormalization, or a constant scale or shift per channel, into the Conv after it",
  anchors: affineOps,
  match(node) {
    const affine = affineOf(node);
    const [use] = node.output.uses;
    const conv = use?.index === 0 && use.node.domain === "" && use.node.opType === "Conv" ? use.node : undefined;
    return affine && conv ? { affine, conv } : undefined;
  },
  check(match) {
    const planned = plan(match);
    if (typeof planned === "string") return planned;
    match.parameters = planned;
    return true;
  },
  rewrite({ affine, conv, parameters }) {
    if (!parameters) return;
    conv.setInput(1, addConstant(conv, "weight", parameters.weight));
    if (parameters.bias) conv.setInput(2, addConstant(conv, "bias", parameters.bias));
    conv.setInput(0, affine.input);
    affine.node.graph?.remove(affine.node);
  },
});
