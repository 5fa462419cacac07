import type { Attribute, AttributeInput, DataType, Dim, Graph, Tensor, TensorType, Value } from "../ir/index.ts";
import type { AttributeSpecs, AttributeValues } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";

/** What is known of a tensor while shapes are inferred. */
export interface TensorInfo extends TensorType {
  /** Set when the value is a constant of the graph. */
  readonly constant?: Tensor | undefined;
  /** Contents of a small integer tensor of static shape used in shape arithmetic, row-major; entries may be symbolic or "?". */
  readonly elements?: readonly Dim[] | undefined;
}

type Plain<K extends string> = K extends `...${infer N}` ? N : K extends `${infer N}?` ? N : K;

/** Ports by their ONNX names: "bias?" may be missing, "...inputs" is a list (always the last). */
export type Named<L extends readonly string[], T> = {
  readonly [K in L[number] as Plain<K>]: K extends `...${string}`
    ? readonly (T | undefined)[]
    : K extends `${string}?`
      ? T | undefined
      : T;
};
export type PortName<L extends readonly string[]> = Plain<L[number]>;

/** What an op's rules may ask about the call beside its inputs. */
export interface Call<A extends AttributeSpecs = AttributeSpecs> {
  readonly attributes: AttributeValues<A>;
  /** All attributes as written, for ops whose attributes are open. */
  readonly raw: ReadonlyMap<string, Attribute>;
  readonly outputCount: number;
  /** Which outputs are wanted (ONNX leaves optional outputs out by an empty name). */
  readonly wants: (output: number) => boolean;
  /** Infers a graph attribute's outputs, given what its inputs carry. */
  readonly inferGraph: (graph: Graph, inputs: readonly (TensorInfo | undefined)[]) => readonly (TensorInfo | undefined)[];
  /** Stops with an error that names the node: the model is invalid. */
  readonly reject: (reason: string) => never;
}

/** `undefined` as an output: nothing is known of it. */
export type Infer<I extends readonly string[], O extends readonly string[], A extends AttributeSpecs> = (
  inputs: Named<I, TensorInfo>,
  call: Call<A>,
) => {
  readonly [K in O[number] as Plain<K>]?:
    | (K extends `...${string}` ? readonly (TensorInfo | undefined)[] : TensorInfo)
    | undefined;
};

/** Multiply-accumulates and floating-point operations of one run. One MAC counts as two FLOPs. */
export interface Cost {
  readonly macs: number;
  readonly flops: number;
  /** Bytes read and written where it is not simply inputs plus outputs (Gather reads rows, not the table). */
  readonly bytes?: number;
}
export interface StaticInfo {
  readonly dtype: DataType;
  readonly shape: readonly number[];
}

/** How the range of an op's output arises, for integer arithmetic. */
export type OutputRange<P extends string> =
  | "calibrated"
  /** The op moves or selects elements: output and the named inputs share scale and zero point. */
  | { readonly sameAs: readonly P[] }
  /** Limits its first input (Relu, Clip); `constants` are the scalar constants of all inputs. A quantize node after it can take its place. */
  | { readonly clamp: (constants: readonly (number | undefined)[]) => readonly [number, number] | undefined }
  /** Known beforehand (Softmax, Sigmoid: 0..1; Tanh: -1..1). */
  | { readonly range: readonly [number, number] }
  /** The output is not a quantized tensor (ArgMax gives indices). */
  | "none";

export interface QuantizationFacet<P extends string = string> {
  /** Inputs that carry activations, quantized per tensor. */
  readonly activations: readonly P[];
  /** A constant input that holds weights; `channelAxis` is the output-channel axis for per-channel scales, negative counts from the end. */
  readonly weight?: {
    readonly input: P;
    readonly channelAxis: (attributes: Readonly<Record<string, unknown>>, rank: number) => number;
    readonly bias?: P;
  };
  readonly output: OutputRange<P>;
}

/** One axis of one port, by position. */
export interface PortAxis {
  readonly port: "input" | "output";
  readonly index: number;
  readonly axis: number;
}
/** Cutting index i of axis `a` cuts indices [offset + i*repeat, offset + (i+1)*repeat) of axis `b`, `period` times over. */
export interface ChannelLink {
  readonly a: PortAxis;
  readonly b: PortAxis;
  readonly offset?: number;
  readonly repeat?: number;
}
/** What a rule about channels may ask; shapes are undefined where unknown. */
export interface ChannelCall {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly inputShapes: readonly (readonly Dim[] | undefined)[];
  readonly outputShapes: readonly (readonly Dim[] | undefined)[];
  /** Contents of small integer inputs (pads, steps), where known; a rule that needs them and lacks them gives no link. */
  readonly inputElements?: readonly (readonly Dim[] | undefined)[];
}
/**
 * How removing a channel travels through the op. "elementwise": every output axis is the same (broadcast) axis of every input.
 * "barrier": it does not. A function lists the links; an axis without a link cannot be cut.
 */
