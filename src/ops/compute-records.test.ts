import { describe, expect, it } from "vitest";
import { floorDivDims, Graph, Model, type Shape, tensorOf } from "../ir/index.ts";
import { modelCost } from "./cost.ts";
import { inferShapes } from "./infer.ts";
import { allOps } from "./registry.ts";

type Attributes = NonNullable<NonNullable<Parameters<Graph["node"]>[2]>["attributes"]>;

/** "N,3,8 4" is [["N", 3, 8], [4]]. */
const shapesOf = (text: string): Shape[] =>
  text.split(" ").map((shape) => shape.split(",").map((dim) => (/^\d+$/.test(dim) ? Number(dim) : dim)));

function oneNode(type: string, shapes: string, attributes: Attributes = {}, outputs = 1): Model {
  const graph = new Graph();
  const inputs = shapesOf(shapes).map((shape, i) => graph.addInput(`x${i}`, { dtype: "float32", shape }));
  const node = graph.node(type, inputs, { attributes, outputs: Array.from({ length: outputs }, (_, i) => `y${i}`) });
  for (const output of node.outputs) graph.addOutput(output);
  return new Model({ graph, opsets: new Map([["", 24]]) });
}

const inferred = (type: string, shapes: string, attributes?: Attributes): Shape | undefined => {
  const model = oneNode(type, shapes, attributes);
  inferShapes(model);
  return model.graph.outputs[0]?.type?.shape;
};
const cost = (type: string, shapes: string, attributes?: Attributes, outputs?: number) => {
  const { total, unknown } = modelCost(oneNode(type, shapes, attributes, outputs));
  expect(unknown).toEqual([]);
  return total;
};

describe("symbolic shapes", () => {
  it("keep the batch and compute spatial extents", () => {
    const conv = { strides: [2, 2], pads: [1, 1, 1, 1] };
    expect(inferred("Conv", "N,3,H,W 8,3,3,3", conv)).toEqual(
      ["N", 8, "H + 1", "W + 1"].map((dim, i) => (i < 2 ? dim : floorDivDims(dim, 2))),
    );
    expect(inferred("Conv", "N,3,H,8 8,3,3,3", { pads: [1, 1, 1, 1] })).toEqual(["N", 8, "H", 8]);
    expect(inferred("ConvTranspose", "N,3,H,8 3,4,2,2", { strides: [2, 2] })).toEqual(["N", 4, "2*H", 16]);
  });
  it("meet in matrix products", () => {
    expect(inferred("MatMul", "B,S,16 16,64")).toEqual(["B", "S", 64]);
    expect(inferred("Einsum", "B,S,16 16,O", { equation: "bsi,io->bso" })).toEqual(["B", "S", "O"]);
  });
});

describe("costs, counted by hand", () => {
  it("of a convolution: 8·4·4 results of 3·3·3 products each", () => {
    const { macs, flops, parameters } = cost("Conv", "1,3,4,4 8,3,3,3 8", { pads: [1, 1, 1, 1] });
    expect({ macs, flops, parameters }).toEqual({ macs: 3456, flops: 2 * 3456 + 128, parameters: 0 });
  });
  it("of a depthwise convolution: one filter of 3·3 per channel", () => {
    expect(cost("Conv", "1,8,4,4 8,1,3,3", { pads: [1, 1, 1, 1], group: 8 }).macs).toBe(8 * 16 * 9);
  });
  it("of a transposed convolution: every input meets every weight of its channel", () => {
    expect(cost("ConvTranspose", "1,3,4,4 3,8,2,2", { strides: [2, 2] }).macs).toBe(3 * 16 * 8 * 4);
  });
  it("of matrix products", () => {
    expect(cost("MatMul", "2,4,5 5,3").macs).toBe(2 * 4 * 3 * 5);
    expect(cost("Gemm", "5,4 3,5", { transA: 1, transB: 1 }).macs).toBe(4 * 3 * 5);
    expect(cost("Einsum", "2,4,5 2,5,3", { equation: "bij,bjk->bik" }).macs).toBe(2 * 4 * 3 * 5);
  });
  it("of an LSTM: 4 gates of 3 inputs and 5 states, for 7 steps of 2 rows", () => {
    expect(cost("LSTM", "7,2,3 1,20,3 1,20,5", { hidden_size: 5 }, 3).macs).toBe(7 * 2 * 20 * (3 + 5));
  });
  it("of attention: scores and their weighted sum over 7 keys", () => {
    expect(cost("Attention", "2,3,5,4 2,3,7,4 2,3,7,6").macs).toBe(2 * 3 * 5 * 7 * (4 + 6));
  });
});

