import { constantText as constant, testPass } from "../../../test/suites/pass.ts";
import { simplify } from "./index.ts";

const relu = "g (float[N,3,4,4] x) => (float[N,3,4,4] y) { y = Relu (x) }";
/** A no-op between x and Relu goes without a trace. */
const gone = (name: string, node: string, constants = "") => ({
  name,
  before: `g (float[N,3,4,4] x) => (float[N,3,4,4] y) <${constants}> { ${node} y = Relu (t) }`,
  after: relu,
});

testPass(simplify, "nodes that do nothing", [
  gone("Identity", "t = Identity (x)"),
  gone("Dropout", "t = Dropout (x)"),
  gone("Cast to the same type", "t = Cast <to = 1> (x)"),
  gone("Transpose that keeps the order", "t = Transpose <perm = [0, 1, 2, 3]> (x)"),
  gone("Transposes that undo each other", "a = Transpose <perm = [0, 2, 3, 1]> (x) t = Transpose <perm = [0, 3, 1, 2]> (a)"),
  gone("Reshape to the same shape", "t = Reshape (x, s)", "int64[4] s = {0, 3, -1, 4}"),
  gone("Squeeze after Unsqueeze", "a = Unsqueeze (x, s) t = Squeeze (a, s)", "int64[1] s = {2}"),
  gone("Slice of everything", "t = Slice (x, s, e)", "int64[3] s = {0, 0, -9}, int64[3] e = {9223372036854775807, 3, 4}"),
  gone("Concat of one", "t = Concat <axis = 1> (x)"),
  gone("Add 0 and Sub 0", "a = Add (z, x) t = Sub (a, z)", "float[1,1,1] z = {0}"),
  gone("Mul 1, Div 1 and Pow 1", "a = Mul (x, o) b = Div (a, o) t = Pow (b, o)", "float o = {1}"),
  gone("Add 0 per channel", "t = Add (x, z)", "float[3,1,1] z = {0, 0, 0}"),
  gone("Pad by 0", "t = Pad (x, p)", "int64[8] p = {0, 0, 0, 0, 0, 0, 0, 0}"),
  gone("Tile by 1", "t = Tile (x, p)", "int64[4] p = {1, 1, 1, 1}"),
  gone("Expand to the same shape", "t = Expand (x, p)", "int64[3] p = {3, 1, 4}"),
  gone("Resize by 1", `t = Resize <mode = "linear"> (x, , p)`, "float[4] p = {1, 1, 1, 1}"),
  gone(
    "pooling of single pixels",
    "a = AveragePool <kernel_shape = [1, 1]> (x) t = MaxPool <kernel_shape = [1, 1], strides = [1, 1]> (a)",
  ),
  gone("Clip without bounds", "t = Clip (x)"),
  gone("Max of one", "t = Max (x)"),
  gone("Relu before Relu", "t = Relu (x)"),
  {
    name: "reduction of extent 1",
    before: "g (float[N,1,4] x) => (float[N,1,4] y) <int64[1] a = {1}> { t = ReduceSum (x, a) y = Relu (t) }",
    after: "Relu",
  },
  {
    name: "an Identity before a graph output leaves the name",
    before: "g (float[2] x) => (float[2] y) { t = Relu (x) y = Identity (t) }",
    after: "g (float[2] x) => (float[2] y) { y = Relu (x) }",
  },
  {
    name: "not an Identity between input and output, nor between two outputs",
    before: "g (float[2] x) => (float[2] y, float[2] r, float[2] s) { y = Identity (x) r = Relu (x) s = Identity (r) }",
    after: "same",
  },
  {
    name: "not what changes shape, order or value",
    before: `g (float[N,3,4,4] x) => (float[N,3,4,4] a, float[N,3,4,4] b, float[N,3,2,4] c, float[N,3,8,8] d, float[2,N,3,4,4] e, float[N,3,2,2] f, float[N,3,4,4] h)
      <float z = {1}, float o = {2}, int64[1] s = {-1}, int64[1] m = {-5}, int64[1] n = {-1}, int64[1] two = {2}, int64[1] ax = {3}, int64[1] ax2 = {2}, int64[1] zero = {0},
      float[4] r = {1, 1, 2, 2}, float[2,1,1,1,1] grow = {0, 0}>
      { a = Add (x, z) b = Mul (x, o) c = Slice (x, zero, two, ax2) d = Resize (x, , r) e = Add (x, grow)
        f = AveragePool <kernel_shape = [1, 1], strides = [2, 2]> (x) h = Slice (x, s, m, ax, n) }`,
    after: "same",
  },
  {
    name: "not Add 0 that could broadcast an unknown extent",
    before: "g (float[N,M] x) => (float[N,K] y) <float[1,3] z = {0, 0, 0}> { y = Add (x, z) }",
    after: "same",
    structureOnly: "the declared symbols allow only some extents",
  },
  {
    name: "not Dropout in training",
    before: "g (float[2] x) => (float[2] y) <float r = {0.0}, bool t = {1}> { d = Dropout (x, r, t) y = Relu (d) }",
    after: "same",
  },
  {
    name: "not a Cast through a narrower type",
    before:
      "g (float[4] x) => (float[4] y, double[4] z) { a = Cast <to = 7> (x) y = Cast <to = 1> (a) b = Cast <to = 11> (x) z = Sqrt (b) }",
    after: "same",
  },
  {
    name: "a Cast after a wider one",
    before: "g (int32[4] x) => (float[4] y) { a = Cast <to = 7> (x) y = Cast <to = 1> (a) }",
    after: "g (int32[4] x) => (float[4] y) { y = Cast <to = 1> (x) }",
  },
]);