export type ChannelFacet = "barrier" | "elementwise" | ((call: ChannelCall) => readonly ChannelLink[]);

/** What a gradient rule is given. Shapes are static here: `b.shape(value)` always answers. */
export interface GradientCall<
  I extends readonly string[] = readonly string[],
  O extends readonly string[] = readonly string[],
  A extends AttributeSpecs = AttributeSpecs,
> {
  /** Appends standard ONNX nodes to the graph. */
  readonly b: GraphBuilder;
  readonly inputs: Named<I, Value>;
  readonly outputs: Named<O, Value>;
  /** dLoss/dOutput; undefined where the loss does not depend on that output. At least one is there. */
  readonly grads: { readonly [K in O[number] as Plain<K>]: Value | undefined };
  readonly attributes: AttributeValues<A>;
  /** Whether an input's gradient is needed (a port that is left out is not); for a variadic port, its member `index`. */
  readonly wants: (port: PortName<I>, index?: number) => boolean;
}
/** dLoss/dInput of each wanted input, of exactly that input's shape; a port left out has gradient zero. */
export type GradientRule<I extends readonly string[], O extends readonly string[], A extends AttributeSpecs> = (
  call: GradientCall<I, O, A>,
) => { readonly [K in PortName<I>]?: Value | undefined | readonly (Value | undefined)[] };

/** What an expansion is given: it computes the node's outputs anew from ops that have gradients. */
export interface ExpandCall<
  I extends readonly string[] = readonly string[],
  O extends readonly string[] = readonly string[],
  A extends AttributeSpecs = AttributeSpecs,
> {
  readonly b: GraphBuilder;
  readonly inputs: Named<I, Value>;
  readonly attributes: AttributeValues<A>;
  readonly wants: (output: PortName<O>) => boolean;
}
export type Expansion<I extends readonly string[], O extends readonly string[], A extends AttributeSpecs> = (
  call: ExpandCall<I, O, A>,
) => { readonly [K in PortName<O>]?: Value | undefined } | undefined;

/**
 * How the op is differentiated. "none": its outputs do not depend on its inputs smoothly anywhere (comparisons, rounding, indices), the
 * gradient is zero. A rule builds the gradient nodes. An expansion replaces the node by equal ones that have rules, before training; where
 * it gives undefined the node stays, and `rule` is its rule.
 */
export type GradientFacet<
  I extends readonly string[] = readonly string[],
  O extends readonly string[] = readonly string[],
  A extends AttributeSpecs = AttributeSpecs,
> = "none" | GradientRule<I, O, A> | { readonly expand: Expansion<I, O, A>; readonly rule?: GradientRule<I, O, A> };

/** What a rule about partial sums may use: it appends nodes that compute them from a call's inputs. */
export interface PartialSumCall {
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Of the first input. */
  readonly rank: number | undefined;
  /** The op itself on other inputs. */
  readonly copy: (inputs: readonly (Value | undefined)[]) => Value;
  readonly op: (type: string, inputs: readonly Value[], attributes?: Readonly<Record<string, AttributeInput>>) => Value;
  readonly ints: (values: readonly number[]) => Value;
}
/** Gives a tensor no entry of which is smaller than a partial sum, in whatever order terms are added; undefined where it cannot. */
export type PartialSums = (call: PartialSumCall) => Value | undefined;

export interface BodyCall {
  readonly inputs: number;
  readonly outputs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}
/** Positions of ports that carry one tensor; body ports are those of every body that the node holds. */
export interface BodyTie {
  readonly input?: number;
  readonly bodyInput?: number;
  readonly bodyOutput?: number;
  readonly output?: number;
}

