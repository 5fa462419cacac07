import { dataTypeCode, fromTypedArray, type Graph, type Node, type Tensor, toNumbers, typedArray } from "../../ir/index.ts";
import {
  constantOf,
  rule,
  substitute,
  takeAttribute,
  takeOver,
  type UpgradeContext,
  type UpgradeRule,
  wantsFrom,
} from "./rule.ts";

/** Operators whose meaning, name or defaults changed. */

/** `spatial` is gone. Without it (0), statistics were per element, which no later version knows. */
function batchNormalization9(node: Node): string | undefined {
  const spatial = node.int("spatial", 1);
  takeAttribute(node, "spatial");
  return spatial === 1 ? undefined : "it normalises each element by itself (spatial = 0), which later versions cannot";
}

/** The extra outputs belong to training and changed their number; a node whose extra outputs nobody reads loses them. */
function batchNormalization14(node: Node): string | undefined {
  if (wantsFrom(node, 1)) return "its training outputs are read, and opset 14 replaced them";
  if (node.outputs.length > 1) substitute(node, node.opType, node.inputs);
  return undefined;
}

/** The mask was a float tensor and is boolean from version 10 on; readers go on reading numbers. */
function dropoutMask(node: Node, context: UpgradeContext): string | undefined {
  const mask = node.outputs[1];
  const dtype = context.typeOf(node.inputs[0])?.dtype;
  if (!mask || !wantsFrom(node, 1)) return undefined;
  if (!dtype) return "its mask is read, and the element type is not known";
  const graph = node.graph as Graph;
  const cast = graph.node("Cast", [], {
    attributes: { to: dataTypeCode(dtype) },
    before: node,
    outputs: [graph.freshName("mask")],
  });
  takeOver(mask, cast.output);
  cast.setInput(0, mask);
  mask.type = mask.type && { dtype: "bool", shape: mask.type.shape };
  graph.moveBefore(node, cast);
  return undefined;
}

/**
 * Before 13 these saw a matrix: axes from `axis` on (default 1) flattened to one. From 13 on they work along a single axis.
 * The same where only one of the flattened axes is longer than 1; otherwise through Flatten and back.
 */
function matrixSoftmax(node: Node, context: UpgradeContext): string | undefined {
  const shape = context.typeOf(node.inputs[0])?.shape;
  const axis = node.int("axis", 1);
  const single = shape ? onlyLongAxis(shape, axis) : axis === -1 ? -1 : undefined;
  if (single !== undefined) {
    node.setAttribute("axis", { type: "int", value: single });
    return undefined;
  }
  const [graph, input] = [node.graph as Graph, node.inputs[0]];
  if (!input) return "it has no input";
  const make = (op: string, inputs: Parameters<Graph["node"]>[1], attributes = {}) =>
    graph.node(op, inputs, { attributes, before: node, outputs: [graph.freshName(`${node.output.name}_${op}`)] }).output;
  const matrix = make("Flatten", [input], { axis });
  const inner = make(node.opType, [matrix], { axis: -1 });
  substitute(node, "Reshape", [inner, make("Shape", [input])], new Map());
  return undefined;
}

/** The axis to use when at most one of the axes that were flattened together is longer than 1. */
function onlyLongAxis(shape: readonly (number | string)[], axis: number): number | undefined {
  const first = axis < 0 ? axis + shape.length : axis;
  const long = shape.flatMap((dim, i) => (i >= first && dim !== 1 ? [i] : []));
  return long.length > 1 ? undefined : (long[0] ?? shape.length - 1);
}

/** Upsample became Resize; both took a pixel's position times the scale, rounded down. */
function upsample(node: Node): string | undefined {
  substitute(node, "Resize", node.inputs);
  return undefined;
}

/**
 * Resize 10 had no choice of coordinates: output x came from input x / scale ("asymmetric"). Nearest neighbours were rounded down
 * when growing and up when shrinking, as onnxruntime does; scales that are not constant are taken to grow.
 */
function resize(node: Node): string | undefined {
  const scales = constantOf(node.inputs[1]);
  const shrinks = scales ? toNumbers(scales).some((scale) => scale < 1) : false;
  const grows = scales ? toNumbers(scales).some((scale) => scale > 1) : false;
  const nearest = node.string("mode", "nearest") === "nearest";
  if (nearest && shrinks && grows) return "it grows one axis and shrinks another to nearest neighbours, rounded differently";
  node.setInputs([node.inputs[0], undefined, node.inputs[1]]);
  node.setAttribute("coordinate_transformation_mode", { type: "string", value: "asymmetric" });
  if (nearest) node.setAttribute("nearest_mode", { type: "string", value: shrinks ? "ceil" : "floor" });
  return undefined;
}

/** Renamed, with the same meaning. */
function scatter(node: Node): string | undefined {
  substitute(node, "ScatterElements", node.inputs);
  return undefined;
}

const setDefault =
  (name: string, value: string): UpgradeRule["apply"] =>
  (node) => {
    if (!node.attributes.has(name)) node.setAttribute(name, { type: "string", value });
    return undefined;
  };

function gridSample(node: Node): string | undefined {
  const renamed: Readonly<Record<string, string>> = { bilinear: "linear", bicubic: "cubic" };
  const mode = node.string("mode", "bilinear");
  node.setAttribute("mode", { type: "string", value: renamed[mode] ?? mode });
  return undefined;
}

/** Scale and bias were per group and are per channel from 21 on. */
function groupNormalization(node: Node, context: UpgradeContext): string | undefined {
  const channels = context.typeOf(node.inputs[0])?.shape?.[1];
  const groups = node.int("num_groups", 0);
  if (typeof channels !== "number" || groups < 1 || channels % groups !== 0) return "its number of channels is not known";
  for (const [index, role] of [
    [1, "scale"],
    [2, "bias"],
  ] as const) {
    const tensor = constantOf(node.inputs[index]);
    if (!tensor) return `its ${role} is not constant`;
    node.setInput(index, context.constant(node, repeatEach(tensor, channels / groups), role));
  }
  return undefined;
}

function repeatEach(tensor: Tensor, times: number): Tensor {
  const source = typedArray(tensor);
  const repeated = new (source.constructor as new (length: number) => typeof source)(source.length * times);
  for (let i = 0; i < repeated.length; i++) repeated[i] = source[Math.floor(i / times)] as never;
  return fromTypedArray(tensor.dtype, [repeated.length], repeated);
}

export const semantics: readonly UpgradeRule[] = [
  rule("BatchNormalization", 9, batchNormalization9),
  rule("Scan", 9, () => "its batches and lengths of sequences left the operator in opset 9"),
  rule("Dropout", 10, dropoutMask),
  rule("Upsample", 10, upsample),
  rule("Resize", 11, resize),
  rule("Scatter", 11, scatter),
  rule(["Softmax", "LogSoftmax", "Hardmax"], 13, matrixSoftmax),
  rule("BatchNormalization", 14, batchNormalization14),
  rule("RoiAlign", 16, setDefault("coordinate_transformation_mode", "output_half_pixel")),
  rule("GridSample", 20, gridSample),
  rule("GroupNormalization", 21, groupNormalization),
];
