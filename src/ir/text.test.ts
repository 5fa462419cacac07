import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Attribute,
  type DataType,
  dataTypes,
  equalModels,
  Graph,
  Model,
  parseModel,
  printModel,
  stringTensor,
  Tensor,
  type TensorType,
  type Value,
} from "./index.ts";

const roundTrip = (model: Model): void => {
  const text = printModel(model);
  expect(equalModels(model, parseModel(text), { exact: true }), text).toBe(true);
};

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 8 }),
  fc.constantFrom("float", "nan", "inf", "x", "a b", 'q"\\', "seq", "größe"),
);
const dtype = fc.constantFrom(...(Object.keys(dataTypes) as DataType[]));
const shape = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 });

const tensor = fc.tuple(dtype, shape).chain(([type, dims]) => {
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (type === "string")
    return fc.array(fc.string(), { minLength: count, maxLength: count }).map((items) => stringTensor(dims, items));
  const bytes = Math.ceil((count * dataTypes[type].bits) / 8);
  return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((data) => new Tensor(type, dims, tidy(type, count, data)));
});
/** Bits behind the last packed element have no meaning and no text; booleans are 0 or 1. */
function tidy(type: DataType, count: number, data: Uint8Array): Uint8Array {
  if (type === "bool") return data.map((byte) => byte & 1);
  const used = (count * dataTypes[type].bits) % 8;
  if (used > 0 && data.length > 0) data[data.length - 1] = (data[data.length - 1] as number) & ((1 << used) - 1);
  return data;
}

const dim = fc.oneof(fc.integer({ min: 0, max: 2 ** 40 }), fc.constantFrom("N", "?", "batch size", "2*N + 1", "float"));
const type: fc.Arbitrary<TensorType> = fc.record({
  dtype,
  shape: fc.option(fc.array(dim, { maxLength: 4 }), { nil: undefined }),
});

const float = fc.float().filter((value) => !Number.isNaN(value));
const int = fc.oneof(
  fc.integer(),
  fc.bigInt({ min: 2n ** 60n, max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 60n) }),
);
const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  float.map((value): Attribute => ({ type: "float", value })),
  int.map((value): Attribute => ({ type: "int", value })),
  fc.string().map((value): Attribute => ({ type: "string", value })),
  tensor.map((value): Attribute => ({ type: "tensor", value })),
  fc.array(float, { maxLength: 3 }).map((value): Attribute => ({ type: "floats", value })),
  fc.array(int, { maxLength: 3 }).map((value): Attribute => ({ type: "ints", value })),
  fc.array(fc.string(), { maxLength: 3 }).map((value): Attribute => ({ type: "strings", value })),
  fc.array(tensor, { maxLength: 2 }).map((value): Attribute => ({ type: "tensors", value })),
);

interface NodePlan {
  readonly op: string;
  readonly domain: string;
  readonly label: string;
  readonly reads: readonly number[];
  readonly outputs: readonly (TensorType | "none" | undefined)[];
  readonly attributes: readonly (readonly [string, Attribute])[];
  readonly inner: boolean;
}
const nodePlan: fc.Arbitrary<NodePlan> = fc.record({
  op: fc.oneof(fc.constantFrom("Add", "Conv", "float"), name),
  domain: fc.constantFrom("", "com.microsoft", "my own.domain"),
  label: fc.oneof(fc.constant(""), name),
  reads: fc.array(fc.nat(20), { maxLength: 4 }),
  outputs: fc.array(fc.oneof(type, fc.constant("none" as const), fc.constant(undefined)), { maxLength: 3 }),
  attributes: fc.uniqueArray(fc.tuple(name, attribute), { maxLength: 3, selector: ([key]) => key }),
  inner: fc.boolean(),
});

/** A graph with fresh names; nodes read anything that is defined before them, outer values included. */
function build(
  plans: readonly NodePlan[],
  types: readonly TensorType[],
  tensors: readonly Tensor[],
  outer: Value[],
  parent?: Graph,
): Graph {
  const graph = new Graph(parent ? "inner graph" : "g", parent);
  const visible = [...outer];
  const add = (value: Value) => visible.push(value);
  types.forEach((t, i) => {
    const input = graph.addInput(graph.freshName(`in put ${i}`));
    input.type = t;
    add(input);
  });
  tensors.forEach((t, i) => {
    add(graph.addInitializer(graph.freshName(`w${i}`), t));
  });
  plans.forEach((plan, i) => {
    const inputs = plan.reads.map((read) => (read === 0 ? undefined : visible[read % Math.max(1, visible.length)]));
    const outputs = plan.outputs.map((output, k) => (output === "none" ? "" : graph.freshName(`v${i}.${k}`)));
    const node = graph.node(plan.op, inputs, { domain: plan.domain, name: plan.label, outputs });
    for (const [key, value] of plan.attributes) node.setAttribute(key, value);
    if (plan.inner && !parent)
      node.setAttribute("body", { type: "graph", value: build(plans.slice(0, i), types, tensors, visible, graph) });
    node.outputs.forEach((output, k) => {
      const t = plan.outputs[k];
      if (t && t !== "none") output.type = t;
      if (output.name) add(output);
    });
  });
  for (const value of visible.slice(-2)) if (value.graph === graph) graph.addOutput(value);
  return graph;
}

