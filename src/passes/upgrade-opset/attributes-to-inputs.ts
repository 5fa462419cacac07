import { float32Tensor, int64Tensor, type Node, scalarTensor } from "../../ir/index.ts";
import { rule, takeAttribute, takeInts, type UpgradeContext, type UpgradeRule } from "./rule.ts";

/** Attributes that became inputs, by the operator's changelog (onnx.ai/onnx/operators). */

const intsInput =
  (name: string, index: number): UpgradeRule["apply"] =>
  (node, context) => {
    const values = takeInts(node, name);
    if (values) node.setInput(index, context.constant(node, int64Tensor(values), name));
    return undefined;
  };

/** The bounds that Clip had when its attributes were left out: all finite float32. */
const lowest = -3.4028234663852886e38;

function clip(node: Node, context: UpgradeContext): string | undefined {
  const [min, max] = [takeAttribute(node, "min"), takeAttribute(node, "max")];
  const bounds = [
    min?.type === "float" && min.value > lowest ? min.value : undefined,
    max?.type === "float" && max.value < -lowest ? max.value : undefined,
  ];
  if (bounds.every((bound) => bound === undefined)) return undefined;
  const dtype = context.floatType(node.inputs[0]);
  if (!dtype) return "the element type of its input is not known";
  bounds.forEach((bound, i) => {
    if (bound !== undefined) node.setInput(i + 1, context.constant(node, scalarTensor(dtype, bound), i === 0 ? "min" : "max"));
  });
  return undefined;
}

function pad(node: Node, context: UpgradeContext): string | undefined {
  const pads = takeInts(node, "pads");
  if (!pads) return "it has no pads";
  const value = takeAttribute(node, "value");
  node.setInput(1, context.constant(node, int64Tensor(pads), "pads"));
  if (value?.type !== "float" || value.value === 0 || node.string("mode", "constant") !== "constant") return undefined;
  const dtype = context.floatType(node.inputs[0]);
  if (!dtype) return "the element type of its input is not known";
  node.setInput(2, context.constant(node, scalarTensor(dtype, value.value), "value"));
  return undefined;
}

function slice(node: Node, context: UpgradeContext): string | undefined {
  const [starts, ends, axes] = [takeInts(node, "starts"), takeInts(node, "ends"), takeInts(node, "axes")];
  if (!starts || !ends) return "it has no starts or ends";
  node.setInput(1, context.constant(node, int64Tensor(starts), "starts"));
  node.setInput(2, context.constant(node, int64Tensor(ends), "ends"));
  if (axes) node.setInput(3, context.constant(node, int64Tensor(axes), "axes"));
  return undefined;
}

function topK(node: Node, context: UpgradeContext): string | undefined {
  const k = takeAttribute(node, "k");
  if (k?.type !== "int") return "it has no k";
  node.setInput(1, context.constant(node, int64Tensor([k.value]), "k"));
  return undefined;
}

function upsampleScales(node: Node, context: UpgradeContext): string | undefined {
  const scales = takeAttribute(node, "scales");
  if (scales?.type !== "floats") return "it has no scales";
  node.setInput(1, context.constant(node, float32Tensor([scales.value.length], scales.value), "scales"));
  return undefined;
}

/** Ratio only matters to training, which opset 12 made an input of its own: without it Dropout passes its input on, as before. */
function dropout(node: Node, context: UpgradeContext): string | undefined {
  const ratio = takeAttribute(node, "ratio");
  if (ratio?.type === "float") node.setInput(1, context.constant(node, scalarTensor("float32", ratio.value), "ratio"));
  return undefined;
}

/** Equal parts must now be asked for by number. */
function splitCount(node: Node): string | undefined {
  if (!node.inputs[1]) node.setAttribute("num_outputs", { type: "int", value: node.outputs.length });
  return undefined;
}

/** The axis was an attribute with default 1; as an input its default is -2. */
function dftAxis(node: Node, context: UpgradeContext): string | undefined {
  const axis = takeAttribute(node, "axis");
  node.setInput(2, context.constant(node, scalarTensor("int64", axis?.type === "int" ? axis.value : 1), "axis"));
  return undefined;
}

const reductions = ["Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"].map((kind) => `Reduce${kind}`);

export const attributesToInputs: readonly UpgradeRule[] = [
  rule("Reshape", 5, intsInput("shape", 1)),
  rule("Upsample", 9, upsampleScales),
  rule("Slice", 10, slice),
  rule("TopK", 10, topK),
  rule("Clip", 11, clip),
  rule("Pad", 11, pad),
  rule("Dropout", 12, dropout),
  rule(["Squeeze", "Unsqueeze", "ReduceSum"], 13, intsInput("axes", 1)),
  rule("Split", 13, intsInput("split", 1)),
  rule("Split", 18, splitCount),
  rule(reductions, 18, intsInput("axes", 1)),
  rule("DFT", 20, dftAxis),
];
