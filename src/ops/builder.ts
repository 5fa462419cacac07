import {
  type Attribute,
  type AttributeInput,
  type DataType,
  dataTypeCode,
  type Graph,
  int64Tensor,
  type Node,
  numel,
  scalarTensor,
  type Tensor,
  tensorOf,
  toAttribute,
  type Value,
} from "../ir/index.ts";
import { EdgewrightError, invariant } from "../util/errors.ts";
import type { AttributeSpecs } from "./attributes.ts";
import { inferNodeTypes } from "./infer-node.ts";
import { lookupOp } from "./registry.ts";

export type Attributes = Readonly<Record<string, AttributeInput | undefined>>;

/** The gradient of a value that is not to come from the nodes that compute it (straight-through rounding, stopped gradients). */
export interface CustomGradient {
  readonly inputs: readonly Value[];
  /** dLoss/dInput of each input, given dLoss/dValue; undefined: zero. */
  readonly rule: (b: GraphBuilder, dy: Value) => readonly (Value | undefined)[];
}

/**
 * Picks one of several equal ways to compute something (weight gradients of convolutions): `role` and `key` (all that the speed depends
 * on: shapes, strides) decide. Undefined leaves the choice to the rule's own table.
 */
export type Chooser = (role: string, key: string, candidates: readonly string[]) => string | undefined;

export interface BuilderOptions {
  readonly opsets?: ReadonlyMap<string, number>;
  readonly choose?: Chooser;
}

/** Plain numbers as the record declares them: 1 is a float where the attribute is one. */
export function declaredAttribute(specs: AttributeSpecs, name: string, input: AttributeInput): Attribute {
  const declared = specs[name]?.type;
  if (declared === "float" && typeof input === "number") return { type: "float", value: input };
  if (declared === "floats" && Array.isArray(input)) return { type: "floats", value: input as number[] };
  return toAttribute(input);
}

/**
 * Appends nodes to a graph and knows the type of every value it makes: for graphs of static shapes, such as training graphs. Equal small
 * constants are made once.
 */
export class GraphBuilder {
  readonly graph: Graph;
  readonly opsets: ReadonlyMap<string, number>;
  readonly choose: Chooser;
  readonly customGradients = new Map<Value, CustomGradient>();
  /**
   * Gradients whose sum over all axes but the channel's is zero by construction (behind batch normalization): a bias added just before
   * learns nothing, and its sum need not be computed.
   */
  readonly zeroChannelSums = new Set<Value>();
  readonly #constants = new Map<string, Value>();
  /** New nodes go before this one; undefined: at the end. */
  #before: Node | undefined;

  constructor(graph: Graph, { opsets = new Map([["", 21]]), choose = () => undefined }: BuilderOptions = {}) {
    this.graph = graph;
    this.opsets = opsets;
    this.choose = choose;
  }

  /** Runs `build` with new nodes placed before `node`. */
  before<T>(node: Node | undefined, build: () => T): T {
    const outer = this.#before;
    this.#before = node;
    try {
      return build();
    } finally {
      this.#before = outer;
    }
  }

