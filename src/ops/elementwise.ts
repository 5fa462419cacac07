import { type DataType, numel } from "../ir/index.ts";
import { type AttributeSpecs, attr } from "./attributes.ts";
import { calibrated, elementwise, type OpDef, type QuantizationFacet, type StaticInfo, sameScale } from "./define.ts";
import { definePositional, type PositionalGradient } from "./define-positional.ts";
import { combineElements, type ElementRule, elementRules, mapElements, unaryElementRules } from "./elements.ts";
import { elementwiseGradients } from "./gradients/elementwise.ts";
import { broadcastOf } from "./type-rules.ts";

/** Floating-point operations of a transcendental function: a rough average of what software implementations take. */
export const transcendental = 10;

export interface ElementwiseOptions {
  readonly domain?: string;
  readonly attributes?: AttributeSpecs;
  /** Element type of the result where it is not the first input's. */
  readonly dtype?: DataType;
  /** Floating-point operations per element of the result; default 1. */
  readonly flops?: number;
  readonly quantization?: (port: string) => QuantizationFacet;
  /** Attribute that, when set, gives the op another meaning than its rule on known elements. */
  readonly otherRule?: string;
  readonly gradient?: "none" | PositionalGradient<AttributeSpecs>;
}

const perElement = (flops: number) => (_: unknown, outputs: readonly (StaticInfo | undefined)[]) => ({
  macs: 0,
  flops: flops * numel(outputs[0]?.shape ?? [0]),
});

/** An op that maps each element of its only input. `ports`: "X Y" names the input and the output. */
export function unary(type: string, since: number, ports: string, options: ElementwiseOptions = {}): OpDef {
  const [from = "", to = ""] = ports.split(" ");
  const rule = unaryElementRules[type];
  return definePositional({
    type,
    domain: options.domain,
    since,
    inputs: [from],
    outputs: [to],
    attributes: options.attributes,
    infer: ([x]) => {
      if (!x) return [];
      const elements = rule && mapElements(rule, x);
      return [{ dtype: options.dtype ?? x.dtype, shape: x.shape, ...(elements ? { elements } : {}) }];
    },
    cost: perElement(options.flops ?? 1),
    channels: elementwise,
    quantization: options.quantization?.(from),
    gradient: options.gradient ?? elementwiseGradients[type],
  });
}

const free = (port: string): QuantizationFacet => calibrated(port);

export const unaryOps = [
  unary("Abs", 13, "X Y", { quantization: free }),
  unary("Neg", 13, "X Y", { quantization: free }),
  unary("Exp", 13, "input output", { flops: transcendental, quantization: free }),
  unary("Log", 13, "input output", { flops: transcendental, quantization: free }),
  unary("Sqrt", 13, "X Y", { quantization: free }),
  unary("Reciprocal", 13, "X Y", { quantization: free }),
  unary("Ceil", 13, "X Y"),
  unary("Floor", 13, "X Y"),
  unary("Round", 11, "X Y"),
  unary("Sign", 13, "input output"),
  unary("Erf", 13, "input output", { flops: transcendental, quantization: free }),
  unary("Sin", 7, "input output", { flops: transcendental }),
  unary("Cos", 7, "input output", { flops: transcendental }),
  unary("Tan", 7, "input output", { flops: transcendental }),
  unary("Asin", 7, "input output", { flops: transcendental }),
  unary("Acos", 7, "input output", { flops: transcendental }),
  unary("Atan", 7, "input output", { flops: transcendental }),
  unary("Sinh", 9, "input output", { flops: transcendental }),
  unary("Cosh", 9, "input output", { flops: transcendental }),
  unary("Asinh", 9, "input output", { flops: transcendental }),
  unary("Acosh", 9, "input output", { flops: transcendental }),
  unary("Atanh", 9, "input output", { flops: transcendental }),
  unary("Not", 1, "X Y"),
  unary("BitwiseNot", 18, "X Y"),
  unary("IsNaN", 20, "X Y", { dtype: "bool" }),
  unary("IsInf", 20, "X Y", { dtype: "bool", attributes: { detect_negative: attr.int(1), detect_positive: attr.int(1) } }),
];

