import { type Model, type Node, type Tensor, toFloat32, typedArray, type Value } from "../../../ir/index.ts";
import { lookupOp, type OpDef, portIndex, readAttributes } from "../../../ops/index.ts";
import { dequantizeLinear, quantizeLinear } from "../../../ops/quantize-linear.ts";
import { nodeKey } from "../plan.ts";
import { middleOf } from "../row.ts";
import { convolutionForm } from "./convolution-form.ts";
import { matrixForm } from "./matrix-form.ts";
import { type PackedWeights, packWeights } from "./packed-weights.ts";
import type { ProductForm } from "./product-form.ts";

/** A node that onnxruntime runs as products of uint8 activations and 8-bit weights. */
export interface IntegerLayer {
  /** `nodeKey` of the node in the float model. */
  readonly key: string;
  readonly node: Node;
  /** The uint8 value that it reads, before its DequantizeLinear. */
  readonly input: Value;
  /** The uint8 value that it gives, after its QuantizeLinear, or its own float result. */
  readonly output: Value;
  readonly weights: PackedWeights;
  readonly zeroPoint: number;
  /** Bias less zero point times sum of weights, by channel: added to the sums of products. */
  readonly addends: Int32Array;
  /** What a sum is multiplied by, in output steps or as a real number; one, or one per channel. */
  readonly scales: Float32Array;
  /** Undefined: the result is float. */
  readonly result: { readonly zeroPoint: number } | undefined;
}

interface KernelFacts {
  readonly form: (attributes: Readonly<Record<string, unknown>>, weightShape: readonly number[]) => ProductForm | undefined;
  /** Whether the kernel stays integer where no QuantizeLinear follows. */
  readonly floatResult: boolean;
  /** Whether a bias whose scale is not input scale × weight scale (to about 1 %) keeps the node in float; else it is taken as it is. */
  readonly checksBiasScale: boolean;
}

/** Facts of onnxruntime 1.30's kernels by the op that they are fused from: QLinearConv, QLinearMatMul and MatMulIntegerToFloat, QGemm. */
const kernels: Readonly<Record<string, KernelFacts>> = {
  Conv: { form: convolutionForm, floatResult: false, checksBiasScale: true },
  MatMul: { form: (_, shape) => matrixForm(shape, false), floatResult: true, checksBiasScale: false },
  Gemm: {
    form: ({ transA, transB }, shape) => (transA ? undefined : matrixForm(shape, Boolean(transB))),
    floatResult: true,
    checksBiasScale: false,
  },
};

/** The integer layers of a model in QDQ form, in execution order. Types must be inferred. */
export function findIntegerLayers(model: Model): IntegerLayer[] {
  const layers: IntegerLayer[] = [];
  for (const node of model.graph.nodes) {
    const layer = integerLayer(node, model);
    if (layer) layers.push(layer);
  }
  return layers;
}

/** Layers whose weights allow a pair of products to leave 16 bits. */
export const canSaturateLayer = ({ weights }: IntegerLayer): boolean => weights.risky.length > 0;

/** A node's products in the order of the kernel that it becomes; undefined where it becomes none. */
export function productForm(node: Node, def: OpDef, weightShape: readonly number[]): ProductForm | undefined {
  if (node.domain !== "") return undefined;
  const attributes = readAttributes(def.attributes, node.attributes, () => undefined as never);
  return kernels[node.opType]?.form(attributes, weightShape);
}

function integerLayer(node: Node, model: Model): IntegerLayer | undefined {
  const def = lookupOp(node, model.opsets);
  const facet = def?.quantization;
  const kernel = kernels[node.opType];
  if (!def || !facet?.weight || !kernel) return undefined;
  const weight = dequantized(node.inputs[portIndex(def.inputs, facet.weight.input)], model);
  const x = dequantized(node.inputs[portIndex(def.inputs, facet.activations[0] as string)], model);
  const integers = weight?.source.constant;
  if (x?.scales.length !== 1 || x.source.type?.dtype !== "uint8" || !weight || !integers) return undefined;
  const form = productForm(node, def, integers.shape);
  const inputScale = x.scales[0] as number;
  const products = weight.scales.map((scale) => inputScale * scale);
  const biasValue = facet.weight.bias === undefined ? undefined : node.inputs[portIndex(def.inputs, facet.weight.bias)];
  const bias = biasValue && biasOf(biasValue, model, kernel.checksBiasScale ? products : undefined);
  const quantizer = quantizerOf(node, model);
  const packed = form && packed8(form, integers, weight.zeroPoints);
  if (!packed || bias === "float" || !(quantizer || kernel.floatResult)) return undefined;
  const zeroPoint = x.zeroPoints[0] ?? 0;
  return {
    key: keyOf(node, quantizer, model),
    node,
    input: x.source,
    output: quantizer?.output ?? node.output,
    weights: packed,
    zeroPoint,
    addends: packed.sums.map((sum, channel) => (bias?.[bias.length === 1 ? 0 : channel] ?? 0) - zeroPoint * sum),
    scales: quantizer ? products.map((scale) => scale / quantizer.scale) : products,
    result: quantizer && { zeroPoint: quantizer.zeroPoint },
  };
}

