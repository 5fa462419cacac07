import { describe, expect, it } from "vitest";
import { type Dim, float32Tensor, Graph, int64Tensor, Model, scalarTensor, type TensorType, type Value } from "../ir/index.ts";
import { modelCost } from "./cost.ts";
import { activationMemory, peakActivationBytes } from "./liveness.ts";
import { staticInputShapes, staticShapes } from "./static-shapes.ts";

const float = (...shape: Dim[]): TensorType => ({ dtype: "float32", shape });
const zeros = (...shape: number[]) => float32Tensor(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

function model(build: (graph: Graph) => Value): Model {
  const graph = new Graph("test");
  graph.addOutput(build(graph));
  return new Model({ graph });
}

const convolution = (): Model =>
  model((g) => {
    const x = g.addInput("x", float("N", 3, "H", "W"));
    const conv = g.node("Conv", [x, g.addInitializer("w", zeros(8, 3, 3, 3)), g.addInitializer("b", zeros(8))]).output;
    return g.node("Relu", [conv]).output;
  });

describe("cost", () => {
  it("counts MACs, bytes and parameters with free extents as 1 or as given", () => {
    const shapes = staticShapes(convolution(), { x: ["N", 3, 10, 10] });
    expect(staticInputShapes(convolution(), { x: ["N", 3, 10, 10] })).toEqual({ x: [1, 3, 10, 10] });
    const made = convolution();
    const { total, nodes, unknown } = modelCost(made, staticShapes(made, { x: ["N", 3, 10, 10] }));
    expect(shapes.warnings).toEqual([]);
    expect(unknown).toEqual([]);
    expect(total.macs).toBe(8 * 8 * 8 * 27);
    expect(total.parameters).toBe(8 * 27 + 8);
    const conv = nodes.get(made.graph.firstNode as never);
    expect(conv?.bytes).toBe(4 * (300 + 8 * 27 + 8 + 8 * 64));
  });

  it("counts a shared weight once and leaves shapes and scalars out", () => {
    const made = model((g) => {
      const x = g.addInput("x", float(4, 4));
      const w = g.addInitializer("w", zeros(4, 4));
      const twice = g.node("MatMul", [g.node("MatMul", [x, w]).output, w]).output;
      const scaled = g.node("Mul", [twice, g.addInitializer("s", scalarTensor("float32", 2))]).output;
      return g.node("Reshape", [scaled, g.addInitializer("r", int64Tensor([2, 8]))]).output;
    });
    expect(modelCost(made).total).toMatchObject({ macs: 2 * 64, parameters: 16 });
  });

  it("lists what it cannot count instead of guessing", () => {
    const made = model((g) => g.node("Mystery", [g.addInput("x", float(2))], { name: "m" }).output);
    expect(modelCost(made).unknown.map(({ node, reason }) => `${node.name}: ${reason}`)).toEqual([
      "m: there is no record of this op",
    ]);
  });

  it("multiplies a loop's body by its trips and takes the dearer branch", () => {
    const body = new Graph("body");
    body.addInput("i", { dtype: "int64", shape: [] });
    const on = body.addInput("on", { dtype: "bool", shape: [] });
    const state = body.addInput("state");
    body.addOutput(body.node("Identity", [on], { outputs: ["goes_on"] }).output);
    body.addOutput(body.node("MatMul", [state, body.addInitializer("bw", zeros(4, 4))], { outputs: ["next"] }).output);
    const made = model((g) => {
      const trips = g.addInitializer("trips", scalarTensor("int64", 5));
      return g.node("Loop", [trips, undefined, g.addInput("x", float(2, 4))], { attributes: { body } }).output;
    });
    expect(modelCost(made).total).toMatchObject({ macs: 5 * 2 * 16, parameters: 16 });
  });
});

describe("activation memory", () => {
  it("is the largest sum of values alive together", () => {
    const made = model((g) => {
      const x = g.addInput("x", float(1, 100));
      const a = g.node("Relu", [x], { name: "a" }).output;
      const wide = g.node("Concat", [a, a, a], { name: "wide", attributes: { axis: 1 } }).output;
      const narrow = g.node("ReduceSum", [wide], { name: "narrow" }).output;
      return g.node("Add", [narrow, x], { name: "last" }).output;
    });
    // while "wide" is made: x (read again at the end), a and the result itself
    const memory = activationMemory(made);
    expect(memory).toMatchObject({ peakBytes: 4 * (100 + 100 + 300), unsized: [] });
    expect(memory.at?.name).toBe("wide");
    expect(memory.live.map(({ bytes }) => bytes)).toEqual([1200, 400, 400]);
  });

  it("frees a value after its last reader and keeps outputs", () => {
    const made = model((g) => {
      let value = g.addInput("x", float(256));
      for (let i = 0; i < 5; i++) value = g.node("Relu", [value]).output;
      return value;
    });
    expect(peakActivationBytes(made)).toBe(2 * 1024);
  });

  it("does not count weights, and counts values read only inside a branch", () => {
    const made = model((g) => {
      const x = g.addInput("x", float(10));
      const inner = (name: string): Graph => {
        const graph = new Graph(name);
        graph.addOutput(graph.node("Add", [x, graph.addInitializer(`${name}_w`, zeros(10))], { outputs: [`${name}_y`] }).output);
        return graph;
      };
      const condition = g.addInput("c", { dtype: "bool", shape: [] });
      return g.node("If", [condition], { attributes: { then_branch: inner("t"), else_branch: inner("e") } }).output;
    });
    // x, the condition, the branch's result and the If's own output
    expect(peakActivationBytes(made)).toBe(40 + 1 + 40 + 40);
  });
});
