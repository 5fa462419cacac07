import type { DataType } from "../../src/ir/index.ts";
import { constant, type OpCases, opCases, type RandomOptions, random, scalar } from "./define.ts";

const unary = (type: string, range: RandomOptions = {}, more: readonly DataType[] = []): OpCases =>
  opCases(type, [
    { name: "4-D", inputs: [random([2, 3, 4, 5], range)] },
    { name: "scalar", inputs: [random([], range)] },
    ...more.map((dtype) => ({ name: dtype, inputs: [random([3, 4], { ...range, dtype })] })),
  ]);

const positive = { low: 0.1, high: 4 };

export const unaryOps = [
  unary("Abs", {}, ["int32", "int64", "float64"]),
  unary("Neg", {}, ["int32", "int64"]),
  unary("Exp", {}, ["float64"]),
  unary("Log", positive),
  unary("Sqrt", positive),
  unary("Reciprocal", positive),
  unary("Ceil"),
  unary("Floor"),
  unary("Round"),
  unary("Sign", {}, ["int32"]),
  unary("Erf"),
  ...["Sin", "Cos", "Tan", "Sinh", "Cosh", "Asinh"].map((type) => unary(type)),
  ...["Asin", "Acos", "Atan", "Atanh"].map((type) => unary(type, { low: -0.9, high: 0.9 })),
  unary("Acosh", { low: 1, high: 4 }),
  unary("Not", { dtype: "bool" }),
  unary("BitwiseNot", { dtype: "uint8" }, ["int32"]),
  unary("IsNaN"),
  opCases("IsInf", [
    { name: "both signs", inputs: [constant("float32", [4], [1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0])] },
    { name: "positive only", inputs: [random([2, 3])], attributes: { detect_negative: 0 } },
  ]),
];

const binary = (type: string, options: RandomOptions = {}, more: readonly DataType[] = [], attributes = {}): OpCases =>
  opCases(type, [
    { name: "same shapes", inputs: [random([2, 3, 4], options), random([2, 3, 4], options)], attributes },
    { name: "per channel", inputs: [random([2, 3, 4, 5], options), random([3, 1, 1], options)], attributes },
    { name: "both broadcast", inputs: [random([3, 1], options), random([2, 1, 4], options)], attributes },
    { name: "scalar", inputs: [random([2, 3], options), scalar(options.dtype ?? "float32", 1)], attributes },
    ...more.map((dtype) => ({
      name: dtype,
      inputs: [random([2, 3], { ...options, dtype }), random([3], { ...options, dtype })],
      attributes,
    })),
  ]);

export const binaryOps = [
  binary("Add", {}, ["int32", "int64", "float64"]),
  binary("Sub", {}, ["int64"]),
  binary("Mul", {}, ["int64"]),
  binary("Div", { low: 1, high: 4 }, ["int64"]),
  opCases("Pow", [
    { name: "square", inputs: [random([2, 3, 4]), scalar("float32", 2)] },
    { name: "integer exponent", inputs: [random([2, 3]), scalar("int64", 3)] },
    { name: "both broadcast", inputs: [random([3, 1], positive), random([2, 1, 4], positive)] },
  ]),
  opCases("Mod", [
    { name: "integers", inputs: [random([2, 3], { dtype: "int64" }), constant("int64", [3], [3, -5, 7])] },
    { name: "fmod", inputs: [random([2, 3]), random([3], positive)], attributes: { fmod: 1 } },
  ]),
  ...["And", "Or", "Xor"].map((type) => binary(type, { dtype: "bool" })),
  ...["BitwiseAnd", "BitwiseOr", "BitwiseXor"].map((type) => binary(type, { dtype: "int32" }, ["uint8"])),
  binary("BitShift", { dtype: "uint32", high: 5 }, ["uint8"], { direction: "LEFT" }),
  binary("Equal", {}, ["int64", "bool"]),
  binary("Greater", {}, ["int64"]),
  binary("Less", {}, ["int64"]),
  binary("GreaterOrEqual", {}, ["int64"]),
  binary("LessOrEqual", {}, ["int64"]),
];

const variadic = (type: string, more: readonly DataType[] = []): OpCases =>
  opCases(type, [
    { name: "one input", inputs: [random([2, 3])] },
    { name: "two inputs", inputs: [random([2, 3, 4]), random([2, 3, 4])] },
    { name: "three that broadcast", inputs: [random([2, 3, 4]), random([3, 1]), random([4])] },
    ...more.map((dtype) => ({ name: dtype, inputs: [random([2, 3], { dtype }), random([3], { dtype })] })),
  ]);

export const variadicOps = [variadic("Min", ["int64"]), variadic("Max", ["int64"]), variadic("Mean"), variadic("Sum")];
