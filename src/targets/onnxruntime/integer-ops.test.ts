import { describe, expect, test } from "vitest";
import { kernelsOf } from "../../../test/suites/quantize.ts";
import { parseModel } from "../../ir/parse.ts";
import { ortIntegerOps } from "./integer-ops.ts";

const image = "uint8[1,8,4,4]";

interface Probe {
  readonly call: string;
  readonly constants?: string;
  readonly input?: string;
  readonly second?: string;
  readonly outputs?: number;
}

/** How each op is called on dequantized inputs a and c; `w` is a dequantized weight. */
const probes: Readonly<Record<string, Probe>> = {
  Conv: { call: "Conv (a, d)", constants: "int8[8,8,3,3] w" },
  MatMul: { call: "MatMul (a, d)", input: "uint8[2,8]", constants: "int8[8,8] w" },
  Gemm: { call: "Gemm (a, d)", input: "uint8[2,8]", constants: "int8[8,8] w" },
  Add: { call: "Add (a, c)", second: image },
  Mul: { call: "Mul (a, c)", second: image },
  LeakyRelu: { call: "LeakyRelu (a)" },
  Sigmoid: { call: "Sigmoid (a)" },
  Softmax: { call: "Softmax <axis = -1> (a)" },
  AveragePool: { call: "AveragePool <kernel_shape = [2, 2]> (a)" },
  GlobalAveragePool: { call: "GlobalAveragePool (a)" },
  Where: { call: "Where (k, a, c)", second: image, constants: "bool[4] k = {1, 0, 1, 0}" },
  Concat: { call: "Concat <axis = 1> (a, c)", second: image },
  MaxPool: { call: "MaxPool <kernel_shape = [2, 2]> (a)" },
  ReduceMax: { call: "ReduceMax (a, k)", constants: "int64[2] k = {2, 3}" },
  ReduceMin: { call: "ReduceMin (a, k)", constants: "int64[2] k = {2, 3}" },
  Split: { call: "Split <axis = 1, num_outputs = 2> (a)", outputs: 2 },
  Reshape: { call: "Reshape (a, k)", constants: "int64[2] k = {1, -1}" },
  Flatten: { call: "Flatten (a)" },
  Transpose: { call: "Transpose <perm = [0, 2, 3, 1]> (a)" },
  Squeeze: { call: "Squeeze (a, k)", constants: "int64[1] k = {0}" },
  Unsqueeze: { call: "Unsqueeze (a, k)", constants: "int64[1] k = {0}" },
  Slice: { call: "Slice (a, k, e, k1)", constants: "int64[1] k = {0}, int64[1] e = {4}, int64[1] k1 = {1}" },
  Tile: { call: "Tile (a, k)", constants: "int64[4] k = {1, 2, 1, 1}" },
  Expand: { call: "Expand (a, k)", constants: "int64[4] k = {2, 8, 4, 4}" },
  DepthToSpace: { call: "DepthToSpace <blocksize = 2> (a)" },
};

/** Ops that the table leaves out because the runtime keeps them in float. */
const absent: Readonly<Record<string, Probe>> = {
  Sub: { call: "Sub (a, c)", second: image },
  Div: { call: "Div (a, c)", second: image },
  Tanh: { call: "Tanh (a)" },
  HardSigmoid: { call: "HardSigmoid (a)" },
  Elu: { call: "Elu (a)" },
  Gelu: { call: "Gelu (a)" },
  ReduceMean: { call: "ReduceMean (a, k)", constants: "int64[2] k = {2, 3}" },
  Pad: { call: "Pad (a, k)", constants: "int64[8] k = {0, 0, 1, 1, 0, 0, 1, 1}" },
  ConvTranspose: { call: "ConvTranspose (a, d)", constants: "int8[8,8,3,3] w" },
};

function filled(constants: string): string {
  const match = /int8\[([\d,]+)\] w$/.exec(constants);
  if (!match) return constants;
  const size = (match[1] as string).split(",").reduce((product, dim) => product * Number(dim), 1);
  return `${constants} = {${Array.from({ length: size }, (_, i) => (i % 100) - 50).join(", ")}}`;
}

function modelOf({ call, constants = "", input = image, second, outputs = 1 }: Probe) {
  const quantized = Array.from({ length: outputs }, (_, i) => `q${i}`);
  const results = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const weightNode = constants.endsWith(" w") ? "d = DequantizeLinear (w, ws, wz)" : "";
  const text = `<ir_version: 10, opset_import: ["" : 21]>
g (${input} x${second ? `, ${second} v` : ""}) => (${quantized.map((q) => `uint8[...] ${q}`.replace("[...]", "")).join(", ")})
<float s = {0.1}, uint8 z = {3}, float ws = {0.02}, int8 wz = {0}${constants ? `, ${filled(constants)}` : ""}>
{ a = DequantizeLinear (x, s, z) ${second ? "c = DequantizeLinear (v, s, z)" : ""} ${weightNode}
  ${results.join(", ")} = ${call}
  ${quantized.map((q, i) => `${q} = QuantizeLinear (${results[i]}, s, z)`).join(" ")} }`;
  return parseModel(text);
}

/** A quantize or dequantize node that still runs means that the op between them computed in float. */
const inFloat = async (probe: Probe): Promise<boolean> =>
  (await kernelsOf(modelOf(probe))).some((type) => /^(Dequantize|Quantize)Linear$/.test(type));

describe("the table of integer ops says what onnxruntime does", () => {
  test("every op of the table has a probe", () => {
    expect(Object.keys(probes).sort()).toEqual(Object.keys(ortIntegerOps).sort());
  });
  test.each(Object.keys(probes))("%s runs in integers", async (type) => {
    expect(await inFloat(probes[type] as Probe)).toBe(false);
  });
  test.each(Object.keys(absent))("%s is rightly absent", async (type) => {
    expect(ortIntegerOps[type]).toBeUndefined();
    expect(await inFloat(absent[type] as Probe)).toBe(true);
  });
});
