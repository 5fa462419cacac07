import type { AttributeSpecs, AttributeValues } from "./attributes.ts";
import {
  type Call,
  type ChannelFacet,
  type Cost,
  defineOp,
  type OpDef,
  type QuantizationFacet,
  type StaticInfo,
  type TensorInfo,
} from "./define.ts";

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
}

/** Ports as the rules of `defineOp` get them, back in order: a variadic port's members follow the others. */
const inOrder = <T>(ports: readonly string[], named: Readonly<Record<string, unknown>>): readonly (T | undefined)[] =>
  ports.flatMap((port) =>
    port.startsWith("...")
      ? (named[port.slice(3)] as readonly (T | undefined)[])
      : [named[port.replace(/\?$/, "")] as T | undefined],
  );

/** An op record whose rules take ports by position: for families whose members differ in their ports' names only. */
export function definePositional<const A extends AttributeSpecs = Record<never, never>>(spec: PositionalSpec<A>): OpDef {
  const { infer, cost, domain, attributes, quantization, ...rest } = spec;
  return defineOp<readonly string[], readonly string[], AttributeSpecs>({
    ...rest,
    ...(domain === undefined ? {} : { domain }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(quantization === undefined ? {} : { quantization }),
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