testPass(simplify, "fusions", [
  {
    name: "Transposes in a row",
    before:
      "g (float[2,3,4] x) => (float[4,3,2] y) { a = Transpose <perm = [1, 0, 2]> (x) b = Transpose <perm = [0, 2, 1]> (a) y = Transpose <perm = [1, 0, 2]> (b) }",
    after: "g (float[2,3,4] x) => (float[4,3,2] y) { y = Transpose <perm = [2, 1, 0]> (x) }",
  },
  {
    name: "a Transpose of extents 1 beside a Reshape",
    before:
      "g (float[N,8,1,1] x) => (float[N,8] y) <int64[2] s = {-1, 8}> { a = Transpose <perm = [0, 2, 3, 1]> (x) y = Reshape (a, s) }",
    after: "g (float[N,8,1,1] x) => (float[N,8] y) { y = Flatten <axis = 1> (x) }",
  },
  {
    name: "Reshapes in a row",
    before:
      "g (float[N,4,6] x) => (float[N,2,3,4] y) <int64[2] s = {0, 24}, int64[4] t = {0, 2, 3, 4}> { a = Reshape (x, s) y = Reshape (a, t) }",
    after: "g (float[N,4,6] x) => (float[N,2,3,4] y) <int64[4] t = {-1, 2, 3, 4}> { y = Reshape (x, t) }",
  },
  {
    name: "Slices of different axes",
    before: `g (float[6,6] x) => (float[3,2] y) <int64[1] a = {0}, int64[1] b = {1}, int64[1] e = {9223372036854775807}, int64[1] f = {4}, int64[1] two = {2}>
      { t = Slice (x, a, e, a, two) y = Slice (t, two, f, b) }`,
    after: "Slice",
  },
  {
    name: "not Slices of one axis",
    before:
      "g (float[6] x) => (float[2] y) <int64[1] a = {1}, int64[1] e = {5}, int64[1] f = {3}, int64[1] z = {0}> { t = Slice (x, a, e, z) y = Slice (t, a, f, z) }",
    after: "same",
  },
  {
    name: "Concat in a Concat",
    before:
      "g (float[2] a, float[3] b, float[1] c) => (float[8] y) { t = Concat <axis = 0> (a, b) u = Concat <axis = -1> (c, t, a) y = Relu (u) }",
    after: "g (float[2] a, float[3] b, float[1] c) => (float[8] y) { u = Concat <axis = -1> (c, a, b, a) y = Relu (u) }",
  },
  {
    name: "not a Concat that is read twice, or along another axis",
    before: `g (float[2,2] a, float[2,2] b) => (float[4,4] y, float[6,2] z) { t = Concat <axis = 0> (a, b) y = Concat <axis = 1> (t, t) z = Concat <axis = 0> (t, a) }`,
    after: "same",
  },
  {
    name: "Clip after Clip and Relu",
    before:
      "g (float[8] x) => (float[8] y) <float l = {-1}, float h = {2}, float k = {0.5}> { a = Relu (x) b = Clip (a, l, h) y = Clip (b, , k) }",
    after: "g (float[8] x) => (float[8] y) <float l = {0}, float h = {0.5}> { y = Clip (x, l, h) }",
  },
  {
    name: "Clip to Relu",
    before: "g (float[8] x) => (float[8] y) <float l = {-1}> { a = Clip (x, l) y = Relu (a) }",
    after: "g (float[8] x) => (float[8] y) { y = Relu (x) }",
  },
  {
    name: "chains of constants",
    before:
      "g (float[N,2] x) => (float[N,2] y) <float[2] a = {1, 2}, float b = {3}> { t = Add (x, a) u = Sub (t, b) v = Mul (u, a) y = Div (b2, v) b2 = Identity (b) }".replace(
        "y = Div (b2, v) b2 = Identity (b)",
        "y = Div (v, b)",
      ),
    after: "Add Mul",
  },
  {
    name: "not a constant minus a tensor",
    before: "g (float[2] x) => (float[2] y) <float[2] a = {1, 2}> { t = Sub (a, x) y = Sub (a, t) }",
    after: "same",
  },
  {
    name: "an Expand that broadcasting does anyway",
    before: "g (float[3] x, float[2,3] z) => (float[2,3] y) <int64[2] s = {2, 3}> { e = Expand (x, s) y = Add (e, z) }",
    after: "g (float[3] x, float[2,3] z) => (float[2,3] y) { y = Add (x, z) }",
  },
  {
    name: "equal nodes",
    before: "g (float[4] x) => (float[4] y) { a = Relu (x) b = Relu (x) c = Exp (a) d = Exp (b) y = Add (c, d) }",
    after: "g (float[4] x) => (float[4] y) { a = Relu (x) c = Exp (a) y = Add (c, c) }",
  },
  {
    name: "not random nodes, nor two outputs",
    before: "g (float[4] x) => (float[4] y, float[4] z) { y = Relu (x) z = Relu (x) }",
    after: "same",
  },
  {
    name: "dead nodes and unused initializers",
    before: "g (float[4] x) => (float[4] y) <float u = {1}> { y = Relu (x) d = Exp (x) e = Add (d, u) }",
    after: "g (float[4] x) => (float[4] y) { y = Relu (x) }",
  },
  {
    name: "equal initializers",
    before: `g (float[1,1,2,2] x) => (float[1,1,2,2] y) <${constant("a", [1, 1, 1, 1])}, ${constant("b", [1, 1, 1, 1])}> { t = Conv (x, a) r = Relu (t) y = Conv (r, b) }`,
    after: `g (float[1,1,2,2] x) => (float[1,1,2,2] y) <${constant("a", [1, 1, 1, 1])}> { t = Conv (x, a) r = Relu (t) y = Conv (r, a) }`,
  },
]);

