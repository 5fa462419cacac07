import type { LegalityRule } from "../../src/passes/quantize/legality.ts";
import type { QuantizationRow } from "../../src/passes/quantize/row.ts";
import { findTarget } from "../../src/targets/index.ts";

export const rowOf = (name: string): QuantizationRow => findTarget(name, { arch: "x64", instructionSets: [] }).quantization;
export const tflite = rowOf("tflite");

/** Conv, MaxPool, Sigmoid and a matrix product as tflite wants them; every other test is this text with something changed. */
export const legal = `<ir_version: 10, opset_import: ["" : 21]>
g (float[1,2,4,4] x) => (float[1,3] y)
<float s = {0.1}, int8 z = {3}, float t = {0.2}, int8 zt = {-4}, float p = {0.2}, int8 zp = {-4}, float u = {0.00390625}, int8 zu = {-128},
 int8[2,2,1,1] w = {1, -127, 3, 4}, float[2] ws = {0.01, 0.02}, int8[2] wz = {0, 0},
 int32[2] b = {5, 6}, float[2] bs = {0.001, 0.002}, int32[2] bz = {0, 0},
 int8[18,3] v = {${Array.from({ length: 54 }, (_, i) => (i * 7) % 100).join(", ")}}, float vs = {0.03}, int8 vz = {0}>
{ qx = QuantizeLinear (x, s, z) dx = DequantizeLinear (qx, s, z)
  dw = DequantizeLinear <axis = 0> (w, ws, wz) db = DequantizeLinear <axis = 0> (b, bs, bz)
  c = Conv (dx, dw, db) r = Relu (c) qc = QuantizeLinear (r, t, zt) dc = DequantizeLinear (qc, t, zt)
  m = MaxPool <kernel_shape = [2, 2]> (dc) qm = QuantizeLinear (m, p, zp) dm = DequantizeLinear (qm, p, zp)
  f = Flatten (dm) qf = QuantizeLinear (f, p, zp) df = DequantizeLinear (qf, p, zp)
  dv = DequantizeLinear (v, vs, vz) o = MatMul (df, dv) qo = QuantizeLinear (o, t, zt) do = DequantizeLinear (qo, t, zt)
  e = Sigmoid (do) qe = QuantizeLinear (e, u, zu) y = DequantizeLinear (qe, u, zu) }`;

/** A piece of the legal text and what stands there instead. */
export type Change = readonly [string, string];

export interface Broken {
  readonly rule: LegalityRule;
  readonly name: string;
  readonly row: QuantizationRow;
  readonly changes: readonly Change[];
  /** Of the only violation. */
  readonly node: string | null;
  readonly value: string | null;
  readonly says: RegExp;
}

const tensorwise: QuantizationRow = { ...tflite, weight: { ...tflite.weight, perChannel: false } };
const shifting: QuantizationRow = { ...tflite, activation: { ...tflite.activation, powerOfTwo: true } };
/** The same with scales that are powers of two, where a row wants them. */
const powers: readonly Change[] = [
  ["float s = {0.1}", "float s = {0.125}"],
  ["float t = {0.2}", "float t = {0.25}"],
  ["float p = {0.2}", "float p = {0.25}"],
  ["bs = {0.001, 0.002}", "bs = {0.00125, 0.0025}"],
];
const symmetric: QuantizationRow = { ...tflite, activation: { dtype: "int8", symmetric: true }, ops: rowOf("openvino").ops };

