import { describe, expect, test } from "vitest";
import { equalModels, parseModel, verify } from "../src/ir/index.ts";
import { upgradeOpset } from "../src/passes/upgrade-opset/index.ts";
import { type AnyPass, applyPass, testPass } from "./suites/pass.ts";

const upgrade = upgradeOpset as unknown as AnyPass;

/** A model at an old operator set: `y` is computed from `x` (float) by the nodes. */
const at = (opset: number, input: string, nodes: string, constants = "", output = "float[] y"): string =>
  `<ir_version: ${opset < 9 ? 3 : 6}, opset_import: ["" : ${opset}]> old (${input}) => (${output}) <${constants}> { ${nodes} }`.replace(
    "<>",
    "",
  );

testPass(upgradeOpset, "attributes that became inputs", [
  { name: "Clip", before: at(8, "float[2,3] x", "y = Clip <min = -0.5, max = 0.25> (x)"), after: "Clip" },
  { name: "Clip, one bound", before: at(10, "float[2,3] x", "y = Clip <min = 0.1> (x)"), after: "Clip" },
  {
    name: "Slice",
    before: at(9, "float[4,5] x", "y = Slice <starts = [1, 0], ends = [3, -1], axes = [0, 1]> (x)"),
    after: "Slice",
  },
  { name: "Pad", before: at(10, "float[2,3] x", "y = Pad <pads = [0, 1, 1, 2], value = 0.5> (x)"), after: "Pad" },
  {
    name: "Pad, reflecting",
    before: at(10, "float[4,4] x", 'y = Pad <pads = [1, 1, 1, 1], mode = "reflect"> (x)'),
    after: "Pad",
  },
  { name: "TopK", before: at(9, "float[2,7] x", "y, i = TopK <k = 3, axis = 1> (x)"), after: "TopK" },
  { name: "Squeeze", before: at(11, "float[2,1,3] x", "y = Squeeze <axes = [1]> (x)"), after: "Squeeze" },
  { name: "Unsqueeze", before: at(11, "float[2,3] x", "y = Unsqueeze <axes = [0, 2]> (x)"), after: "Unsqueeze" },
  { name: "Split", before: at(11, "float[2,6] x", "y, z = Split <axis = 1, split = [2, 4]> (x)"), after: "Split" },
  {
    name: "Split in equal parts",
    before: at(11, "float[2,6] x", "a, b, c = Split <axis = 1> (x)\n y = Sub(a, c)"),
    after: "Split Sub",
  },
  {
    name: "ReduceSum and ReduceMean",
    before: at(
      11,
      "float[2,3,4] x",
      "a = ReduceSum <axes = [1], keepdims = 1> (x)\n y = ReduceMean <axes = [-1], keepdims = 0> (a)",
    ),
    after: "ReduceSum ReduceMean",
  },
  { name: "ReduceMax over everything", before: at(12, "float[2,3] x", "y = ReduceMax <keepdims = 0> (x)"), after: "ReduceMax" },
  { name: "Dropout", before: at(9, "float[2,3] x", "y = Dropout <ratio = 0.3> (x)"), after: "Dropout" },
]);

