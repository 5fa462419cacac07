import { describe, expect, it } from "vitest";
import {
  type Attribute,
  type Dim,
  float32Tensor,
  Graph,
  int64Tensor,
  Model,
  type ModelFunction,
  type Node,
  type TensorType,
  tensorOf,
  type Value,
} from "../ir/index.ts";
import { inferShapes } from "./infer.ts";

const float = (...shape: Dim[]): TensorType => ({ dtype: "float32", shape });

function model(build: (graph: Graph) => Value | Node, opsets = new Map([["", 21]])): Model {
  const graph = new Graph("test");
  const made = build(graph);
  graph.addOutput("outputs" in made ? made.output : made);
  return new Model({ graph, opsets });
}

const outputOf = (made: Model): Dim[] | undefined => {
  inferShapes(made);
  return made.graph.outputs[0]?.type?.shape as Dim[] | undefined;
};

const functionOf = (graph: Graph, name: string, attributes: Partial<ModelFunction> = {}): ModelFunction => ({
  domain: "local",
  name,
  overload: "",
  graph,
  attributeNames: [],
  attributeDefaults: new Map(),
  opsets: new Map([
    ["", 21],
    ["local", 1],
  ]),
  docString: undefined,
  metadata: new Map(),
  ...attributes,
});
const localOpsets = new Map([
  ["", 21],
  ["local", 1],
]);

describe("shape arithmetic", () => {
  it("follows Shape, Gather, Concat and Reshape", () => {
    const flat = model((g) => {
      const x = g.addInput("x", float("N", 3, "H", 5));
      const shape = g.node("Shape", [x]).output;
      const batch = g.node("Gather", [shape, g.addInitializer("zero", int64Tensor([0]))]).output;
      const target = g.node("Concat", [batch, g.addInitializer("rest", int64Tensor([-1]))], { attributes: { axis: 0 } }).output;
      return g.node("Reshape", [x, target]);
    });
    expect(outputOf(flat)).toEqual(["N", "15*H"]);
  });

  it("computes pads by matrices, as exporters write them", () => {
    const padded = model((g) => {
      const x = g.addInput("x", float("N", 16, 8, 8));
      const list = g.addInitializer("list", int64Tensor([0, 0, 0, 0, 4, 4, 0, 0]));
      const pairs = g.node("Reshape", [list, g.addInitializer("pairs", int64Tensor([-1, 2]))]).output;
      const ends = [-1, -(2 ** 31) + 1, 0, -1].map((n, i) => g.addInitializer(`slice${i}`, int64Tensor([n])));
      const reversed = g.node("Slice", [pairs, ...ends]).output;
      const turned = g.node("Transpose", [reversed], { attributes: { perm: [1, 0] } }).output;
      const pads = g.node("Reshape", [turned, g.addInitializer("flat", int64Tensor([-1]))]).output;
      return g.node("Pad", [x, pads]);
    });
    expect(outputOf(padded)).toEqual(["N", 24, 8, 8]);
  });

  it("solves -1 although a copied extent is unknown", () => {
    const split = model((g) =>
      g.node("Reshape", [g.addInput("x", float("?", "?", 12)), g.addInitializer("s", int64Tensor([0, 0, 4, -1]))]),
    );
    expect(outputOf(split)).toEqual(["?", "?", 4, 3]);
  });

  it("chooses by elements with Where, as Expand's exporters do", () => {
    const expanded = model((g) => {
      const wanted = g.addInitializer("wanted", int64Tensor([-1, 4]));
      const minus = g.addInitializer("minus", int64Tensor([-1]));
      const ones = g.node("ConstantOfShape", [g.addInitializer("two", int64Tensor([2]))], {
        attributes: { value: tensorOf("int64", [1], [1]) },
      }).output;
      const target = g.node("Where", [g.node("Equal", [wanted, minus]).output, ones, wanted]).output;
      return g.node("Expand", [g.addInput("x", float("N", 1)), target]);
    });
    expect(outputOf(expanded)).toEqual(["N", 4]);
  });
});

