import {
  bitsOf,
  byteLength,
  type DataType,
  isFloat,
  isInteger,
  isStatic,
  type Model,
  type Node,
  numel,
  type Value,
} from "../ir/index.ts";
import { type CostReport, modelCost } from "../ops/cost.ts";
import type { ShapeReport } from "../ops/infer.ts";
import { staticShapes } from "../ops/static-shapes.ts";
import type { MacPrecision, Work } from "./energy.ts";

interface Sized {
  readonly dtype: DataType;
  readonly elements: number;
}
export interface WorkContext {
  readonly shapes: ShapeReport;
  readonly cost: CostReport;
}

function sizeOf(shapes: ShapeReport, value: Value | undefined): Sized | undefined {
  const info = value && shapes.info.get(value);
  return info && isStatic(info.shape) ? { dtype: info.dtype, elements: numel(info.shape) } : undefined;
}

/** Bits of a quantized element: narrow integers. */
export const isNarrow = (dtype: DataType): boolean => isInteger(dtype) && bitsOf(dtype) <= 16;

/**
 * A node that only changes how numbers are stored: one side float, the other a narrow integer, element for element. Runtimes fuse such
 * nodes into their neighbours, so they move nothing of their own.
 */
export function isConversion(context: WorkContext, node: Node): boolean {
  const from = sizeOf(context.shapes, node.inputs[0]);
  const to = sizeOf(context.shapes, node.outputs[0]);
  if (!from || !to || from.elements !== to.elements || (context.cost.nodes.get(node)?.macs ?? 0) > 0) return false;
  return (isNarrow(from.dtype) && isFloat(to.dtype)) || (isFloat(from.dtype) && isNarrow(to.dtype));
}

/** What an input is read from: through a conversion, the value before it. */
function storedInput(context: WorkContext, value: Value): Value {
  const maker = value.producer;
  const source = maker && isConversion(context, maker) ? maker.inputs[0] : undefined;
  return source ?? value;
}

/** What an output is written as: narrow when all that read it are conversions to something narrower. */
export function storedOutput(context: WorkContext, value: Value): Value {
  if (value.uses.size === 0 || value.isGraphOutput) return value;
  let narrow: Value | undefined;
  for (const { node } of value.uses) {
    if (!isConversion(context, node)) return value;
    narrow = node.outputs[0];
  }
  return narrow ?? value;
}

const bytesOf = (shapes: ShapeReport, value: Value): number => {
  const size = sizeOf(shapes, value);
  return size ? byteLength(size.dtype, size.elements) : 0;
};

function precisionOf(context: WorkContext, node: Node, sources: readonly Value[]): MacPrecision {
  const operands = sources.map((value) => sizeOf(context.shapes, value)).filter((size) => size && size.elements > 1);
  const narrow = operands.filter((size) => size && isNarrow(size.dtype) && bitsOf(size.dtype) <= 8);
  // both factors must be integers for integer arithmetic; a scale or zero point is no factor
  if (narrow.length >= 2) return "int8";
  const output = sizeOf(context.shapes, node.outputs[0])?.dtype;
  return output !== undefined && isFloat(output) && bitsOf(output) === 16 ? "float16" : "float32";
}

function nodeWork(
  context: WorkContext,
  node: Node,
): { precision: MacPrecision; macs: number; weights: number; activations: number } {
  const cost = context.cost.nodes.get(node) ?? { macs: 0, bytes: 0 };
  const inputs = [...new Set(node.inputs.filter((value) => value !== undefined))];
  const sources = inputs.map((value) => storedInput(context, value));
  const outputs = node.outputs.filter((value) => value.name);
  const targets = outputs.map((value) => storedOutput(context, value));
  const bytes = (values: readonly Value[]) => values.reduce((sum, value) => sum + bytesOf(context.shapes, value), 0);
  const isWeight = (value: Value) => value.constant !== undefined;
  const constants = bytes(sources.filter(isWeight));
  const precision = precisionOf(context, node, sources);
  const converted = sources.some((value, i) => value !== inputs[i]) || targets.some((value, i) => value !== outputs[i]);
  // the op's own rule knows better than its types where it reads only a part (rows of an embedding)
  const total = converted ? bytes([...sources, ...targets]) : cost.bytes;
  const weights = Math.min(constants, total);
  return { precision, macs: cost.macs, weights, activations: total - weights };
}

/**
 * What one inference of a model does: multiply-accumulates by precision and bytes moved, with quantize and dequantize nodes taken as
 * fused into their neighbours. `shapes` must be static to be of use; the default sets free extents to 1. `unknownNodes` counts nodes that
 * are left out or guessed because nothing tells what they cost.
 */
export function inferenceWork(model: Model, shapes: ShapeReport = staticShapes(model)): Work & { readonly unknownNodes: number } {
  const context: WorkContext = { shapes, cost: modelCost(model, shapes) };
  const macs = { int8: 0, float16: 0, float32: 0 };
  let weightBytes = 0;
  let activationBytes = 0;
  for (const node of model.graph.nodes) {
    if (isConversion(context, node)) continue;
    const work = nodeWork(context, node);
    macs[work.precision] += work.macs;
    weightBytes += work.weights;
    activationBytes += work.activations;
  }
  return { macs, weightBytes, activationBytes, unknownNodes: context.cost.unknown.length };
}