testPass(upgradeOpset, "operators that changed", [
  {
    name: "Softmax over one axis",
    before: at(11, "float[2,5,1,1] x", "y = Softmax (x)", "", "float[2,5,1,1] y"),
    after: `<ir_version: 10, opset_import: ["": 21]> new (float[2,5,1,1] x) => (float[2,5,1,1] y) { y = Softmax <axis = 1> (x) }`,
  },
  {
    name: "Softmax over flattened axes",
    before: at(11, "float[2,3,4] x", "y = Softmax (x)", "", "float[2,3,4] y"),
    after: "Flatten Softmax Shape Reshape",
  },
  {
    name: "LogSoftmax of a value without a declared type",
    before: at(9, "float[2,3,2,2] x", "a = Relu(x)\n b = LogSoftmax <axis = 2> (a)\n y = Neg(b)"),
    after: "Relu Flatten LogSoftmax Shape Reshape Neg",
  },
  {
    name: "Hardmax",
    before: at(11, "float[2,3,2] x", "y = Hardmax <axis = 1> (x)"),
    after: "Flatten Hardmax Shape Reshape",
  },
  {
    name: "BatchNormalization",
    before: at(
      8,
      "float[1,2,3,3] x",
      "y = BatchNormalization <epsilon = 0.001, spatial = 1> (x, s, b, m, v)",
      "float[2] s = {1.5, -0.5}, float[2] b = {0.1, 0.2}, float[2] m = {0.3, 0.1}, float[2] v = {0.9, 0.4}",
    ),
    after: "BatchNormalization",
  },
  {
    name: "Upsample by attribute",
    before: at(8, "float[1,2,3,3] x", 'y = Upsample <mode = "nearest", scales = [1.0, 1.0, 2.0, 3.0]> (x)'),
    after: "Resize",
  },
  {
    name: "Upsample, linear",
    before: at(9, "float[1,1,3,4] x", 'y = Upsample <mode = "linear"> (x, s)', "float[4] s = {1.0, 1.0, 2.0, 2.0}"),
    after: "Resize",
  },
  {
    name: "Resize 10, growing by a fraction",
    before: at(10, "float[1,1,4,4] x", 'y = Resize <mode = "nearest"> (x, s)', "float[4] s = {1.0, 1.0, 1.5, 2.5}"),
    after: "Resize",
  },
  {
    name: "Resize 10, shrinking",
    before: at(10, "float[1,1,6,6] x", 'y = Resize <mode = "nearest"> (x, s)', "float[4] s = {1.0, 1.0, 0.5, 0.6}"),
    after: "Resize",
  },
  {
    name: "Resize 10, linear",
    before: at(10, "float[1,1,5,4] x", 'y = Resize <mode = "linear"> (x, s)', "float[4] s = {1.0, 1.0, 1.6, 0.5}"),
    after: "Resize",
  },
  {
    name: "Scatter",
    before: at(9, "float[3,3] x", "y = Scatter <axis = 1> (x, i, u)", "int64[1,2] i = {1, 2}, float[1,2] u = {5.0, 6.0}"),
    after: "ScatterElements",
  },
  {
    name: "the mask of Dropout",
    before: at(9, "float[2,3] x", "a, mask = Dropout (x)\n b = Sub(mask, mask)\n y = Add(a, b)"),
    after: "Dropout Cast Sub Add",
    structureOnly: "onnxruntime's old Dropout gives a boolean mask whatever the version",
  },
  {
    name: "GridSample",
    before: at(16, "float[1,1,4,4] x", 'y = GridSample <mode = "bilinear"> (x, g)', "float[1,1,2,2] g = {0.1, -0.4, 0.7, 0.2}"),
    after: "GridSample",
  },
  {
    name: "RoiAlign",
    before: at(
      10,
      "float[1,1,8,8] x",
      "y = RoiAlign <output_height = 2, output_width = 2, sampling_ratio = 2> (x, r, i)",
      "float[1,4] r = {0.5, 1.0, 6.0, 7.0}, int64[1] i = {0}",
    ),
    after: "RoiAlign",
  },
  {
    name: "GroupNormalization",
    before: at(
      18,
      "float[1,4,2,2] x",
      "y = GroupNormalization <num_groups = 2> (x, s, b)",
      "float[2] s = {1.5, 0.5}, float[2] b = {0.1, -0.2}",
    ),
    after: "GroupNormalization",
    structureOnly: "onnxruntime has no kernel of version 18 on every machine",
  },
  {
    name: "an inner graph",
    before: at(
      11,
      "float[2,3] x, bool c",
      "y = If (c) <then_branch = t () => (float[] a) { r = Unsqueeze <axes = [0]> (x) a = Squeeze <axes = [0]> (r) }, else_branch = e () => (float[] b) { b = Relu (x) }>",
    ),
    after: "If",
  },
  {
    name: "nothing to do",
    before: `<ir_version: 10, opset_import: ["": 21]> m (float[2] x) => (float[2] y) { y = Relu (x) }`,
    after: "same",
  },
]);

testPass(upgradeOpset, "operator sets before 7", [
  {
    name: "broadcasting along an axis",
    before: at(6, "float[2,3,4] x", "y = Add <broadcast = 1, axis = 1> (x, b)", "float[3] b = {1.0, 2.0, 3.0}"),
    after: "Reshape Add",
    structureOnly: "onnxruntime starts at operator set 7",
  },
  {
    name: "types by name and shapes as attributes",
    before: at(4, "float[2,3] x", 'a = Reshape <shape = [3, 2]> (x)\n y = Cast <to = "FLOAT16"> (a)'),
    after: "Reshape Cast",
    structureOnly: "onnxruntime starts at operator set 7",
  },
]);

describe("functions", () => {
  test("the body of a function gets constants as nodes, and its own operator set", async () => {
    const model = parseModel(`<ir_version: 8, opset_import: ["": 13, "local": 1]>
      m (float[2,3] x) => (float[] y) { y = local.f (x) }
      <domain: "local", opset_import: ["": 11]> f (a) => (b) { c = Unsqueeze <axes = [0]> (a) b = Softmax <axis = -1> (c) }`);
    await applyPass(upgrade, model);
    const [fn] = model.functions;
    expect(fn?.opsets.get("")).toBe(21);
    expect(Array.from(fn?.graph.nodes ?? [], (node) => node.opType)).toEqual(["Constant", "Unsqueeze", "Softmax"]);
    expect(model.opset).toBe(21);
  });
});

describe("what cannot be upgraded", () => {
  const stopped = [
    ["an unknown operator", at(9, "float[2] x", "[odd] y = Frobnicate (x)"), /Frobnicate "odd" stops the upgrade.*not known/],
    [
      "statistics per element",
      at(8, "float[1,2] x", "[bn] y = BatchNormalization <spatial = 0> (x, s, s, s, s)", "float[2] s = {1.0, 1.0}"),
      /"bn" stops the upgrade from operator set 8 to 9.*spatial/,
    ],
  ] as const;
  test.each(stopped)("%s", async (_, text, message) => {
    const model = parseModel(text);
    const before = model.clone();
    await expect(applyPass(upgrade, model)).rejects.toThrow(message);
    // a pass that stops leaves the model as it was
    expect(equalModels(before, model, { exact: true })).toBe(true);
    verify(model);
  });

  test("constants of IR 3 leave the list of inputs", async () => {
    const model = parseModel(
      `<ir_version: 3, opset_import: ["": 8]> m (float[2] x, float[2] w = {1.0, 2.0}) => (float[2] y) { y = Add (x, w) }`,
    );
    await applyPass(upgrade, model);
    expect(model.graph.inputs.map((input) => input.name)).toEqual(["x"]);
    expect(model.graph.initializers.size).toBe(1);
  });
});
