import { constantText as constant, testPass } from "../../../test/suites/pass.ts";
import { simplify } from "./index.ts";

const signature = "g (float[N,5,8] x) => (float[N,5,8] y)";
const erf = "d = Div (x, root) e = Erf (d) o = Add (e, one)";
const scalars = "float root = {1.4142135}, float one = {1}, float half = {0.5}, float two = {2}";
const gelu = `${signature} { y = Gelu (x) }`;
const tanhScalars =
  "float k = {0.7978846}, float a = {0.044715}, float one = {1}, float half = {0.5}, float three = {3}, float two = {2}";
const tanhGelu = `${signature} { y = Gelu <approximate = "tanh"> (x) }`;

testPass(simplify, "recognize-gelu", [
  { name: "(x * (1 + erf)) * 0.5", before: `${signature} <${scalars}> { ${erf} m = Mul (x, o) y = Mul (m, half) }`, after: gelu },
  { name: "x * (0.5 * (1 + erf))", before: `${signature} <${scalars}> { ${erf} m = Mul (half, o) y = Mul (m, x) }`, after: gelu },
  { name: "(0.5 * x) * (1 + erf)", before: `${signature} <${scalars}> { ${erf} m = Mul (x, half) y = Mul (m, o) }`, after: gelu },
  { name: "x * (1 + erf) / 2", before: `${signature} <${scalars}> { ${erf} m = Mul (x, o) y = Div (m, two) }`, after: gelu },
  {
    name: "tanh with Pow",
    before: `${signature} <${tanhScalars}> { p = Pow (x, three) q = Mul (a, p) s = Add (x, q) u = Mul (k, s) t = Tanh (u) o = Add (one, t) h = Mul (x, half) y = Mul (h, o) }`,
    after: tanhGelu,
  },
  {
    name: "tanh with products",
    before: `${signature} <${tanhScalars}> { p = Mul (x, x) p3 = Mul (p, x) q = Mul (p3, a) s = Add (q, x) u = Mul (s, k) t = Tanh (u) o = Add (t, one) h = Mul (o, x) y = Mul (half, h) }`,
    after: tanhGelu,
  },
  {
    name: "tanh of a factored argument",
    before: `${signature} <${tanhScalars}> { p = Pow (x, two) q = Mul (p, a) s = Add (q, one) v = Mul (x, k) u = Mul (v, s) t = Tanh (u) o = Add (t, one) h = Mul (o, x) y = Mul (half, h) }`,
    after: tanhGelu,
  },
  {
    name: "not with another factor or another tensor",
    before: `g (float[N,5,8] x, float[N,5,8] z) => (float[N,5,8] y, float[N,5,8] v) <${scalars}> { ${erf} m = Mul (x, o) y = Mul (m, two) w = Mul (z, o) v = Mul (w, half) }`,
    after: "same",
  },
]);

const means = "int64[1] ax = {-1}, float eps = {0.001}, float two = {2}, float one = {1}";
const centred = "m = ReduceMean (x, ax) d = Sub (x, m)";
const spread = "v = ReduceMean (q, ax) w = Add (v, eps) s = Sqrt (w)";
const affine = `${constant("g", [8])}, ${constant("b", [8], 2)}`;
const norm = `${signature} <${affine}> { y = LayerNormalization <axis = -1, epsilon = 0.001> (x, g, b) }`;

testPass(simplify, "recognize-layer-normalization", [
  {
    name: "with Pow and Div",
    before: `${signature} <${means}, ${affine}> { ${centred} q = Pow (d, two) ${spread} n = Div (d, s) h = Mul (n, g) y = Add (h, b) }`,
    after: norm,
  },
  {
    name: "with Mul and Reciprocal, and the subtraction written twice",
    before: `${signature} <${means}, ${affine}> { ${centred} d2 = Sub (x, m) q = Mul (d2, d2) ${spread} r = Reciprocal (s) n = Mul (r, d) h = Mul (g, n) y = Add (b, h) }`,
    after: norm,
  },
  {
    name: "without scale and bias",
    before: `${signature} <${means}> { ${centred} q = Pow (d, two) ${spread} r = Div (one, s) y = Mul (d, r) }`,
    after: "LayerNormalization",
  },
  {
    name: "over two axes",
    before: `${signature} <int64[2] ax = {1, 2}, float eps = {0.001}, float two = {2}> { ${centred} q = Pow (d, two) ${spread} y = Div (d, s) }`,
    after: "LayerNormalization",
  },
  {
    name: "not over other axes",
    before: `${signature} <int64[1] ax = {1}, float eps = {0.001}, float two = {2}> { ${centred} q = Pow (d, two) ${spread} y = Div (d, s) }`,
    after: "same",
    params: { explain: true },
    note: "the means are not over the last axes",
  },
  {
    name: "not when the variance is of another tensor",
    before: `${signature} <${means}> { ${centred} q = Pow (x, two) ${spread} y = Div (d, s) }`,
    after: "same",
  },
]);

