import { describe, expect, it } from "vitest";
import { Graph, Model, scalarTensor, type Value } from "../ir/index.ts";
import { activationMemory } from "../ops/liveness.ts";
import { fusedActivationMemory } from "./activations.ts";

/** x [1,1000] -> Relu -> Relu -> Relu, with quantize-dequantize pairs between. */
function chain(): Model {
  const graph = new Graph();
  const scale = graph.addInitializer("scale", scalarTensor("float32", 0.1));
  const zero = graph.addInitializer("zero", scalarTensor("int8", 0));
  let value: Value = graph.addInput("x", { dtype: "float32", shape: [1, 1000] });
  for (let i = 0; i < 3; i++) {
    const narrow = graph.node("QuantizeLinear", [value, scale, zero]).output;
    value = graph.node("Relu", [graph.node("DequantizeLinear", [narrow, scale, zero]).output]).output;
  }
  graph.addOutput(value);
  return new Model({ graph });
}

describe("fusedActivationMemory", () => {
  it("stores integers between integer kernels, and leaves the model alone", () => {
    const model = chain();
    const before = model.graph.nodeCount;
    // as written, a dequantized float and the Relu's float output are alive together
    expect(activationMemory(model).peakBytes).toBe(8000);
    // fused: the widest moment is the float input or output beside one integer copy
    expect(fusedActivationMemory(model).peakBytes).toBe(5000);
    expect(model.graph.nodeCount).toBe(before);
  });

  it("changes nothing without such nodes, and keeps floats that someone else reads", () => {
    const graph = new Graph();
    const x = graph.addInput("x", { dtype: "float32", shape: ["N", 100] });
    const a = graph.node("Relu", [x]).output;
    graph.addOutput(graph.node("Relu", [a]).output);
    const model = new Model({ graph });
    expect(fusedActivationMemory(model, { x: [2, 100] }).peakBytes).toBe(1600);
    const scale = graph.addInitializer("scale", scalarTensor("float32", 0.1));
    const zero = graph.addInitializer("zero", scalarTensor("int8", 0));
    graph.addOutput(graph.node("QuantizeLinear", [a, scale, zero]).output);
    // the Relu's float, its Relu and the quantized copy of 200 bytes
    expect(fusedActivationMemory(model, { x: [2, 100] }).peakBytes).toBe(1800);
  });

  it("keeps a dynamic quantization whose scale is read", () => {
    const graph = new Graph();
    const x = graph.addInput("x", { dtype: "float32", shape: [1, 100] });
    const a = graph.node("Relu", [x]).output;
    const narrow = graph.node("DynamicQuantizeLinear", [a], { outputs: ["q", "s", "z"] });
    const [q, s, z] = narrow.outputs as [Value, Value, Value];
    const back = graph.node("DequantizeLinear", [q, s, z]).output;
    graph.addOutput(graph.node("Mul", [back, s]).output);
    expect(fusedActivationMemory(new Model({ graph })).peakBytes).toBeGreaterThan(0);
  });
});
