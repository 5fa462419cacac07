import { constantText as constant, testPass } from "../../../test/suites/pass.ts";
import { simplify } from "./index.ts";

const bn = (channels: number) =>
  ["gamma", "beta", "mean"].map((name, i) => constant(name, [channels], i + 5)).join(", ") +
  `, float[${channels}] var = {${Array.from({ length: channels }, (_, i) => i + 1).join(", ")}}`;

testPass(simplify, "fold-scale-and-bias", [
  {
    name: "BatchNormalization into a Conv without bias, exactly",
    before: `g (float[N,1,4,4] x) => (float[N,2,4,4] y) <float[2,1,1,1] w = {1, 2}, float[2] gamma = {2, 3}, float[2] beta = {1, 1},
      float[2] mean = {1, 2}, float[2] var = {4, 1}> { c = Conv (x, w) y = BatchNormalization <epsilon = 0.0> (c, gamma, beta, mean, var) }`,
    after: `g (float[N,1,4,4] x) => (float[N,2,4,4] y) <float[2,1,1,1] w = {1, 6}, float[2] b = {0, -5}> { y = Conv (x, w, b) }`,
  },
  {
    name: "BatchNormalization into a grouped Conv with bias",
    before: `g (float[1,4,5,5] x) => (float[1,6,3,3] y) <${constant("w", [6, 2, 3, 3])}, ${constant("b", [6], 2)}, ${bn(6)}>
      { c = Conv <group = 2> (x, w, b) y = BatchNormalization (c, gamma, beta, mean, var) }`,
    after: "Conv",
  },
  {
    name: "BatchNormalization into a grouped ConvTranspose",
    before: `g (float[1,4,3,3] x) => (float[1,6,5,5] y) <${constant("w", [4, 3, 3, 3])}, ${bn(6)}>
      { c = ConvTranspose <group = 2> (x, w) y = BatchNormalization (c, gamma, beta, mean, var) }`,
    after: "ConvTranspose",
  },
  {
    name: "BatchNormalization into a Gemm with alpha, beta and transB",
    before: `g (float[N,3] x) => (float[N,4] y) <${constant("w", [4, 3])}, ${constant("b", [4], 3)}, ${bn(4)}>
      { c = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (x, w, b) y = BatchNormalization (c, gamma, beta, mean, var) }`,
    after: "Gemm",
  },
  {
    name: "Mul, Div, Sub and Add per channel, from either side",
    before: `g (float[1,2,4,4] x) => (float[1,3,4,4] y) <${constant("w", [3, 2, 1, 1])}, float[3,1,1] s = {2, 3, 4}, float[1,3,1,1] t = {1, 2, 3},
      float d = {4}> { c = Conv (x, w) m = Mul (s, c) v = Div (m, d) u = Sub (t, v) y = Add (u, t) }`,
    after: "Conv",
  },
  {
    name: "a scale, but no shift, into MatMul of three axes",
    before: `g (float[2,3,4] x) => (float[2,3,5] y) <${constant("w", [4, 5])}, ${constant("s", [5], 2)}, ${constant("t", [5], 3)}>
      { c = MatMul (x, w) m = Mul (c, s) y = Add (m, t) }`,
    after: "MatMul Add",
    params: { explain: true },
    note: "MatMul has no bias",
  },
  {
    name: "not when the convolution is read twice",
    before: `g (float[1,1,4,4] x) => (float[1,2,4,4] y, float[1,2,4,4] z) <${constant("w", [2, 1, 1, 1])}, ${bn(2)}>
      { c = Conv (x, w) y = BatchNormalization (c, gamma, beta, mean, var) z = Relu (c) }`,
    after: "same",
    params: { explain: true },
    note: "c is read elsewhere too",
  },
  {
    name: "not when the convolution is a graph output",
    before: `g (float[1,1,4,4] x) => (float[1,2,4,4] y, float[1,2,4,4] c) <${constant("w", [2, 1, 1, 1])}, ${bn(2)}>
      { c = Conv (x, w) y = BatchNormalization (c, gamma, beta, mean, var) }`,
    after: "same",
  },
  {
    name: "not BatchNormalization in training",
    before: `g (float[2,1,4,4] x) => (float[2,2,4,4] y, float[2] m, float[2] v) <${constant("w", [2, 1, 1, 1])}, ${bn(2)}>
      { c = Conv (x, w) y, m, v = BatchNormalization <training_mode = 1> (c, gamma, beta, mean, var) }`,
    after: "same",
    params: { explain: true },
    note: "training mode",
  },
  {
    name: "not a constant that grows the tensor or differs by pixel",
    before: `g (float[1,1,2,2] x) => (float[1,2,2,2] y, float[3,1,2,2] z) <${constant("w", [1, 1, 1, 1])}, ${constant("a", [2, 1, 1])}, ${constant("v", [1, 1, 1, 1], 3)},
      float[3,1,1,1] b = {1, 2, 3}> { c = Conv (x, w) y = Mul (c, a) d = Conv (x, v) z = Add (d, b) }`,
    after: "same",
  },
  {
    name: "not with a weight that is an input",
    before: `g (float[1,1,2,2] x, float[1,1,1,1] w) => (float[1,1,2,2] y) <float s = {2}> { c = Conv (x, w) y = Mul (c, s) }`,
    after: "same",
  },
  {
    name: "not where the scale would overflow",
    before: `g (float[1,1,2,2] x) => (float[1,1,2,2] y) <float[1,1,1,1] w = {1e30}, float s = {1e30}> { c = Conv (x, w) y = Mul (c, s) }`,
    after: "same",
  },
]);