testPass(simplify, "constants", [
  {
    name: "a computed weight",
    before: `g (float[N,4] x) => (float[N,3] y) <${constant("w", [3, 4])}> { t = Transpose (w) a = Abs (t) y = MatMul (x, a) }`,
    after: "MatMul",
  },
  {
    name: "Constant nodes",
    before: "g (float[2] x) => (float[2] y) { c = Constant <value_floats = [1.0, 2.0]> () y = Add (x, c) }",
    after: "g (float[2] x) => (float[2] y) <float[2] c = {1, 2}> { y = Add (x, c) }",
  },
  {
    name: "a constant output stays reachable by its name",
    before: "g (float[2] x) => (float[2] y, float[2] z) <float[2] c = {1, 4}> { y = Relu (x) a = Sqrt (c) z = Exp (a) }",
    after: "Relu Identity",
  },
  {
    name: "not what would grow the file",
    before:
      "g (float[1000,1000] x) => (float[1000,1000] y) <int64[2] s = {1000, 1000}> { c = ConstantOfShape (s) y = Sub (c, x) }",
    after: "same",
    params: { explain: true },
    note: "larger than what it is made from",
  },
  {
    name: "not stored integers back to floats",
    before: "g (float[2] x) => (float[2] y) <int8[2] q = {1, 2}, float s = {0.5}> { w = DequantizeLinear (q, s) y = Mul (x, w) }",
    after: "same",
  },
  {
    name: "shape arithmetic with a symbolic batch",
    before: `g (float[N,4,6] x) => (float[N,2,12] y) <int64 zero = {0}, int64[1] first = {0}, int64[2] rest = {2, 12}>
      { s = Shape (x) n = Gather (s, zero) u = Unsqueeze (n, first) t = Concat <axis = 0> (u, rest) y = Reshape (x, t) }`,
    after: "g (float[N,4,6] x) => (float[N,2,12] y) <int64[3] t = {-1, 2, 12}> { y = Reshape (x, t) }",
  },
  {
    name: "two symbolic extents, one copied",
    before: `g (float[N,T,6] x) => (float[N,T,2,3] y) <int64[1] z = {0}, int64[1] two = {2}, int64[2] rest = {2, 3}>
      { s = Shape (x) u = Slice (s, z, two) t = Concat <axis = 0> (u, rest) y = Reshape (x, t) }`,
    after: "g (float[N,T,6] x) => (float[N,T,2,3] y) <int64[4] t = {0, 0, 2, 3}> { y = Reshape (x, t) }",
  },
  {
    name: "shape arithmetic with a given shape",
    before: `g (float[N,C] x) => (float[N,C] y) { s = Shape (x) c = ConstantOfShape (s) a = Add (x, c) y = Relu (a) }`,
    after: "g (float[2,3] x) => (float[2,3] y) { y = Relu (x) }",
    params: { inputShapes: { x: [2, 3] } },
    shapes: { x: [2, 3] },
  },
  {
    name: "If with a constant condition",
    before: `g (float[2] x) => (float[2] y) <bool c = {1}, float[2] w = {1, 2}>
      { t = If (c) <then_branch = a () => (float[2] p) { q = Add (x, w) p = Relu (q) }, else_branch = b () => (float[2] o) { o = Exp (x) }> y = Neg (t) }`,
    after: "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { q = Add (x, w) p = Relu (q) y = Neg (p) }",
  },
  {
    name: "inside the branches of an If",
    before: `g (bool c, float[2] x) => (float[2] y) <float z = {0}>
      { y = If (c) <then_branch = a () => (float[2] p) { i = Identity (x) q = Add (i, z) p = Relu (q) }, else_branch = b () => (float[2] o) { o = Exp (x) }> }`,
    after: `g (bool c, float[2] x) => (float[2] y)
      { y = If (c) <then_branch = a () => (float[2] p) { p = Relu (x) }, else_branch = b () => (float[2] o) { o = Exp (x) }> }`,
  },
  {
    name: "initializers that IR version 3 lists as inputs",
    before: `<ir_version: 3, opset_import: ["": 21]> g (float[2] x, float[2] w = {1, 2}, float[2] v = {1, 2}) => (float[2] y) { t = Add (w, v) y = Add (x, t) }`,
    after: "Add",
    note: "2 initializers were listed as inputs",
  },
  {
    name: "not initializers that a caller may override",
    before: `g (float[2] x, float[2] w = {0, 0}) => (float[2] y) { y = Add (x, w) }`,
    after: "same",
    note: "may override",
  },
  {
    name: "overridable initializers when asked for",
    before: `g (float[2] x, float[2] w = {1, 2}) => (float[2] y) { t = Exp (w) y = Add (x, t) }`,
    after: "Add",
    params: { fixOverridable: true },
  },
]);