const hard =
  "float three = {3}, float zero = {0}, float six = {6}, float one = {1}, float sixth = {0.16666667}, float half = {0.5}";
const hardSwish = `${signature} { y = HardSwish (x) }`;

testPass(simplify, "recognize activations", [
  {
    name: "x * clip(x + 3, 0, 6) / 6",
    before: `${signature} <${hard}> { a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c) y = Div (m, six) }`,
    after: hardSwish,
  },
  {
    name: "x * (clip(x + 3, 0, 6) / 6)",
    before: `${signature} <${hard}> { a = Add (three, x) c = Clip (a, zero, six) m = Div (c, six) y = Mul (m, x) }`,
    after: hardSwish,
  },
  {
    name: "x * HardSigmoid",
    before: `${signature} { h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul (x, h) }`,
    after: hardSwish,
  },
  {
    name: "not x * HardSigmoid of other slope",
    before: `${signature} { h = HardSigmoid <alpha = 0.2, beta = 0.5> (x) y = Mul (x, h) }`,
    after: "same",
  },
  {
    name: "HardSigmoid from clip(x + 3, 0, 6) / 6",
    before: `${signature} <${hard}> { a = Add (x, three) c = Clip (a, zero, six) y = Div (c, six) }`,
    after: "HardSigmoid",
  },
  {
    name: "HardSigmoid from clip(x / 6 + 0.5, 0, 1)",
    before: `${signature} <${hard}> { a = Div (x, six) b = Add (a, half) y = Clip (b, zero, one) }`,
    after: "HardSigmoid",
  },
  {
    name: "Mish",
    before: `${signature} { s = Softplus (x) t = Tanh (s) y = Mul (x, t) }`,
    after: `${signature} { y = Mish (x) }`,
  },
  { name: "Swish stays", before: `${signature} { s = Sigmoid (x) y = Mul (x, s) }`, after: "same" },
  {
    name: "Softmax",
    before: `${signature} <int64[1] ax = {-1}> { m = ReduceMax (x, ax) d = Sub (x, m) e = Exp (d) s = ReduceSum (e, ax) y = Div (e, s) }`,
    after: `${signature} { y = Softmax <axis = 2> (x) }`,
  },
  {
    name: "not Softmax without the maximum, which overflows elsewhere",
    before: `${signature} <int64[1] ax = {-1}> { e = Exp (x) s = ReduceSum (e, ax) y = Div (e, s) }`,
    after: "same",
  },
  {
    name: "Softmax of a matrix that is reshaped back",
    before: `<ir_version: 6, opset_import: ["": 9]> ${signature} { y = Softmax <axis = 2> (x) }`,
    after: `${signature} { y = Softmax <axis = 2> (x) }`,
  },
  {
    name: "Softmax over the last axis longer than 1, written with Flatten",
    before: `g (float[N,3,8,1] x) => (float[N,3,8,1] y) <int64[4] s = {-1, 3, 8, 1}, int64[2] m = {-1, 8}> { f = Reshape (x, m) t = Softmax (f) y = Reshape (t, s) }`,
    after: `g (float[N,3,8,1] x) => (float[N,3,8,1] y) { y = Softmax <axis = 2> (x) }`,
  },
  {
    name: "not Softmax over several axes at once",
    before: `g (float[N,3,8] x) => (float[N,3,8] y) { f = Flatten <axis = 1> (x) t = Softmax (f) s = Shape (x) y = Reshape (t, s) }`,
    after: "Flatten Softmax Reshape",
  },
  {
    name: "GlobalAveragePool",
    before: "g (float[N,3,4,5] x) => (float[N,3,1,1] y) <int64[2] ax = {-1, 2}> { y = ReduceMean (x, ax) }",
    after: "g (float[N,3,4,5] x) => (float[N,3,1,1] y) { y = GlobalAveragePool (x) }",
  },
  {
    name: "not a mean over channels, or without the axes kept",
    before:
      "g (float[N,3,4,5] x) => (float[N,1,4,5] y, float[N,3] z) <int64[1] c = {1}, int64[2] ax = {2, 3}> { y = ReduceMean (x, c) z = ReduceMean <keepdims = 0> (x, ax) }",
    after: "same",
  },
]);