/**
 * Symmetric 8-bit weights as their kernel adds them up: int8 in pairs of 16 bits; uint8 around 128 one by one, since kernels of two uint8
 * operands widen both to 16 bits first (MLAS, QgemmU8X8KernelAvx2). Undefined for weights that are stored otherwise.
 */
function packed8(form: ProductForm, integers: Tensor, zeroPoints: readonly number[]): PackedWeights | undefined {
  const { dtype } = integers;
  if ((dtype !== "int8" && dtype !== "uint8") || zeroPoints.some((zero) => zero !== middleOf(dtype))) return undefined;
  if (dtype === "int8") return packWeights(form, typedArray(integers) as Int8Array);
  if (zeroPoints.length === 0) return undefined;
  const around0 = Int8Array.from(typedArray(integers) as Uint8Array, (q) => q - middleOf(dtype));
  return packWeights({ ...form, paired: false }, around0);
}

interface Dequantized {
  readonly source: Value;
  readonly scales: Float32Array;
  readonly zeroPoints: readonly number[];
}

const integersOf = (tensor: Tensor | undefined): number[] =>
  tensor ? Array.from(typedArray(tensor) as ArrayLike<number>, Number) : [];

/** What lies before a value's DequantizeLinear. */
function dequantized(value: Value | undefined, model: Model): Dequantized | undefined {
  const node = value?.producer;
  if (!node || lookupOp(node, model.opsets) !== dequantizeLinear) return undefined;
  const [source, scale, zeroPoint] = node.inputs;
  if (!source || !scale?.constant || (zeroPoint && !zeroPoint.constant)) return undefined;
  return { source, scales: toFloat32(scale.constant), zeroPoints: integersOf(zeroPoint?.constant) };
}

/** The int32 bias; "float" where there is one that the kernels do not take. */
function biasOf(value: Value, model: Model, wanted: Float32Array | undefined): Int32Array | "float" {
  const bias = dequantized(value, model);
  if (bias?.source.constant?.dtype !== "int32") return "float";
  const fits = wanted?.every(
    (scale, i) => Math.abs((bias.scales[bias.scales.length === 1 ? 0 : i] as number) / scale - 1) < 0.012,
  );
  return fits === false ? "float" : (typedArray(bias.source.constant) as Int32Array);
}

/** A node without a name goes by its output's; that of a graph output has moved to the DequantizeLinear at the end. */
function keyOf(node: Node, quantizer: Quantizer | undefined, model: Model): string {
  const reads = node.name || !quantizer ? [] : [...quantizer.output.uses];
  const end = reads.find((use) => lookupOp(use.node, model.opsets) === dequantizeLinear && use.node.output.isGraphOutput);
  return end ? end.node.output.name : nodeKey(node);
}

interface Quantizer {
  readonly output: Value;
  readonly scale: number;
  readonly zeroPoint: number;
}

function quantizerOf(node: Node, model: Model): Quantizer | undefined {
  const next = node.output.soleConsumer;
  if (!next || lookupOp(next, model.opsets) !== quantizeLinear || next.outputs[0]?.type?.dtype !== "uint8") return undefined;
  const [, scale, zeroPoint] = next.inputs;
  if (scale?.constant?.size !== 1 || (zeroPoint && !zeroPoint.constant)) return undefined;
  return {
    output: next.output,
    scale: toFloat32(scale.constant)[0] as number,
    zeroPoint: integersOf(zeroPoint?.constant)[0] ?? 0,
  };
}