describe("the text syntax", () => {
  test("parse(print(m)) is m, for any graph", () => {
    const graphs = fc.tuple(
      fc.array(nodePlan, { maxLength: 5 }),
      fc.array(type, { maxLength: 2 }),
      fc.array(tensor, { maxLength: 2 }),
    );
    fc.assert(
      fc.property(graphs, fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }), fc.string(), (plan, metadata, doc) => {
        const model = new Model({
          graph: build(...plan, []),
          opsets: new Map([
            ["", 21],
            ["com.microsoft", 1],
          ]),
        });
        model.metadata = new Map(Object.entries(metadata));
        model.docString = doc;
        roundTrip(model);
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  test("functions, references, composite types, sparse weights, overloads", () => {
    const model = parseModel(`<ir_version: 10, opset_import: ["" : 21, "local" : 1], producer_name: "p", model_version: 3>
      # a comment
      agraph (bool c, float[N,3,?] x, float[] u, float s = {1}, seq(float[N]) q, map(int64, optional(float)) m, sparse_tensor(float[3,3]) p)
        => (float[N,3] y, float["a b"] z)
        <float[2] w = {1.0, 2.0}, sparse_tensor(float[3,4]) sp = int64[2] {0, 5} => float[2] {1.5, 2.5}, seq(float) list> {
        [n1] mid = Add (x, w)
        y, "" = Dropout (mid, , u)
        list = SequenceConstruct <kind: type_proto = seq(float[N])> (mid)
        t = local.f:fast <beta = 2.5> (sp)
        z = If (c) <then_branch = a () => (float[N] i) { i = Relu (x) }, else_branch = b () => (j) <float k = {1}> { j = Add (x, k) }>
      }
      <domain: "local", opset_import: ["" : 21], overload: "fast", doc_string: "d">
      f <alpha, beta: float = 1.0> (x) => (y) <float[N] t> { t = LeakyRelu <alpha: float = @alpha> (x) y = Identity (t) }`);
    expect(model.functions[0]?.attributeNames).toEqual(["alpha"]);
    expect(Array.from(model.graph.nodes, (node) => node.inputs.length)).toEqual([2, 3, 1, 1, 1]);
    roundTrip(model);
  });

  test("the header may be left out", () => {
    const model = parseModel("g (float[2] x) => (float[2] y) { y = Relu (x) }");
    expect([model.irVersion, model.opset]).toEqual([10, 21]);
  });

  const wrong: [string, RegExp][] = [
    ["g (float[2] x) => (float[2] y) { y = Relu (z) }", /line 1, column 45: "z" is not defined/],
    ["g (float[2] x) => (float[2] y) {\n  y = Relu (x\n}", /line 3, column 1: expected "\)" but found "}"/],
    ["g (float[2] x) => (y) { y = Relu (x) y = Abs (x) }", /"y" is defined twice/],
    ["g () => () <float[2] w = {1}> { }", /needs 2 elements, not 1/],
    ["g () => () <float[N] w = {1}> { }", /known dimensions/],
    ["g () => () <int8[1] w = {1.5}> { }", /an element of type int8/],
    ["g () => () { y = Foo <a = []> () }", /an empty list needs a type/],
    ["g () => () { y = Foo <a = 1, a = 2> () }", /"a" is given twice/],
    ['g () => () { y = Foo <a = "x> () }', /a string has no end/],
    ["<ir: 3> g () => () { }", /no field "ir"/],
    ["", /expected a graph's name but found the end/],
    [`g () => () { y = Foo <a = ${"h () => () { y = Foo <a = ".repeat(40)}`, /nest deeper/],
  ];
  test.each(wrong)("%s", (text, message) => {
    expect(() => parseModel(text)).toThrow(message);
    expect(() => parseModel(text)).toThrow(expect.objectContaining({ code: "TEXT_SYNTAX" }));
  });
});

describe("equalModels", () => {
  const base =
    "g (float[2] x) => (float[2] y) <float[2] w = {1.0, 2.0}> { a = Add (x, w) b = Mul <k = 1> (x, x) y = Sub (a, b) }";
  const compare = (text: string) => equalModels(parseModel(base), parseModel(text));
  test("names of intermediate values and the order of nodes do not count", () => {
    expect(
      compare(
        base
          .replace("a = Add (x, w) b = Mul <k = 1> (x, x)", "q = Mul <k = 1> (x, x) [n] a = Add (x, w)")
          .replace("(a, b)", "(a, q)"),
      ),
    ).toBe(true);
    expect(compare(base.replaceAll("w", "weights"))).toBe(true);
  });
  const changes: [string, string, RegExp][] = [
    ["(a, b)", "(b, a)", /operators differ: .Mul: and .Add:/],
    ["k = 1", "k = 2", /attribute "k": values differ: 1 and 2/],
    ["2.0}", "3.0}", /bytes differ/],
    ["(x, x)", "(x, w)", /Mul "b": "x" stands for both "x" and "w"/],
    ["float[2] y", "float[3] y", /types of "y" differ/],
    ["Sub (a, b)", "Sub (a)", /connected ports differ/],
  ];
  test.each(changes)("%s to %s", (from, to, message) => {
    expect(compare(base.replace(from, to))).toMatch(message);
  });
});
