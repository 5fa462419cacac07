import type { Node } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { prune } from "./edit.ts";
import { numbersOf, producerOf, rankOf, scalarOf } from "./facts.ts";

// Conv<p>(Pad<q, 0>(x)) = Conv<p + q>(x)                        q on spatial axes only
// AveragePool<0>(Pad<q, 0>(x)) = AveragePool<q, count_include_pad>(x)
// MaxPool<p>(Pad<q, -inf>(x)) = MaxPool<p + q>(x)               also for 0 instead of -inf when x >= 0

interface Match {
  readonly node: Node;
  readonly pad: Node;
}

/** Pads as [begin..., end...] over all axes; undefined when computed or of another mode than constant. */
function padsOf(pad: Node): number[] | undefined {
  const rank = rankOf(pad.inputs[0]);
  const given = numbersOf(pad.inputs[1]) ?? pad.ints("pads");
  if (pad.string("mode", "constant") !== "constant" || rank === undefined || !given) return undefined;
  if (!pad.inputs[3]) return given.length === 2 * rank ? [...given] : undefined;
  const axes = numbersOf(pad.inputs[3]);
  if (!axes) return undefined;
  const pads = Array<number>(2 * rank).fill(0);
  axes.forEach((axis, i) => {
    const at = axis < 0 ? axis + rank : axis;
    pads[at] = given[i] as number;
    pads[at + rank] = given[i + axes.length] as number;
  });
  return pads;
}

/** Pads of the two spatial ends, [begin..., end...], or why they cannot go into a window op. */
function spatialPads(pad: Node): number[] | string {
  const pads = padsOf(pad);
  if (!pads) return "the padding is computed, or its mode is not constant";
  const rank = pads.length / 2;
  if (rank < 3) return "there are no spatial axes";
  if (pads.some((p) => p < 0)) return "the padding is negative";
  if ([0, 1, rank, rank + 1].some((i) => pads[i] !== 0)) return "batch or channels are padded too";
  return [...pads.slice(2, rank), ...pads.slice(rank + 2)];
}

/** Ops whose results are never negative. */
const nonNegative = ["Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Softplus"] as const;

function fillIsNeutral({ node, pad }: Match): true | string {
  const fill = pad.inputs[2] ? scalarOf(pad.inputs[2]) : pad.float("value", 0);
  if (fill === undefined) return "the fill value is computed";
  if (node.opType !== "MaxPool") return fill === 0 || "the fill value is not 0";
  const clip = producerOf(pad.inputs[0], "Clip");
  const positive = producerOf(pad.inputs[0], ...nonNegative) !== undefined || (scalarOf(clip?.inputs[1]) ?? -1) >= 0;
  return fill <= -3.4e38 || (fill === 0 && positive) || "the fill value could be the maximum";
}

function windowAllows(node: Node, pads: readonly number[]): true | string {
  const automatic = node.string("auto_pad", "NOTSET");
  if (automatic !== "NOTSET" && automatic !== "VALID") return `auto_pad is ${automatic}`;
  if (node.opType === "Conv") return true;
  if (node.int("ceil_mode", 0) !== 0) return "ceil_mode rounds the output up";
  if (node.outputs.some((output, i) => i > 0 && output.name)) return "indices are read";
  if ((node.ints("dilations") ?? []).some((d) => d !== 1)) return "a dilated window can fall between the padding";
  const kernel = node.ints("kernel_shape") ?? [];
  const total = ownPads(node, pads.length).map((own, i) => own + (pads[i] as number));
  if (total.some((p, i) => p >= (kernel[i % kernel.length] ?? 0))) return "the padding is as large as the window";
  const own = (node.ints("pads") ?? []).some((p) => p !== 0);
  if (node.opType === "AveragePool" && own && node.int("count_include_pad", 0) === 0)
    return "the window's own padding is not counted";
  return true;
}

const ownPads = (node: Node, length: number): readonly number[] => node.ints("pads") ?? Array<number>(length).fill(0);

export const foldPad = defineRule<Match>({
  name: "fold-pad",
  summary: "Pad into the Conv, AveragePool or MaxPool after it",
  anchors: ["Conv", "AveragePool", "MaxPool"],
  match(node) {
    const pad = producerOf(node.inputs[0], "Pad");
    return pad ? { node, pad } : undefined;
  },
  check(match) {
    const pads = spatialPads(match.pad);
    if (typeof pads === "string") return pads;
    const neutral = fillIsNeutral(match);
    return neutral === true ? windowAllows(match.node, pads) : neutral;
  },
  rewrite({ node, pad }) {
    const pads = spatialPads(pad);
    if (typeof pads === "string") return;
    node.setAttribute("pads", { type: "ints", value: ownPads(node, pads.length).map((own, i) => own + (pads[i] as number)) });
    node.setAttribute("auto_pad", undefined);
    if (node.opType === "AveragePool") node.setAttribute("count_include_pad", { type: "int", value: 1 });
    node.setInput(0, pad.inputs[0]);
    prune(pad);
  },
});