testPass(simplify, "fold-scale-and-bias-into-next", [
  {
    name: "BatchNormalization before a grouped Conv without padding",
    before: `g (float[1,4,5,5] x) => (float[1,2,3,3] y) <${constant("w", [2, 2, 3, 3])}, ${constant("b", [2], 2)}, ${bn(4)}>
      { n = BatchNormalization (x, gamma, beta, mean, var) y = Conv <group = 2> (n, w, b) }`,
    after: "Conv",
  },
  {
    name: "a scale before a padded Conv",
    before: `g (float[1,2,4,4] x) => (float[1,3,4,4] y) <${constant("w", [3, 2, 3, 3])}, float[2,1,1] s = {2, 3}>
      { n = Div (x, s) y = Conv <pads = [1, 1, 1, 1]> (n, w) }`,
    after: "Conv",
  },
  {
    name: "not a shift before a padded Conv",
    before: `g (float[1,2,4,4] x) => (float[1,3,4,4] y) <${constant("w", [3, 2, 3, 3])}, float[2,1,1] s = {2, 3}>
      { n = Sub (x, s) y = Conv <pads = [1, 1, 1, 1]> (n, w) }`,
    after: "same",
    params: { explain: true },
    note: "the padding would be shifted too",
  },
  {
    name: "not when the scaled tensor is read elsewhere",
    before: `g (float[1,2,4,4] x) => (float[1,3,4,4] y, float[1,2,4,4] n) <${constant("w", [3, 2, 1, 1])}, float[2,1,1] s = {2, 3}>
      { n = Mul (x, s) y = Conv (n, w) }`,
    after: "same",
  },
]);

testPass(simplify, "fold-pad", [
  {
    name: "into a Conv",
    before: `g (float[1,1,4,4] x) => (float[1,1,5,6] y) <${constant("w", [1, 1, 3, 3])}, int64[8] p = {0, 0, 1, 2, 0, 0, 2, 2}>
      { q = Pad (x, p) y = Conv (q, w) }`,
    after: `g (float[1,1,4,4] x) => (float[1,1,5,6] y) <${constant("w", [1, 1, 3, 3])}> { y = Conv <pads = [1, 2, 2, 2]> (x, w) }`,
  },
  {
    name: "over given axes, into a Conv that pads already",
    before: `g (float[1,1,4,4] x) => (float[1,1,6,4] y) <${constant("w", [1, 1, 3, 3])}, int64[2] p = {1, 1}, int64[1] a = {-2}>
      { q = Pad (x, p, , a) y = Conv <pads = [1, 1, 1, 1]> (q, w) }`,
    after: "Conv",
  },
  {
    name: "into an AveragePool, whose padding then counts",
    before: `g (float[1,1,4,4] x) => (float[1,1,3,3] y) <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}>
      { q = Pad (x, p) y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (q) }`,
    after: "AveragePool",
  },
  {
    name: "into a MaxPool after Relu",
    before: `g (float[1,1,4,4] x) => (float[1,1,4,4] y) <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}>
      { r = Relu (x) q = Pad (r, p) y = MaxPool <kernel_shape = [3, 3]> (q) }`,
    after: "Relu MaxPool",
  },
  {
    name: "not zeros into a MaxPool of anything",
    before: `g (float[1,1,4,4] x) => (float[1,1,4,4] y) <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}>
      { q = Pad (x, p) y = MaxPool <kernel_shape = [3, 3]> (q) }`,
    after: "same",
    params: { explain: true },
    note: "the fill value could be the maximum",
  },
  {
    name: "not padded channels, another fill value, a reflection or a crop",
    before: `g (float[1,1,4,4] x) => (float[1,1,4,4] a, float[1,1,4,4] b, float[1,1,4,4] c, float[1,1,2,2] d) <${constant("w", [1, 2, 1, 1])}, ${constant("v", [1, 1, 3, 3])},
      int64[8] pc = {0, 1, 0, 0, 0, 0, 0, 0}, int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}, int64[8] m = {0, 0, -1, -1, 0, 0, -1, -1}, float one = {1}, ${constant("u", [1, 1, 1, 1])}>
      { pa = Pad (x, pc) a = Conv (pa, w) pb = Pad (x, p, one) b = Conv (pb, v) qc = Pad <mode = "reflect"> (x, p) c = Conv (qc, v) pd = Pad (x, m) d = Conv (pd, u) }`,
    after: "same",
  },
]);

testPass(simplify, "gemm", [
  {
    name: "MatMul of matrices and Add",
    before: `g (float[N,3] x) => (float[N,4] y) <${constant("w", [3, 4])}, ${constant("b", [4], 2)}> { c = MatMul (x, w) y = Add (b, c) }`,
    after: `g (float[N,3] x) => (float[N,4] y) <${constant("w", [3, 4])}, ${constant("b", [4], 2)}> { y = Gemm (x, w, b) }`,
  },
  {
    name: "Transpose of either operand",
    before: `g (float[3,N] x, float[4,3] w) => (float[N,4] y) { a = Transpose <perm = [1, 0]> (x) b = Transpose (w) y = MatMul (a, b) }`,
    after: `g (float[3,N] x, float[4,3] w) => (float[N,4] y) { y = Gemm <transA = 1, transB = 1> (x, w) }`,
  },
  {
    name: "not MatMul of three axes, nor a bias by row",
    before: `g (float[2,3,3] x, float[2,3] z) => (float[2,3,4] y, float[2,4] v) <${constant("w", [3, 4])}, ${constant("b", [4], 2)}, ${constant("r", [2, 1], 2)}>
      { c = MatMul (x, w) y = Add (b, c) d = MatMul (z, w) v = Add (d, r) }`,
    after: "same",
  },
]);
