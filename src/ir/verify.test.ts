import { describe, expect, test } from "vitest";
import { float32Tensor, Graph, type LegalRule, type Model, type Node, parseModel, Tensor, type Value, verify } from "./index.ts";

const text = `<ir_version: 10, opset_import: ["": 21, "local": 1]>
  g (float[2] x, bool c) => (float[2] y) <float[2] w = {1.0, 2.0}> {
    a = Add (x, w)
    b = If <then_branch = t () => (float[2] i) { i = Relu (a) }, else_branch = e () => (float[2] i) { i = Abs (x) }> (c)
    y = local.f <alpha = 1.0> (b)
  }
  <domain: "local", opset_import: ["": 21]> f <alpha> (u) => (v) { v = LeakyRelu <alpha: float = @alpha> (u) }`;

interface Parts {
  readonly model: Model;
  readonly graph: Graph;
  readonly nodes: Node[];
  readonly weight: Value;
}
function parts(): Parts {
  const model = parseModel(text);
  const { graph } = model;
  return { model, graph, nodes: [...graph.nodes], weight: [...graph.initializers][0] as Value };
}
const node = (p: Parts, index: number): Node => p.nodes[index] as Node;

/** One way to break each rule; the rule must be named. */
const breaks: [LegalRule, string, (p: Parts) => void][] = [
  ["names", "two values of one name", (p) => (node(p, 0).output.name = "x")],
  ["names", "a name of an enclosing graph", (p) => inner(p).rename((inner(p).lastNode as Node).output, "a")],
  ["names", "no name", (p) => p.graph.rename(p.weight, "")],
  ["order", "a read before the definition", (p) => p.graph.moveBefore(node(p, 2), node(p, 0))],
  ["order", "a read of a value of an inner graph", (p) => node(p, 2).setInput(0, (inner(p).lastNode as Node).output)],
  ["links", "a wrong producer", (p) => (node(p, 0).output.producer = node(p, 2))],
  [
    "links",
    "a value of another graph",
    (p) => p.graph.inputs.push(new Graph("other").addInput("z", { dtype: "float32", shape: [] })),
  ],
  ["uses", "a use that is not known", (p) => p.weight.uses.clear()],
  ["uses", "a reader that does not read", (p) => p.weight.uses.add({ node: node(p, 2), index: 0 })],
  ["parents", "an inner graph without parent", (p) => (inner(p).parent = undefined)],
  ["initializers", "a constant that does not fit its type", (p) => (p.weight.type = { dtype: "float32", shape: [3] })],
  ["initializers", "a constant outside the list", (p) => ((p.graph.inputs[0] as Value).constant = float32Tensor([2], [1, 2]))],
  ["tensors", "too few bytes", (p) => (p.weight.constant = new Tensor("float32", [2], new Uint8Array(4)))],
  ["interface", "an input without type", (p) => ((p.graph.inputs[0] as Value).type = undefined)],
  ["interface", "an output of another graph", (p) => p.graph.outputs.push((inner(p).lastNode as Node).output)],
  ["operator-sets", "a domain that is not imported", (p) => p.graph.node("Foo", [], { domain: "com.example", outputs: ["q"] })],
  ["operator-sets", "a version of 0", (p) => p.model.opsets.set("", 0)],
  [
    "functions",
    "two functions of one name",
    (p) => p.model.functions.push({ ...(p.model.functions[0] as Model["functions"][0]), graph: new Graph("f") }),
  ],
  ["functions", "a function with initializers", (p) => p.model.functions[0]?.graph.addInitializer("k", float32Tensor([1], [1]))],
  [
    "references",
    "a reference outside functions",
    (p) => node(p, 0).setAttribute("alpha", { type: "reference", value: "alpha", typeCode: 1 }),
  ],
];
const inner = (p: Parts): Graph => node(p, 1).attributes.get("then_branch")?.value as Graph;

describe("verify", () => {
  test("a legal model passes, and so does its clone", () => {
    const { model } = parts();
    verify(model);
    verify(model.clone());
  });

  test.each(breaks)("%s: %s", (rule, _, change) => {
    const broken = parts();
    change(broken);
    expect(() => verify(broken.model)).toThrow(
      expect.objectContaining({ code: "MODEL_ILLEGAL", hint: expect.stringContaining(`"${rule}"`) }),
    );
  });
});
