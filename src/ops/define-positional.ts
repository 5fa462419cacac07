import type { Value } from "../ir/index.ts";
import type { AttributeSpecs, AttributeValues } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import {
  type Call,
  type ChannelFacet,
  type Cost,
  defineOp,
  type GradientFacet,
  type OpDef,
  type QuantizationFacet,
  type StaticInfo,
  type TensorInfo,
} from "./define.ts";

/** What a gradient rule by position is given; see `GradientCall`. */
export interface PositionalGradientCall<A extends AttributeSpecs> {
  readonly b: GraphBuilder;
  readonly x: readonly (Value | undefined)[];
  readonly y: Value;
  readonly dy: Value;
  readonly attributes: AttributeValues<A>;
  readonly wants: (input: number) => boolean;
}
/** The gradient of each input by position; undefined where it is not wanted or zero. */
export type PositionalGradient<A extends AttributeSpecs> = (call: PositionalGradientCall<A>) => readonly (Value | undefined)[];

export interface PositionalSpec<A extends AttributeSpecs> {
  readonly type: string;
  readonly domain?: string | undefined;
  readonly since: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: A | undefined;
  /** The first input is there unless the op has none or only optional ones. */
  readonly infer: (inputs: readonly (TensorInfo | undefined)[], call: Call<A>) => readonly (TensorInfo | undefined)[];
  readonly cost?: (
    inputs: readonly (StaticInfo | undefined)[],
    outputs: readonly (StaticInfo | undefined)[],
    attributes: AttributeValues<A>,
  ) => Cost;
  readonly channels: ChannelFacet;
  readonly quantization?: QuantizationFacet | undefined;
  /** Of an op with one output. */
  readonly gradient?: "none" | PositionalGradient<A> | undefined;
}

/** Ports as the rules of `defineOp` get them, back in order: a variadic port's members follow the others. */
const inOrder = <T>(ports: readonly string[], named: Readonly<Record<string, unknown>>): readonly (T | undefined)[] =>
  ports.flatMap((port) =>
    port.startsWith("...")
      ? (named[port.slice(3)] as readonly (T | undefined)[])
      : [named[port.replace(/\?$/, "")] as T | undefined],
  );

function named<A extends AttributeSpecs>(
  { inputs, outputs }: PositionalSpec<A>,
  gradient: "none" | PositionalGradient<A>,
): GradientFacet<readonly string[], readonly string[], AttributeSpecs> {
  if (gradient === "none") return gradient;
  const output = (outputs[0] ?? "").replace(/\?$/, "");
  const ports = inputs.map((port) => port.replace(/\?$/, "").replace("...", ""));
  const variadic = inputs.findIndex((port) => port.startsWith("..."));
  return (call) => {
    const wants = (i: number): boolean =>
      variadic >= 0 && i >= variadic ? call.wants(ports[variadic] as string, i - variadic) : call.wants(ports[i] as string);
    const results = gradient({
      b: call.b,
      x: inOrder(inputs, call.inputs),
      y: call.outputs[output] as Value,
      dy: call.grads[output] as Value,
      attributes: call.attributes as AttributeValues<A>,
      wants,
    });
    return Object.fromEntries(ports.map((port, i) => [port, i === variadic ? results.slice(i) : results[i]]));
  };
}

/** An op record whose rules take ports by position: for families whose members differ in their ports' names only. */
export function definePositional<const A extends AttributeSpecs = Record<never, never>>(spec: PositionalSpec<A>): OpDef {
  const { infer, cost, domain, attributes, quantization, gradient, ...rest } = spec;
  return defineOp<readonly string[], readonly string[], AttributeSpecs>({
    ...rest,
    ...(domain === undefined ? {} : { domain }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(quantization === undefined ? {} : { quantization }),
    ...(gradient === undefined ? {} : { gradient: named(spec, gradient) }),
    infer: (inputs, call) => {
      const results = infer(inOrder(spec.inputs, inputs), call as unknown as Call<A>);
      return Object.fromEntries(spec.outputs.map((port, i) => [port.replace(/\?$/, ""), results[i]]));
    },
    ...(cost
      ? {
          cost: (inputs, outputs, values) =>
            cost(inOrder(spec.inputs, inputs), inOrder(spec.outputs, outputs), values as unknown as AttributeValues<A>),
        }
      : {}),
  });
}