/** An op on two inputs that broadcast to the result. `ports`: "A B C" names both inputs and the output. */
export function binary(type: string, since: number, ports: string, options: ElementwiseOptions = {}): OpDef {
  const [a = "", b = "", to = ""] = ports.split(" ");
  return broadcasting(type, since, [a, b], to, {
    ...options,
    ...(options.quantization ? { quantization: () => calibrated(a, b) } : {}),
  });
}

/** An op on any number of inputs that broadcast to the result. `ports`: "data_0 sum" names the list and the output. */
export function variadic(type: string, since: number, ports: string, options: ElementwiseOptions = {}): OpDef {
  const [from = "", to = ""] = ports.split(" ");
  return broadcasting(type, since, [`...${from}`], to, options);
}

function broadcasting(type: string, since: number, inputs: readonly string[], to: string, options: ElementwiseOptions): OpDef {
  const rule = (elementRules as Readonly<Record<string, ElementRule>>)[type];
  return definePositional({
    type,
    domain: options.domain,
    since,
    inputs,
    outputs: [to],
    attributes: options.attributes,
    infer: (infos, { attributes, reject }) => {
      const dtype = options.dtype ?? infos[0]?.dtype;
      if (!dtype) return [];
      const known = rule && !(options.otherRule && (attributes as Readonly<Record<string, unknown>>)[options.otherRule]);
      const elements = known ? combineElements(rule, infos) : undefined;
      const shape = infos.every((info) => info) ? broadcastOf(infos, reject) : undefined;
      return [{ dtype, shape, ...(elements ? { elements } : {}) }];
    },
    cost: (infos, outputs) => {
      const flops = options.flops ?? Math.max(infos.length - 1, 1);
      return { macs: 0, flops: flops * numel(outputs[0]?.shape ?? [0]) };
    },
    channels: elementwise,
    quantization: options.quantization?.((inputs[0] ?? "").replace("...", "")),
    gradient: options.gradient ?? elementwiseGradients[type],
  });
}

const selects = (port: string): QuantizationFacet => sameScale(port);

export const arithmeticOps = [
  binary("Add", 14, "A B C", { quantization: free }),
  binary("Sub", 14, "A B C", { quantization: free }),
  binary("Mul", 14, "A B C", { quantization: free }),
  binary("Div", 14, "A B C", { quantization: free }),
  binary("Pow", 15, "X Y Z", { flops: transcendental, quantization: free }),
  binary("Mod", 13, "A B C", { attributes: { fmod: attr.int(0) }, otherRule: "fmod" }),
  variadic("Min", 13, "data_0 min", { quantization: selects }),
  variadic("Max", 13, "data_0 max", { quantization: selects }),
  variadic("Mean", 13, "data_0 mean", { quantization: free }),
  variadic("Sum", 13, "data_0 sum", { quantization: free }),
];

export const logicOps = [
  binary("And", 7, "A B C"),
  binary("Or", 7, "A B C"),
  binary("Xor", 7, "A B C"),
  binary("BitwiseAnd", 18, "A B C"),
  binary("BitwiseOr", 18, "A B C"),
  binary("BitwiseXor", 18, "A B C"),
  binary("BitShift", 11, "X Y Z", { attributes: { direction: attr.required.string() } }),
];

export const comparisonOps = [
  binary("Equal", 19, "A B C", { dtype: "bool" }),
  binary("Greater", 13, "A B C", { dtype: "bool" }),
  binary("Less", 13, "A B C", { dtype: "bool" }),
  binary("GreaterOrEqual", 16, "A B C", { dtype: "bool" }),
  binary("LessOrEqual", 16, "A B C", { dtype: "bool" }),
];