  /** A node with `count` outputs (or those flagged true); returns them in order. */
  node(
    opType: string,
    inputs: readonly (Value | undefined)[],
    attributes: Attributes = {},
    outputs: number | readonly boolean[] = 1,
    domain = "",
  ): readonly Value[] {
    const def = lookupOp({ domain, opType }, this.opsets);
    invariant(def, `no record for ${domain}:${opType}`);
    const wanted = typeof outputs === "number" ? new Array<boolean>(outputs).fill(true) : outputs;
    const node = this.graph.node(opType, inputs, {
      domain,
      name: "",
      outputs: wanted.map((want) => (want ? this.graph.freshName(`${opType}_out`) : "")),
      attributes: Object.fromEntries(
        Object.entries(attributes).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, declaredAttribute(def.attributes, name, value)]],
        ),
      ),
      ...(this.#before ? { before: this.#before } : {}),
    });
    inferNodeTypes(node, this.opsets);
    return node.outputs;
  }

  /** A node with one output. */
  op(opType: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}, domain = ""): Value {
    return this.node(opType, inputs, attributes, 1, domain)[0] as Value;
  }

  /** Static extents of a value. */
  shape(value: Value): readonly number[] {
    const shape = value.type?.shape;
    if (shape?.every((dim) => typeof dim === "number")) return shape as readonly number[];
    throw new EdgewrightError(
      "TRAIN_SHAPE",
      `The shape of "${value.name}" is not fully known before running: ${shape ? `[${shape.join(", ")}]` : "its rank is unknown"}.`,
      { subject: value.name, hint: "Training needs static shapes: give the model's input shapes, or simplify the model first." },
    );
  }

  dtype(value: Value): DataType {
    invariant(value.type, `value ${value.name} has no type`);
    return value.type.dtype;
  }

  rank = (value: Value): number => this.shape(value).length;
  size = (value: Value): number => numel(this.shape(value));

  constant(tensor: Tensor, hint = "constant"): Value {
    const key = tensor.size <= 64 ? `${tensor.dtype}:${tensor.shape}:${Array.from(tensor.bytes())}` : undefined;
    const known = key === undefined ? undefined : this.#constants.get(key);
    if (known) return known;
    const value = this.graph.addInitializer(this.graph.freshName(hint), tensor);
    if (key !== undefined) this.#constants.set(key, value);
    return value;
  }

  /** A rank-0 constant, float32 unless said otherwise. */
  scalar = (value: number, dtype: DataType = "float32"): Value => this.constant(scalarTensor(dtype, value), "scalar");
  /** An int64 vector constant: axes, shapes, pads. */
  ints = (values: readonly number[]): Value => this.constant(int64Tensor(values), "ints");
  floats = (shape: readonly number[], values: ArrayLike<number>): Value =>
    this.constant(tensorOf("float32", shape, values), "floats");
  zeros = (shape: readonly number[]): Value => this.expand(this.scalar(0), shape);

  /** A value or a number as a value of the same dtype as `beside`. */
  #operand = (x: Value | number, beside: Value | number): Value =>
    typeof x === "number" ? this.scalar(x, typeof beside === "number" ? "float32" : this.dtype(beside)) : x;
  #binary = (opType: string, a: Value | number, b: Value | number): Value =>
    this.op(opType, [this.#operand(a, b), this.#operand(b, a)]);

  add = (a: Value | number, b: Value | number): Value => this.#binary("Add", a, b);
  sub = (a: Value | number, b: Value | number): Value => this.#binary("Sub", a, b);
  mul = (a: Value | number, b: Value | number): Value => this.#binary("Mul", a, b);
  div = (a: Value | number, b: Value | number): Value => this.#binary("Div", a, b);
  neg = (x: Value): Value => this.op("Neg", [x]);
  square = (x: Value): Value => this.op("Mul", [x, x]);
  sqrt = (x: Value): Value => this.op("Sqrt", [x]);
  exp = (x: Value): Value => this.op("Exp", [x]);
  log = (x: Value): Value => this.op("Log", [x]);
  abs = (x: Value): Value => this.op("Abs", [x]);
  reciprocal = (x: Value): Value => this.op("Reciprocal", [x]);
  matMul = (a: Value, b: Value): Value => this.op("MatMul", [a, b]);
  cast = (x: Value, to: DataType): Value => (this.dtype(x) === to ? x : this.op("Cast", [x], { to: dataTypeCode(to) }));

  /** 1 where x > 0, else 0, in float32: vectorised in onnxruntime, unlike Greater and Cast (`slope` makes the step). */
  positive = (x: Value): Value => this.op("HardSigmoid", [x], { alpha: 3e38, beta: 0 });

  reshape(x: Value, shape: readonly number[]): Value {
    const from = this.shape(x);
    invariant(numel(from) === numel(shape), `cannot reshape [${from}] to [${shape}]`);
    if (from.length === shape.length && from.every((dim, i) => dim === shape[i])) return x;
    return this.op("Reshape", [x, this.ints(shape)], shape.includes(0) ? { allowzero: 1 } : {});
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return perm.every((axis, i) => axis === i) ? x : this.op("Transpose", [x], { perm });
  }

  /** Swaps the last two axes. */
  matrixTranspose(x: Value): Value {
    const rank = this.rank(x);
    return this.transpose(
      x,
      Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : i === rank - 2 ? rank - 1 : rank - 2)),
    );
  }

  expand(x: Value, shape: readonly number[]): Value {
    const from = this.shape(x);
    return from.length === shape.length && from.every((dim, i) => dim === shape[i])
      ? x
      : this.op("Expand", [x, this.ints(shape)]);
  }

  /** Sum over `axes` (none given: over all). */
  reduceSum = (x: Value, axes?: readonly number[], keepdims = true): Value => this.#reduce("ReduceSum", x, axes, keepdims);
  reduceMean = (x: Value, axes?: readonly number[], keepdims = true): Value => this.#reduce("ReduceMean", x, axes, keepdims);
  reduceMax = (x: Value, axes?: readonly number[], keepdims = true): Value => this.#reduce("ReduceMax", x, axes, keepdims);
  #reduce = (opType: string, x: Value, axes: readonly number[] | undefined, keepdims: boolean): Value =>
    axes?.length === 0 ? x : this.op(opType, axes ? [x, this.ints(axes)] : [x], { keepdims: Number(keepdims) });

  concat = (xs: readonly Value[], axis: number): Value => (xs.length === 1 ? (xs[0] as Value) : this.op("Concat", xs, { axis }));

  /** Pieces of the given extents along `axis`. */
  split = (x: Value, extents: readonly number[], axis: number): readonly Value[] =>
    extents.length === 1 ? [x] : this.node("Split", [x, this.ints(extents)], { axis }, extents.length);

  /** Elements [start, end) along one axis, every `step`-th. */
  slice = (x: Value, axis: number, start: number, end: number, step = 1): Value =>
    start === 0 && step === 1 && end === x.type?.shape?.[axis]
      ? x
      : this.op("Slice", [x, this.ints([start]), this.ints([end]), this.ints([axis]), this.ints([step])]);

  /** Sums `x` down to a shape that broadcasts to its own: the gradient of broadcasting. */
  sumTo(x: Value, shape: readonly number[]): Value {
    const from = this.shape(x);
    const lead = from.length - shape.length;
    const axes = from.flatMap((dim, i) => (i < lead || (shape[i - lead] === 1 && dim !== 1) ? [i] : []));
    return this.reshape(axes.length === 0 ? x : this.reduceSum(x, axes), shape);
  }

  /** Optional output `index` of the node that makes `value`; it is asked for from now on. */
  optionalOutput(value: Value, index: number): Value {
    const node = value.producer;
    invariant(node, `${value.name} is no output of a node`);
    while (node.outputs.length <= index) this.graph.addNodeOutput(node, "");
    const output = node.outputs[index] as Value;
    if (!output.name) {
      this.graph.rename(output, this.graph.freshName(`${value.name}_${index}`));
      inferNodeTypes(node, this.opsets);
    }
    return output;
  }

  /** Declares what the gradient of `value` is, whatever nodes compute it; returns `value`. */
  customGradient(value: Value, inputs: readonly Value[], rule: CustomGradient["rule"]): Value {
    this.customGradients.set(value, { inputs, rule });
    return value;
  }

  /** The same value, through which no gradient flows. */
  stopGradient = (x: Value): Value => this.customGradient(this.op("Identity", [x]), [], () => []);
}
