import { describe, expect, test } from "vitest";
import { lookupOp } from "../ops/index.ts";
import { integerBounds } from "../passes/quantize/row.ts";
import { workingOpset } from "../passes/upgrade-opset/index.ts";
import { describeTarget, targetSchema } from "./describe.ts";
import { findTarget, targets } from "./registry.ts";

const machine = { arch: "x64", instructionSets: ["avx512_vnni"] };
const rows = targets.map(({ quantization }) => quantization);
const opsets = new Map([["", workingOpset]]);
const facetOf = (opType: string) => lookupOp({ domain: "", opType }, opsets)?.quantization;
const rowOf = (name: string) => findTarget(name, machine).quantization;

describe.each(targets)("row of $name", ({ name, quantization: row }) => {
  const entries = Object.entries(row.ops);

  test("has the target's name, says where it comes from, and is data", () => {
    expect(row.name).toBe(name);
    expect(row.source.length).toBeGreaterThan(20);
    const description = describeTarget(findTarget(name, machine), machine);
    expect(targetSchema.parse(JSON.parse(JSON.stringify(description)))).toEqual(description);
    expect(description.quantization.ops).toEqual(row.ops);
  });

  test("every integer op has a record that says how it is quantized", () => {
    for (const [type] of entries) expect(facetOf(type), type).toBeDefined();
  });

  test("remarks on weights are about ops that have weights", () => {
    for (const [type, op] of entries)
      if (op.perChannel !== undefined || op.weightDtype) expect(facetOf(type)?.weight, type).toBeDefined();
  });

  test("scales are tied, free or given, and only one of these", () => {
    for (const [type, op] of entries) {
      expect([op.sameScale, op.freeScales, op.fixedOutput].filter(Boolean).length, type).toBeLessThan(2);
      const output = facetOf(type)?.output;
      if (op.freeScales) expect(output, type).toHaveProperty("sameAs");
      if (op.role === "move") expect(output, type).toHaveProperty("sameAs");
    }
  });

  test("given outputs can be written in the type of activations, and hold the op's range but for a step", () => {
    const [low, high] = integerBounds(row.activation.dtype);
    for (const [type, { fixedOutput }] of entries) {
      if (!fixedOutput) continue;
      const { scale, zeroPoint } = fixedOutput;
      expect(zeroPoint >= low && zeroPoint <= high, type).toBe(true);
      const output = facetOf(type)?.output;
      if (typeof output !== "object" || !("range" in output)) continue;
      expect((low - zeroPoint) * scale, type).toBeCloseTo(output.range[0], 6);
      expect((high - zeroPoint + 1) * scale, type).toBeCloseTo(output.range[1], 6);
    }
  });

  test("integers or a float scheme, not both", () => {
    const integer = row.quantizable !== false;
    expect(entries.length > 0).toBe(integer);
    expect(row.floatScheme === undefined).toBe(integer);
    if (integer) expect(entries.some(([, { role }]) => role === "anchor")).toBe(true);
  });
});

describe("what the runtimes' documentation demands", () => {
  test("tflite: fixed outputs, tied pools, one scale in matrices, weights without -128", () => {
    const { ops, weight, activation } = rowOf("tflite");
    expect(ops.Softmax?.fixedOutput).toEqual({ scale: 1 / 256, zeroPoint: -128 });
    expect(ops.Sigmoid?.fixedOutput).toEqual({ scale: 1 / 256, zeroPoint: -128 });
    expect(ops.Tanh?.fixedOutput).toEqual({ scale: 1 / 128, zeroPoint: 0 });
    expect(ops.LpNormalization?.fixedOutput).toEqual({ scale: 1 / 128, zeroPoint: 0 });
    expect(ops.LogSoftmax?.fixedOutput).toEqual({ scale: 1 / 16, zeroPoint: 127 });
    expect(ops.AveragePool?.sameScale).toBe(true);
    expect(ops.Gemm?.perChannel).toBe(false);
    expect([activation.dtype, activation.symmetric, weight.narrowRange]).toEqual(["int8", false, true]);
  });

  test("tensorrt: zero points are 0, biases stay float", () => {
    expect(rowOf("tensorrt")).toMatchObject({ activation: { dtype: "int8", symmetric: true }, bias: "float32" });
  });

  test("nnapi and qnn take uint8 activations of static shape", () => {
    for (const name of ["nnapi", "qnn"])
      expect(rowOf(name)).toMatchObject({ activation: { dtype: "uint8" }, staticShapes: true });
  });

  test("accelerators and microcontrollers compute in integers only", () => {
    const integersOnly = rows.filter(({ floatOps }) => floatOps && Object.keys(floatOps).length === 0);
    expect(integersOnly.map(({ name }) => name)).toEqual(["qnn", "tflm", "edgetpu"]);
  });

  test("the edge TPU's list is part of tflite's", () => {
    const all = Object.keys(rowOf("tflite").ops);
    for (const name of ["tflm", "edgetpu"]) expect(all).toEqual(expect.arrayContaining(Object.keys(rowOf(name).ops)));
  });
});
