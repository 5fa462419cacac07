import { describe, expect, it } from "vitest";
import { float32Tensor, Graph, Model, scalarTensor, tensorOf, type Value } from "../ir/index.ts";
import { inferenceWork } from "./work.ts";

const float = (shape: readonly number[]) => ({ dtype: "float32" as const, shape });

/** [1,64] x [64,32] as floats, or with quantize-dequantize pairs on both operands and the result. */
function matmul(quantized: boolean): Model {
  const graph = new Graph();
  const x = graph.addInput("x", float([1, 64]));
  const scale = graph.addInitializer("scale", scalarTensor("float32", 0.1));
  const zero = graph.addInitializer("zero", scalarTensor("int8", 0));
  const pair = (value: Value) => {
    const narrow = graph.node("QuantizeLinear", [value, scale, zero]).output;
    return graph.node("DequantizeLinear", [narrow, scale, zero]).output;
  };
  const weight = quantized
    ? graph.node("DequantizeLinear", [graph.addInitializer("w", tensorOf("int8", [64, 32], new Int8Array(2048))), scale, zero])
        .output
    : graph.addInitializer("w", float32Tensor([64, 32], new Float32Array(2048)));
  const product = graph.node("MatMul", [quantized ? pair(x) : x, weight]).output;
  graph.addOutput(quantized ? pair(product) : product);
  return new Model({ graph });
}

describe("inferenceWork", () => {
  it("counts float arithmetic and its traffic", () => {
    expect(inferenceWork(matmul(false))).toEqual({
      macs: { int8: 0, float16: 0, float32: 2048 },
      weightBytes: 8192,
      activationBytes: (64 + 32) * 4,
      unknownNodes: 0,
    });
  });

  it("counts quantize-dequantize pairs as integer arithmetic on narrow data", () => {
    expect(inferenceWork(matmul(true))).toEqual({
      macs: { int8: 2048, float16: 0, float32: 0 },
      // the weights and the scalar parameters of nothing else: scales belong to the fused nodes
      weightBytes: 2048,
      activationBytes: 64 + 32,
      unknownNodes: 0,
    });
  });

  it("reads only the rows of an embedding that are asked for", () => {
    const graph = new Graph();
    const ids = graph.addInput("ids", { dtype: "int64", shape: [1, 4] });
    const table = graph.addInitializer("table", float32Tensor([1000, 8], new Float32Array(8000)));
    graph.addOutput(graph.node("Gather", [table, ids]).output);
    const { weightBytes, activationBytes } = inferenceWork(new Model({ graph }));
    expect(weightBytes + activationBytes).toBeLessThan(1000);
  });

  it("says how many nodes it knows nothing of", () => {
    const graph = new Graph();
    const x = graph.addInput("x", float([4]));
    graph.addOutput(graph.node("Mystery", [x], { domain: "com.example" }).output);
    expect(inferenceWork(new Model({ graph })).unknownNodes).toBe(1);
  });
});