export interface OpSpec<I extends readonly string[], O extends readonly string[], A extends AttributeSpecs> {
  readonly type: string;
  readonly domain?: string;
  /** Operator set version that this record describes; the record serves models from here to the next record of the same type. */
  readonly since: number;
  readonly inputs: I;
  readonly outputs: O;
  readonly attributes?: A;
  /** False when two equal calls may differ (Random*); such nodes are never folded or merged. */
  readonly deterministic?: boolean;
  /** What ONNX fixes to float32 whatever the data type is: these ports (Resize's scales), or true: the whole op. */
  readonly fixedFloat32?: boolean | readonly (PortName<I> | PortName<O>)[];
  /** Sums that the op forms inside and never shows: what a 16-bit float may not be able to hold. */
  readonly partialSums?: PartialSums;
  /** Entries far below the largest one of their row have no effect on the result (Softmax): how far does not matter. */
  readonly ignoresFarBelow?: boolean;
  /** Ops with bodies: which ports of the node and of its bodies carry the same tensor, so that they have one type. */
  readonly bodyTies?: (call: BodyCall) => readonly BodyTie[];
  readonly infer: Infer<I, O, A>;
  /** Default: no MACs, one FLOP per output element. */
  readonly cost?: (inputs: Named<I, StaticInfo>, outputs: Named<O, StaticInfo>, attributes: AttributeValues<A>) => Cost;
  /** How often the op runs the graph that it holds; undefined when values decide. Only ops with a body have it. */
  readonly iterations?: (inputs: Named<I, TensorInfo>, attributes: AttributeValues<A>) => number | undefined;
  readonly channels: ChannelFacet;
  readonly quantization?: QuantizationFacet<PortName<I>>;
  readonly gradient?: GradientFacet<I, O, A>;
  /** Inputs that usually hold learned values (weights, biases, scales) when they are constants: what training changes by default. */
  readonly learned?: readonly PortName<I>[];
  /** Inputs that are linear in the output together: all of them times s, per channel, is the output times s. */
  readonly outputScales?: readonly PortName<I>[];
}

/** An op record with its port types erased: what shared code asks. */
export interface OpDef {
  readonly type: string;
  readonly domain: string;
  readonly since: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: AttributeSpecs;
  readonly deterministic: boolean;
  readonly fixedFloat32: boolean | readonly string[];
  readonly partialSums: PartialSums | undefined;
  readonly ignoresFarBelow: boolean;
  readonly bodyTies: ((call: BodyCall) => readonly BodyTie[]) | undefined;
  readonly infer: (inputs: Readonly<Record<string, unknown>>, call: Call) => Readonly<Record<string, unknown>>;
  readonly cost:
    | ((
        inputs: Readonly<Record<string, unknown>>,
        outputs: Readonly<Record<string, unknown>>,
        attributes: Readonly<Record<string, unknown>>,
      ) => Cost)
    | undefined;
  readonly iterations:
    | ((inputs: Readonly<Record<string, unknown>>, attributes: Readonly<Record<string, unknown>>) => number | undefined)
    | undefined;
  readonly channels: ChannelFacet;
  readonly quantization: QuantizationFacet | undefined;
  readonly gradient: GradientFacet | undefined;
  readonly learned: readonly string[];
  readonly outputScales: readonly string[];
}

export function defineOp<
  const I extends readonly string[],
  const O extends readonly string[],
  const A extends AttributeSpecs = Record<never, never>,
>(spec: OpSpec<I, O, A>): OpDef {
  const defaults = {
    domain: "",
    deterministic: true,
    fixedFloat32: false,
    attributes: {},
    cost: undefined,
    iterations: undefined,
    partialSums: undefined,
    ignoresFarBelow: false,
    bodyTies: undefined,
    quantization: undefined,
    gradient: undefined,
    learned: [],
    outputScales: [],
  };
  return { ...defaults, ...(spec as unknown as Partial<OpDef> & Omit<OpDef, keyof typeof defaults>) };
}

export const barrier = "barrier" as const;
export const elementwise = "elementwise" as const;

/** Quantization of an op that moves or selects elements of one input. */
export const sameScale = <const P extends string>(...inputs: P[]): QuantizationFacet<P> => ({
  activations: inputs,
  output: { sameAs: inputs },
});
/** Quantization of an op with free scales in and out. */
export const calibrated = <const P extends string>(...inputs: P[]): QuantizationFacet<P> => ({
  activations: inputs,
  output: "calibrated",
});
/** Quantization of an op whose output range is known beforehand. */
export const fixedRange = <const P extends string>(low: number, high: number, ...inputs: P[]): QuantizationFacet<P> => ({
  activations: inputs,
  output: { range: [low, high] },
});