describe("inferShapes", () => {
  const relu = (): Model => model((g) => g.node("Relu", [g.addInput("x", float("N", 3, "H", "W"))]));

  it("takes shapes for inputs and fixes their symbols everywhere", () => {
    const two = model((g) => g.node("Add", [g.addInput("a", float("N", 4)), g.addInput("b", float("N", 1))]));
    inferShapes(two, { inputShapes: { a: [8, 4] } });
    expect(two.graph.inputs[1]?.type?.shape).toEqual([8, 1]);
    expect(two.graph.outputs[0]?.type?.shape).toEqual([8, 4]);
  });

  it("refuses shapes for inputs that are not there or of another rank", () => {
    expect(() => inferShapes(relu(), { inputShapes: { y: [1] } })).toThrow('no input "y"');
    expect(() => inferShapes(relu(), { inputShapes: { x: [1, 3] } })).toThrow("2 dimensions");
    expect(() => inferShapes(relu(), { inputShapes: { x: [1, 3, -4, 2] } })).toThrow("extent -4");
  });

  it("leaves types alone when asked to", () => {
    const untouched = relu();
    const { info } = inferShapes(untouched, { write: false });
    expect(untouched.graph.outputs[0]?.type).toBeUndefined();
    expect(info.get(untouched.graph.outputs[0] as Value)?.shape).toEqual(["N", 3, "H", "W"]);
  });

  it("prefers what it inferred, and says where the file contradicts", () => {
    const wrong = relu();
    (wrong.graph.outputs[0] as Value).type = float("batch", 7, "?", "?");
    expect(inferShapes(wrong).warnings).toEqual([
      'Value "Relu" is declared float32[batch,7,?,?] but inferred float32[N,3,H,W]; the inferred type is used.',
    ]);
    expect(wrong.graph.outputs[0]?.type?.shape).toEqual(["N", 3, "H", "W"]);
  });

  it("completes unknown extents by declared ones", () => {
    const counted = model((g) => g.node("NonZero", [g.addInput("x", float(4, 5))]));
    (counted.graph.outputs[0] as Value).type = { dtype: "int64", shape: ["rank", "found"] };
    expect(outputOf(counted)).toEqual([2, "found"]);
  });

  it("lists unknown ops and goes on behind declared types", () => {
    const foreign = model(
      (g) => {
        const strange = g.node("Strange", [g.addInput("x", float(2, 3))], { domain: "com.example" }).output;
        strange.type = float(2, 6);
        return g.node("Relu", [strange]);
      },
      new Map([
        ["", 21],
        ["com.example", 1],
      ]),
    );
    expect(inferShapes(foreign).unknownOps).toEqual(["com.example.Strange"]);
    expect(foreign.graph.outputs[0]?.type).toEqual(float(2, 6));
  });

  it("names the node that breaks its op's rules, or goes on when asked to", () => {
    const bad = (): Model =>
      model((g) =>
        g.node("Relu", [
          g.node("Concat", [g.addInput("a", float(2, 3)), g.addInput("b", float(5, 4))], {
            name: "join",
            attributes: { axis: 0 },
          }).output,
        ]),
      );
    expect(() => inferShapes(bad())).toThrow('Concat "join" is invalid: inputs differ along axis 1: 3 and 4.');
    const report = inferShapes(bad(), { invalid: "warn" });
    expect(report.warnings).toHaveLength(1);
    expect([...report.invalid].map((node) => node.name)).toEqual(["join"]);
  });

  it("infers through model-local functions, attributes of the caller included", () => {
    const body = new Graph("body");
    const x = body.addInput("fx");
    const axes = body.addInitializer("axes", int64Tensor([0]));
    const reference: Attribute = { type: "reference", value: "order", typeCode: 7 };
    const turned = body.node("Transpose", [x], { attributes: { perm: reference } }).output;
    body.addOutput(body.node("Unsqueeze", [turned, axes]).output);
    const made = model(
      (g) => g.node("Turn", [g.addInput("x", float("N", 2, 3))], { domain: "local", attributes: { order: [2, 0, 1] } }),
      localOpsets,
    );
    made.functions = [functionOf(body, "Turn", { attributeNames: ["order"] })];
    expect(outputOf(made)).toEqual([1, 3, "N", 2]);
    expect(turned.type).toBeUndefined();
  });

  it("refuses functions that call themselves", () => {
    const body = new Graph("body");
    body.addOutput(body.node("Again", [body.addInput("fx")], { domain: "local" }).output);
    const made = model((g) => g.node("Again", [g.addInput("x", float(1))], { domain: "local" }), localOpsets);
    made.functions = [functionOf(body, "Again")];
    expect(() => inferShapes(made)).toThrow('function "Again" calls itself');
  });

  it("stops after a bounded amount of work where functions multiply calls", () => {
    const bodies = Array.from({ length: 40 }, (_, level) => {
      const body = new Graph(`level${level}`);
      const x = body.addInput(`x${level}`);
      const call = (): Value =>
        level === 0 ? body.node("Relu", [x]).output : body.node(`F${level - 1}`, [x], { domain: "local" }).output;
      body.addOutput(body.node("Add", [call(), call()]).output);
      return functionOf(body, `F${level}`);
    });
    const made = model((g) => g.node("F39", [g.addInput("x", float(1))], { domain: "local" }), localOpsets);
    made.functions = bodies;
    expect(inferShapes(made, { write: false }).warnings).toEqual([expect.stringContaining("stopped after")]);
  });

  it("infers inside branches, reading values of the graph around them", () => {
    const made = model((g) => {
      const x = g.addInput("x", float("N", 4));
      const branch = (name: string): Graph => {
        const inner = new Graph(name);
        inner.addOutput(inner.node("Relu", [x], { outputs: [`${name}_out`] }).output);
        return inner;
      };
      return g.node("If", [g.addInput("c", { dtype: "bool", shape: [] })], {
        attributes: { then_branch: branch("yes"), else_branch: branch("no") },
      });
    });
    expect(outputOf(made)).toEqual(["N", 4]);
  });

  it("knows constants of Constant nodes and initializers", () => {
    const made = model((g) =>
      g.node("Identity", [g.node("Constant", [], { attributes: { value: float32Tensor([1, 2], [3, 4]) } }).output]),
    );
    expect(inferShapes(made).info.get(made.graph.outputs[0] as Value)?.constant?.shape).toEqual([1, 2]);
  });
});
