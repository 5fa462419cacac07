import { type Node, type Tensor, tensorOf, toFloat32, toNumbers, type Value } from "../../ir/index.ts";
import { constantOf, constantOperand, isFloatValue, perChannel, shapeOf } from "./facts.ts";

/** y = scale * x + shift, per channel. `undefined` parts do nothing. */
export interface Affine {
  readonly scale: readonly number[] | undefined;
  readonly shift: readonly number[] | undefined;
}

/** A node that computes `affine` on `input`, or why it cannot be read that way. */
export interface AffineNode {
  readonly node: Node;
  /** The tensor that is scaled and shifted. */
  readonly input: Value;
  /** Reads the node as an affine map over `channels` along `axis` of a tensor of `rank` axes. */
  readonly read: (rank: number, axis: number, channels: number) => Affine | string;
}

export const affineOps = ["BatchNormalization", "Add", "Sub", "Mul", "Div"] as const;

/** Reads BatchNormalization in inference, or Add/Sub/Mul/Div with one constant, as an affine map; undefined for anything else. */
export function affineOf(node: Node): AffineNode | undefined {
  return node.opType === "BatchNormalization" ? batchNormalization(node) : arithmetic(node);
}

/** scale = gamma / sqrt(variance + epsilon), shift = beta - mean * scale. */
function batchNormalization(node: Node): AffineNode | undefined {
  const [input, ...rest] = node.inputs;
  if (!input) return undefined;
  const read = (_rank: number, axis: number, channels: number): Affine | string => {
    if (node.int("training_mode", 0) !== 0 || node.outputs.some((output, i) => i > 0 && output.name))
      return "BatchNormalization is in training mode";
    const constants = rest.map((value) => constantOf(value));
    const [gamma, beta, mean, variance] = constants.map((tensor) => tensor && toNumbers(tensor));
    if (!gamma || !beta || !mean || !variance) return "statistics are not constant";
    if (axis !== 1 || gamma.length !== channels) return "channels lie on another axis";
    const epsilon = node.float("epsilon", 1e-5);
    const scale = gamma.map((g, c) => g / Math.sqrt((variance[c] as number) + epsilon));
    return { scale, shift: beta.map((b, c) => b - (mean[c] as number) * (scale[c] as number)) };
  };
  return { node, input, read };
}

function arithmetic(node: Node): AffineNode | undefined {
  const operands = constantOperand(node);
  if (!operands || !isFloatValue(operands.other)) return undefined;
  const { constant, constantIndex, other } = operands;
  if (node.opType === "Div" && constantIndex === 0) return undefined;
  const read = (rank: number, axis: number, channels: number): Affine | string => {
    const numbers = perChannel(constant, rank, axis, channels);
    if (!numbers) return "the constant is not one number per channel";
    return affineOfConstant(node.opType, numbers, constantIndex);
  };
  return { node, input: other, read };
}

function affineOfConstant(opType: string, numbers: readonly number[], constantIndex: 0 | 1): Affine {
  if (opType === "Mul") return { scale: numbers, shift: undefined };
  if (opType === "Div") return { scale: numbers.map((n) => 1 / n), shift: undefined };
  if (opType === "Add") return { scale: undefined, shift: numbers };
  if (constantIndex === 1) return { scale: undefined, shift: numbers.map((n) => -n) };
  return { scale: numbers.map(() => -1), shift: numbers };
}

/** A linear node with constant parameters, whose output (or input) channels can absorb an affine map. */
export interface LinearNode {
  readonly channels: number;
  readonly rank: number;
  readonly axis: number;
  /** New parameters with the affine map applied after the node; a string says why it cannot. */
  readonly absorb: (affine: Affine) => { weight: Tensor; bias: Tensor | undefined } | string;
  /** Whether the node can hold a shift. */
  readonly hasBias: boolean;
}

export const linearOps = ["Conv", "ConvTranspose", "Gemm", "MatMul", "LayerNormalization"] as const;

/** Reads a node with constant weight (and bias) as a linear map, or says why not. */
export function linearOf(node: Node): LinearNode | string {
  const weight = constantOf(node.inputs[1]);
  const bias = node.inputs[2] ? constantOf(node.inputs[2]) : undefined;
  if (!weight || !isFloatValue(node.inputs[1])) return "the weight is not constant";
  if (node.inputs[2] && !bias) return "the bias is not constant";
  if (node.opType === "Conv") return convolution(weight, bias, false, 1);
  if (node.opType === "ConvTranspose") return convolution(weight, bias, true, node.int("group", 1));
  if (node.opType === "Gemm") return gemm(node, weight, bias);
  if (node.opType === "LayerNormalization") return layerNormalization(node, weight, bias);
  return matMul(node, weight);
}