export const broken: readonly Broken[] = [
  {
    rule: "opset",
    name: "an operator set that is too young",
    row: { ...tflite, maxOpset: 20 },
    changes: [],
    node: null,
    value: null,
    says: /operator set 21.*up to 20.*convert/,
  },
  {
    rule: "static-shape",
    name: "an input of open batch",
    row: { ...tflite, staticShapes: true },
    changes: [["float[1,2,4,4] x", "float[N,2,4,4] x"]],
    node: null,
    value: "x",
    says: /open extents.*--shape/,
  },
  {
    rule: "static-shape",
    name: "a shape that depends on data",
    row: { ...tflite, staticShapes: true },
    changes: [
      ["=> (float[1,3] y)", "=> (float[1,3] y, int64[1,K] k)"],
      ["e = Sigmoid (do)", "e = Sigmoid (do) k = NonZero (zt)"],
    ],
    node: "k",
    value: "k",
    says: /depends on data.*NonZero/,
  },
  {
    rule: "rank",
    name: "a kernel that wants another rank",
    row: { ...tflite, ops: { ...tflite.ops, MatMul: { role: "anchor", perChannel: false, ranks: [4] } } },
    changes: [],
    node: "o",
    value: "df",
    says: /rank 2.*takes rank 4/,
  },
  {
    rule: "rank",
    name: "a tensor of too many axes",
    row: { ...tflite, maxRank: 3 },
    changes: [],
    node: "c",
    value: "dx",
    says: /rank 4.*at most 3/,
  },
  {
    rule: "rank",
    name: "a batch on an accelerator of three axes",
    row: rowOf("edgetpu"),
    changes: [
      ["float[1,2,4,4] x", "float[2,2,4,4] x"],
      ["float[1,3] y", "float[2,3] y"],
    ],
    node: "c",
    value: "dx",
    says: /\[2,2,4,4\].*innermost 3/,
  },
  {
    rule: "unsupported-op",
    name: "an op outside the list",
    row: rowOf("tflm"),
    changes: [["e = Sigmoid (do)", "e0 = Erf (do) e = Sigmoid (do)"]],
    node: "e0",
    value: "e0",
    says: /no kernel for Erf/,
  },
  {
    rule: "float-op",
    name: "a float op on a target of integers",
    row: rowOf("tflm"),
    changes: [["qx = QuantizeLinear (x, s, z)", "n = HardSwish (x) qx = QuantizeLinear (n, s, z)"]],
    node: "n",
    value: "n",
    says: /HardSwish computes in float/,
  },
  {
    rule: "constant-parameters",
    name: "a scale that is computed",
    row: tflite,
    changes: [["qe = QuantizeLinear (e, u, zu)", "u2 = Abs (u) qe = QuantizeLinear (e, u2, zu)"]],
    node: "qe",
    value: "e",
    says: /computed.*constants/,
  },
  {
    rule: "pair",
    name: "a value read back with another scale",
    row: tflite,
    changes: [["y = DequantizeLinear (qe, u, zu)", "y = DequantizeLinear (qe, t, zu)"]],
    node: "y",
    value: "qe",
    says: /another scale/,
  },
  {
    rule: "activation-dtype",
    name: "uint8 where int8 is wanted",
    row: tflite,
    changes: [["int8 z = {3}", "uint8 z = {131}"]],
    node: "qx",
    value: "x",
    says: /uint8.*int8/,
  },
  {
    rule: "activation-granularity",
    name: "an activation with a scale per channel",
    row: tflite,
    changes: [["float s = {0.1}, int8 z = {3}", "float[2] s = {0.1, 0.1}, int8[2] z = {3, 3}"]],
    node: "qx",
    value: "x",
    says: /2 scales.*per tensor/,
  },
  {
    rule: "activation-zero-point",
    name: "an offset where zero is the middle",
    row: symmetric,
    changes: [
      ["int8 zt = {-4}", "int8 zt = {0}"],
      ["int8 zp = {-4}", "int8 zp = {0}"],
      ["int8 zu = {-128}", "int8 zu = {0}"],
    ],
    node: "qx",
    value: "x",
    says: /zero point 3.*symmetrically/,
  },
  {
    rule: "weight-dtype",
    name: "uint8 weights",
    row: tflite,
    changes: [
      ["int8[2,2,1,1] w = {1, -127, 3, 4}", "uint8[2,2,1,1] w = {129, 1, 131, 132}"],
      ["int8[2] wz = {0, 0}", "uint8[2] wz = {128, 128}"],
    ],
    node: "c",
    value: "dw",
    says: /uint8.*wants int8/,
  },
  {
    rule: "weight-granularity",
    name: "a scale per channel where one is wanted",
    row: tensorwise,
    changes: [],
    node: "c",
    value: "dw",
    says: /per tensor/,
  },
  {
    rule: "weight-granularity",
    name: "scales along the input channels",
    row: tflite,
    changes: [["dw = DequantizeLinear <axis = 0>", "dw = DequantizeLinear <axis = 1>"]],
    node: "c",
    value: "dw",
    says: /along axis 1.*axis 0/,
  },
  {
    rule: "weight-zero-point",
    name: "weights with an offset",
    row: tflite,
    changes: [["int8[2] wz = {0, 0}", "int8[2] wz = {0, 2}"]],
    node: "c",
    value: "dw",
    says: /symmetrically/,
  },
  {
    rule: "weight-range",
    name: "-128 in weights",
    row: tflite,
    changes: [["{1, -127, 3, 4}", "{1, -128, 3, 4}"]],
    node: "c",
    value: "dw",
    says: /-128.*-127 to 127/,
  },
  {
    rule: "power-of-two",
    name: "a scale between two powers of two",
    row: shifting,
    changes: [...powers.slice(1, 3), ["bs = {0.001, 0.002}", "bs = {0.001, 0.002}"]],
    node: "qx",
    value: "x",
    says: /no power of two/,
  },
  {
    rule: "bias-dtype",
    name: "a float bias",
    row: tflite,
    changes: [
      ["int32[2] b = {5, 6}", "float[2] b = {0.005, 0.012}"],
      ["db = DequantizeLinear <axis = 0> (b, bs, bz)", ""],
      ["Conv (dx, dw, db)", "Conv (dx, dw, b)"],
    ],
    node: "c",
    value: "b",
    says: /float.*int32/,
  },
  {
    rule: "bias-dtype",
    name: "an integer bias where float is added",
    row: { ...tflite, bias: "float32" },
    changes: [],
    node: "c",
    value: "db",
    says: /leave it float32/,
  },
  {
    rule: "bias-scale",
    name: "a bias in steps of its own",
    row: tflite,
    changes: [["bs = {0.001, 0.002}", "bs = {0.001, 0.0021}"]],
    node: "c",
    value: "db",
    says: /channel 1/,
  },
  {
    rule: "tied-scales",
    name: "a pool that would have to rescale",
    row: tflite,
    changes: [["float p = {0.2}", "float p = {0.1}"]],
    node: "m",
    value: "m",
    says: /different scales/,
  },
  {
    rule: "fixed-output",
    name: "a sigmoid with a measured range",
    row: tflite,
    changes: [["float u = {0.00390625}", "float u = {0.0039}"]],
    node: "e",
    value: "e",
    says: /0\.00390625 and zero point -128/,
  },
  {
    rule: "power-of-two",
    name: "weights between two powers of two",
    row: { ...tflite, weight: { ...tflite.weight, powerOfTwo: true } },
    changes: [],
    node: "c",
    value: "dw",
    says: /0\.0\d+ of "dw"/,
  },
  {
    rule: "weight-range",
    name: "8-bit weights where products are added in 16 bits",
    row: { ...tflite, weight: { ...tflite.weight, reduceRange: true } },
    changes: [],
    node: "c",
    value: "dw",
    says: /-127, outside -63 to 63/,
  },
  {
    rule: "weight-range",
    name: "8-bit weights where 4 bits are wanted",
    row: { ...tflite, weight: { ...tflite.weight, bits: 4 } },
    changes: [],
    node: "c",
    value: "dw",
    says: /outside -7 to 7/,
  },
  {
    rule: "float-only",
    name: "integers for a target of float16",
    row: rowOf("coreml-ep"),
    changes: [],
    node: "qx",
    value: "x",
    says: /float16/,
  },
  {
    rule: "float-only",
    name: "integer activations where weights alone may be integers",
    row: { ...rowOf("ort-web-webgpu"), floatScheme: "int8-weights" },
    changes: [],
    node: "qx",
    value: "x",
    says: /weights alone/,
  },
];