describe("invalid nodes", () => {
  it.each([
    ["Conv", "1,3,8,8 8,4,3,3", {}, /the input has 3 channels but the weight takes 4 in each of 1 group/],
    ["Conv", "1,3,2,2 8,3,3,3", {}, /a window of 3 does not fit into 2/],
    ["Conv", "1,3,8,8 8,3,3,3", { strides: [0, 1] }, /strides \[0,1\] must be positive/],
    ["Conv", "1,3,8,8 8,3,3,3", { pads: [1, 1] }, /pads has 2 entries where 2 spatial axes need 4/],
    ["MaxPool", "1,3,8,8", { kernel_shape: [2] }, /the kernel has 1 entries where 2 spatial axes need 2/],
    ["MaxPool", "1,3,8,8", {}, /attribute "kernel_shape" is required/],
    ["MatMul", "4,5 6,3", {}, /inner dimensions of \[4,5\] and \[6,3\] differ/],
    ["Gemm", "4,5 6,3", {}, /inner dimensions 5 and 6 of A and B differ/],
    ["Add", "4,5 3", {}, /do not broadcast/],
    ["Softmax", "4,5", { axis: 2 }, /axis 2 does not exist in a tensor of rank 2/],
    ["Einsum", "4,5", { equation: "ij,jk->ik" }, /the equation has 2 terms but there are 1 inputs/],
    ["Einsum", "4,5 6,3", { equation: "ij,jk->ik" }, /the label "j" stands for 5 and for 6/],
  ] as [string, string, Attributes, RegExp][])("%s %s %j is refused", (type, shapes, attributes, message) => {
    expect(() => inferred(type, shapes, attributes)).toThrow(message);
  });
});

describe("shape arithmetic", () => {
  function computed(build: (graph: Graph) => void): Shape | undefined {
    const graph = new Graph();
    graph.addInput("x", { dtype: "float32", shape: ["N", 6, "H"] });
    build(graph);
    const last = graph.lastNode?.output;
    if (!last) throw new Error("no nodes");
    graph.addOutput(last);
    return inferShapes(new Model({ graph })).info.get(last)?.elements;
  }
  const shapeOf = (graph: Graph) => graph.node("Shape", [graph.inputs[0]]).output;
  const vector = (graph: Graph, ...values: number[]) =>
    graph.addInitializer(`c${values}`, tensorOf("int64", [values.length], values));

  it("adds, multiplies and divides symbols", () => {
    expect(computed((g) => g.node("Mul", [shapeOf(g), vector(g, 2)]))).toEqual(["2*N", 12, "2*H"]);
    expect(computed((g) => g.node("Div", [shapeOf(g), vector(g, 4)]))).toEqual([floorDivDims("N", 4), 1, floorDivDims("H", 4)]);
    expect(computed((g) => g.node("Sub", [g.node("Add", [shapeOf(g), vector(g, 1, 2, 3)]).output, vector(g, 1)]))).toEqual([
      "N",
      7,
      "H + 2",
    ]);
  });
  it("truncates divisions of negative numbers and gives Mod the divisor's sign, as onnxruntime does", () => {
    expect(computed((g) => g.node("Div", [vector(g, -7, 7), vector(g, 2)]))).toEqual([-3, 3]);
    expect(computed((g) => g.node("Mod", [vector(g, -7, 7), vector(g, 3, -3)]))).toEqual([2, -2]);
    expect(computed((g) => g.node("Mod", [vector(g, -7), vector(g, 3)], { attributes: { fmod: 1 } }))).toBeUndefined();
  });
  it("multiplies all extents", () => {
    expect(computed((g) => g.node("ReduceProd", [shapeOf(g)]))).toEqual(["6*H*N"]);
    expect(computed((g) => g.node("ReduceMax", [vector(g, 3, 9, 4)], { attributes: { keepdims: 0 } }))).toEqual([9]);
  });
  it("compares where that is certain", () => {
    expect(computed((g) => g.node("Equal", [shapeOf(g), vector(g, 0)]))).toEqual([0, 0, 0]);
    expect(computed((g) => g.node("Equal", [shapeOf(g), vector(g, 6)]))).toEqual(["?", 1, "?"]);
    expect(computed((g) => g.node("Less", [vector(g, 0), shapeOf(g)]))).toEqual([1, 1, 1]);
    expect(computed((g) => g.node("Not", [g.node("GreaterOrEqual", [shapeOf(g), vector(g, 6)]).output]))).toEqual(["?", 0, "?"]);
  });
  it("does not take a division by zero for a number", () => {
    expect(computed((g) => g.node("Div", [vector(g, 7), vector(g, 0)]))).toEqual(["?"]);
  });
});

describe("every record", () => {
  const names = (ports: readonly string[]) => ports.map((port) => port.replace(/^\.\.\.|\?$/g, ""));
  it("is the only one of its type and version", () => {
    const keys = allOps().map(({ domain, type, since }) => `${domain}:${type}:${since}`);
    expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
  });
  it("names ports that exist in its quantization facet", () => {
    for (const { type, inputs, quantization: facet } of allOps()) {
      if (!facet) continue;
      const output = typeof facet.output === "object" && "sameAs" in facet.output ? facet.output.sameAs : [];
      const weights = facet.weight ? [facet.weight.input, ...(facet.weight.bias ? [facet.weight.bias] : [])] : [];
      for (const port of [...facet.activations, ...weights, ...output]) expect(names(inputs), type).toContain(port);
    }
  });
  it("has variadic ports last and no port twice", () => {
    for (const { type, inputs, outputs } of allOps())
      for (const ports of [inputs, outputs]) {
        expect(new Set(names(ports)).size, type).toBe(ports.length);
        expect(
          ports.slice(0, -1).some((port) => port.startsWith("...")),
          type,
        ).toBe(false);
      }
  });
});