function convolution(weight: Tensor, bias: Tensor | undefined, transposed: boolean, group: number): LinearNode {
  const { shape } = weight;
  const perGroup = transposed ? (shape[1] as number) : 0;
  const channels = transposed ? perGroup * group : (shape[0] as number);
  // Conv weight: [out, in/group, ...]; ConvTranspose weight: [in, out/group, ...], input channels ordered by group
  const inPerGroup = (shape[0] as number) / group;
  const kernel = shape.slice(transposed ? 2 : 1).reduce((product, dim) => product * dim, 1);
  const channelOf = transposed
    ? (block: number) => Math.floor(Math.floor(block / perGroup) / inPerGroup) * perGroup + (block % perGroup)
    : (block: number) => block;
  return {
    channels,
    rank: shape.length,
    axis: 1,
    hasBias: true,
    absorb: (affine) =>
      finite({
        weight: scaleBlocks(weight, kernel, affine.scale && ((block) => affine.scale?.[channelOf(block)] as number)),
        bias: shiftBias(weight.dtype, channels, bias && toNumbers(bias), affine),
      }),
  };
}

/** Y = alpha * A * B' + beta * C: alpha stays, beta is multiplied into C. */
function gemm(node: Node, weight: Tensor, bias: Tensor | undefined): LinearNode | string {
  if (weight.shape.length !== 2) return "the weight is not a matrix";
  const byRow = node.int("transB", 0) === 1;
  const channels = weight.shape[byRow ? 0 : 1] as number;
  const columns = bias ? perChannel(bias, 2, 1, channels) : undefined;
  if (bias && !columns) return "the bias differs by row";
  const beta = node.float("beta", 1);
  const old = columns?.map((c) => c * beta);
  return {
    channels,
    rank: 2,
    axis: 1,
    hasBias: true,
    absorb: (affine) =>
      finite({ weight: scaleMatrix(weight, byRow, affine), bias: shiftBias(weight.dtype, channels, old, affine) }),
  };
}

function matMul(node: Node, weight: Tensor): LinearNode | string {
  const rank = shapeOf(node.output)?.length;
  if (weight.shape.length !== 2 || rank === undefined || rank < 2) return "the weight is not a matrix";
  return {
    channels: weight.shape[1] as number,
    rank,
    axis: rank - 1,
    hasBias: false,
    absorb: (affine) => finite({ weight: scaleMatrix(weight, false, affine), bias: undefined }),
  };
}

/** Scale and bias of a normalization over the last axis. */
function layerNormalization(node: Node, weight: Tensor, bias: Tensor | undefined): LinearNode | string {
  const rank = shapeOf(node.output)?.length;
  const axis = node.int("axis", -1);
  if (rank === undefined || (axis !== -1 && axis !== rank - 1)) return "more than the last axis is normalized";
  if (weight.shape.length !== 1) return "the scale is not a vector";
  const channels = weight.shape[0] as number;
  return {
    channels,
    rank,
    axis: rank - 1,
    hasBias: true,
    absorb: (affine) =>
      finite({
        weight: scaleBlocks(weight, 1, affine.scale && ((block) => affine.scale?.[block] as number)),
        bias: shiftBias(weight.dtype, channels, bias && toNumbers(bias), affine),
      }),
  };
}

function scaleMatrix(weight: Tensor, byRow: boolean, { scale }: Affine): Tensor {
  const columns = weight.shape[1] as number;
  if (byRow) return scaleBlocks(weight, columns, scale && ((row) => scale[row] as number));
  return scaleBlocks(weight, 1, scale && ((element) => scale[element % columns] as number));
}

/** Multiplies consecutive blocks of `size` elements, each by its own factor. */
export function scaleBlocks(weight: Tensor, size: number, factor: ((block: number) => number) | undefined): Tensor {
  if (!factor) return weight;
  const source = toFloat32(weight);
  const result = new Float32Array(source.length);
  for (let block = 0, start = 0; start < source.length; block++, start += size) {
    const by = factor(block);
    for (let i = start; i < start + size; i++) result[i] = (source[i] as number) * by;
  }
  return tensorOf(weight.dtype, weight.shape, result);
}

function shiftBias(dtype: Tensor["dtype"], channels: number, bias: readonly number[] | undefined, { scale, shift }: Affine) {
  if (!bias && !shift) return undefined;
  const values = Array.from({ length: channels }, (_, c) => (bias?.[c] ?? 0) * (scale?.[c] ?? 1) + (shift?.[c] ?? 0));
  return tensorOf(dtype, [channels], values);
}

/** Refuses parameters that overflowed their element type. */
function finite(parameters: { weight: Tensor; bias: Tensor | undefined }): { weight: Tensor; bias: Tensor | undefined } | string {
  for (const tensor of [parameters.weight, parameters.bias])
    if (tensor && !toFloat32(tensor).every(Number.isFinite)) return "the folded parameters would not be finite";
  return parameters;
}
