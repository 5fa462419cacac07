import { type Node, sameShape } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { canReplace, replaceValue } from "./edit.ts";
import { axesOf, normalizeAxes, numbersOf, shapeOf, staticShapeOf } from "./facts.ts";

// Ops that move or gather nothing for these parameters:
// Pad by 0 = x,  Tile by 1 = x,  Expand to the same shape = x,  Resize by 1 = x,  pooling over a 1x1 window with stride 1 = x,
// reduction (sum, mean, max, min, product) over axes of extent 1 that are kept = x

const all = (numbers: readonly number[] | undefined, value: number): boolean => numbers?.every((n) => n === value) ?? false;

function isWindowOfOne(node: Node): boolean {
  const automatic = node.string("auto_pad", "NOTSET");
  const neutral = (name: string, value: number) => all(node.ints(name) ?? [], value);
  const oneOutput = !node.outputs.some((output, i) => i > 0 && output.name);
  return (
    oneOutput &&
    (node.ints("kernel_shape") ?? []).length > 0 &&
    neutral("kernel_shape", 1) &&
    neutral("strides", 1) &&
    (automatic !== "NOTSET" || neutral("pads", 0))
  );
}

/** With all scales 1, or given sizes that equal the input's, every output pixel falls on an input pixel. */
function isResizeByOne(node: Node): boolean {
  if (node.string("coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize") return false;
  if (node.inputs[2]) return all(numbersOf(node.inputs[2]), 1);
  const [before, after] = [staticShapeOf(node.inputs[0]), staticShapeOf(node.output)];
  return (
    before !== undefined && after !== undefined && before.length === after.length && before.every((dim, i) => dim === after[i])
  );
}

function isReductionOfOne(node: Node): boolean {
  const shape = shapeOf(node.inputs[0]);
  const axes = axesOf(node);
  if (!shape || node.int("keepdims", 1) !== 1 || (node.inputs[1] && !axes)) return false;
  if (!axes?.length) return node.int("noop_with_empty_axes", 0) === 1 || all(shape.map(Number), 1);
  return normalizeAxes(axes, shape.length)?.every((axis) => shape[axis] === 1) ?? false;
}

const neutralWhen: Readonly<Record<string, (node: Node) => boolean>> = {
  Pad: (node) => all(numbersOf(node.inputs[1]) ?? node.ints("pads"), 0),
  Tile: (node) => all(numbersOf(node.inputs[1]), 1),
  Expand: (node) =>
    sameShape(shapeOf(node.inputs[0]), shapeOf(node.output)) ||
    (all(numbersOf(node.inputs[1]), 1) && (numbersOf(node.inputs[1])?.length ?? 0) <= (shapeOf(node.inputs[0])?.length ?? -1)),
  Resize: isResizeByOne,
  AveragePool: isWindowOfOne,
  MaxPool: isWindowOfOne,
  ReduceSum: isReductionOfOne,
  ReduceMean: isReductionOfOne,
  ReduceMax: isReductionOfOne,
  ReduceMin: isReductionOfOne,
  ReduceProd: isReductionOfOne,
};

export const eliminateSpatial = defineRule({
  name: "eliminate-spatial",
  summary: "Pad by 0, Tile or Resize by 1, Expand to the same shape, pooling of one pixel, reduction of extent 1",
  anchors: Object.keys(neutralWhen),
  match(node) {
    const input = node.inputs[0];
    return input && neutralWhen[node.opType]?.(node) ? { node, input } : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});
