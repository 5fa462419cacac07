import { type Graph, type Node, scalarTensor, type Tensor, tensorOf, type Value } from "../../ir/index.ts";
import { quantizeTensor, type TensorParameters } from "./parameters.ts";

/** Adds the scale and zero-point initializers of a tensor quantized as a whole. */
export function addParameters(graph: Graph, hint: string, { scale, zeroPoint, dtype }: TensorParameters): [Value, Value] {
  return [
    graph.addInitializer(graph.freshName(`${hint}_scale`), scalarTensor("float32", scale)),
    graph.addInitializer(graph.freshName(`${hint}_zero_point`), scalarTensor(dtype, zeroPoint)),
  ];
}

/** value → QuantizeLinear → DequantizeLinear, placed before `before`; returns both nodes. */
export function addQuantizePair(
  value: Value,
  parameters: TensorParameters,
  before: Node | undefined,
): { quantize: Node; dequantize: Node } {
  const graph = value.graph;
  const [scale, zeroPoint] = addParameters(graph, value.name, parameters);
  const place = before ? { before } : {};
  const quantize = graph.node("QuantizeLinear", [value, scale, zeroPoint], {
    name: graph.freshName(`${value.name}_QuantizeLinear`),
    outputs: [graph.freshName(`${value.name}_quantized`)],
    ...place,
  });
  quantize.output.type = { dtype: parameters.dtype, shape: value.type?.shape };
  const dequantize = graph.node("DequantizeLinear", [quantize.output, scale, zeroPoint], {
    name: graph.freshName(`${value.name}_DequantizeLinear`),
    outputs: [graph.freshName(`${value.name}_dequantized`)],
    ...place,
  });
  dequantize.output.type = value.type;
  return { quantize, dequantize };
}

/** A constant stored as integers with a DequantizeLinear that gives it back as float; per channel when `axis` is given. */
export function addDequantizedConstant(
  graph: Graph,
  hint: string,
  constant: {
    readonly tensor: Tensor;
    readonly scales: Float32Array;
    readonly axis: number | undefined;
    readonly zeroPoint?: number;
  },
  before: Node,
): Value {
  const { tensor, scales, axis } = constant;
  const shape = axis === undefined ? [] : [scales.length];
  const quantized = graph.addInitializer(graph.freshName(`${hint}_quantized`), tensor);
  const scale = graph.addInitializer(graph.freshName(`${hint}_scale`), tensorOf("float32", shape, scales));
  const zeros = new Array<number>(scales.length).fill(constant.zeroPoint ?? 0);
  const zeroPoint = graph.addInitializer(graph.freshName(`${hint}_zero_point`), tensorOf(tensor.dtype, shape, zeros));
  const node = graph.node("DequantizeLinear", [quantized, scale, zeroPoint], {
    name: graph.freshName(`${hint}_DequantizeLinear`),
    outputs: [graph.freshName(`${hint}_dequantized`)],
    attributes: axis === undefined ? {} : { axis },
    before,
  });
  node.output.type = { dtype: "float32", shape: tensor.shape };
  return node.output;
}

/** A constant that takes part as an activation (the other side of an Add, say). */
export function addQuantizedActivationConstant(value: Value, tensor: Tensor, parameters: TensorParameters, before: Node): Value {
  const quantized = quantizeTensor(tensor, parameters);
  const scales = Float32Array.of(parameters.scale);
  return addDequantizedConstant(
    before.graph as Graph,
    value.name,
    { tensor: quantized, scales, axis: undefined, zeroPoint: parameters.zeroPoint },
    before,
  );
}

/** Drops initializers that nobody reads any more. */
export function removeUnusedInitializers(graph: Graph): void {
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
}
