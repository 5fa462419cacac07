import { type Dim, type Graph, isInteger, type Model, type Tensor, tensorOf, toFloat32, type Value } from "../ir/index.ts";
import { type Chooser, GraphBuilder } from "../ops/builder.ts";
import { inferShapes, type ShapeReport } from "../ops/infer.ts";
import { EdgewrightError } from "../util/errors.ts";
import { matchesAny, type ParameterSelection, selectParameters } from "./parameters.ts";

/** One learned tensor. While the graph is built its value is a graph input; later it is a piece of the flat parameter vector. */
export interface Parameter {
  readonly name: string;
  readonly value: Value;
  readonly initial: Tensor;
  /** Whether weight decay applies: matrices and filters yes, vectors (biases, scales) no. */
  readonly decay: boolean;
}

/** A tensor that every step moves on, but not by gradient: running means, observed ranges. */
export interface Statistic {
  readonly name: string;
  readonly value: Value;
  readonly initial: Tensor;
  /** Its value after the step; undefined: it stays. */
  next: Value | undefined;
}

export type TrainingMode = "train" | "evaluate";

export interface TrainingGraphOptions extends ParameterSelection {
  /** Samples of one run; replaces symbolic and unknown first extents of the inputs. */
  readonly batch: number;
  /** Static shapes of inputs whose other extents are free too, batch included. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>> | undefined;
  /** "evaluate" leaves out what only training does: batch statistics, dropout, observing. */
  readonly mode?: TrainingMode | undefined;
  readonly choose?: Chooser | undefined;
  /** Parameters like these are not decayed, beside vectors. */
  readonly noDecay?: readonly string[] | undefined;
}

/**
 * A model on its way to a training step: a copy of static shape in which learned tensors are graph inputs, with what transforms
 * (batch normalization, dropout, fake quantization, heads) add to it. The original model is never changed.
 */
export class TrainingGraph {
  readonly model: Model;
  readonly b: GraphBuilder;
  readonly mode: TrainingMode;
  /** Inputs that data fill: the model's own, then targets. */
  readonly dataInputs: Value[] = [];
  readonly parameters: Parameter[] = [];
  readonly statistics: Statistic[] = [];
  /** Scalar inputs with the value that they have unless told otherwise. */
  readonly hyperparameters = new Map<string, number>();
  readonly #scalars = new Map<string, Value>();

  constructor(model: Model, options: TrainingGraphOptions) {
    this.model = model.clone();
    this.mode = options.mode ?? "train";
    const chosen = selectParameters(this.graph, this.model.opsets, options);
    makeStatic(this.model, options);
    this.b = new GraphBuilder(this.graph, { opsets: this.model.opsets, ...(options.choose ? { choose: options.choose } : {}) });
    this.dataInputs.push(...this.graph.inputs);
    const names = new Set(chosen.map(({ name }) => name));
    for (const value of [...this.graph.initializers]) if (names.has(value.name)) this.#release(value, options.noDecay ?? []);
  }

  get graph(): Graph {
    return this.model.graph;
  }

  /** Turns an initializer into a parameter of the same name. */
  #release(value: Value, noDecay: readonly string[]): void {
    const tensor = value.constant as Tensor;
    const { name } = value;
    this.graph.rename(value, `${name}/initial`);
    const vector = tensor.shape.filter((dim) => dim > 1).length <= 1;
    const parameter = this.parameter(name, tensor, { decay: !vector && !matchesAny(noDecay, name) });
    this.graph.replaceAllUses(value, parameter);
    this.graph.removeInitializer(value);
  }

  /** A new learned tensor. */
  parameter(name: string, initial: Tensor, { decay = true } = {}): Value {
    const value = this.graph.addInput(name, { dtype: "float32", shape: initial.shape });
    this.parameters.push({ name, value, initial, decay });
    return value;
  }

  /** A new tensor that steps move on; set `next`. */
  statistic(name: string, initial: Tensor): Statistic {
    const value = this.graph.addInput(name, { dtype: "float32", shape: initial.shape });
    const statistic: Statistic = { name, value, initial, next: undefined };
    this.statistics.push(statistic);
    return statistic;
  }

  /** A scalar input that the caller may set at every step. */
  hyperparameter(name: string, usual: number): Value {
    const known = this.#scalars.get(name);
    if (known) return known;
    const value = this.graph.addInput(name, { dtype: "float32", shape: [] });
    this.#scalars.set(name, value);
    this.hyperparameters.set(name, usual);
    return value;
  }

  /** A new input that data fill: targets, teacher logits. */
  dataInput(name: string, dtype: "float32" | "int64", shape: readonly number[]): Value {
    const known = this.dataInputs.find((input) => input.name === name);
    if (known) return known;
    const value = this.graph.addInput(name, { dtype, shape });
    this.dataInputs.push(value);
    return value;
  }

  /** The graph output of that name; the only or first one when no name is given. */
  output(name?: string): Value {
    const found = name === undefined ? this.graph.outputs[0] : this.graph.outputs.find((output) => output.name === name);
    if (found) return found;
    throw new EdgewrightError("TRAIN_OUTPUT", `The model has no output "${name}".`, {
      subject: name ?? "",
      hint: `Its outputs are: ${this.graph.outputs.map((output) => output.name).join(", ")}.`,
    });
  }

  /** Any value of the forward graph by its name in the model. */
  valueNamed(name: string): Value {
    for (const node of this.graph.nodes) for (const output of node.outputs) if (output.name === name) return output;
    const input = this.graph.inputs.find((value) => value.name === name);
    if (input) return input;
    throw new EdgewrightError("TRAIN_VALUE", `The model has no value "${name}".`, {
      subject: name,
      hint: "edgewright inspect lists nodes and their outputs.",
    });
  }
}

/** Free extents of the inputs: the first is the batch, any other must be given. */
function staticShape(input: Value, options: TrainingGraphOptions): readonly Dim[] {
  const given = options.inputShapes?.[input.name];
  if (given) return given;
  const shape = input.type?.shape;
  const free = shape?.findIndex((dim, i) => i > 0 && typeof dim !== "number") ?? 0;
  if (!shape || free > 0)
    throw new EdgewrightError(
      "TRAIN_SHAPE",
      `Input "${input.name}" has no fixed shape beside its batch: [${shape?.join(", ") ?? "?"}].`,
      {
        subject: input.name,
        hint: "Give `inputShapes` for it.",
      },
    );
  return shape.map((dim, i) => (i === 0 ? options.batch : dim));
}

function makeStatic(model: Model, options: TrainingGraphOptions): void {
  const inputShapes = Object.fromEntries(
    model.graph.inputs.filter((input) => !input.constant).map((input) => [input.name, staticShape(input, options)]),
  );
  const report = inferShapes(model, { inputShapes });
  materializeShapeArithmetic(model.graph, report);
}

/** Shape arithmetic is known once shapes are static: its results become constants, so that no gradient rule meets it. */
function materializeShapeArithmetic(graph: Graph, report: ShapeReport): void {
  for (const node of [...graph.nodes]) {
    const info = node.outputs[0] && report.info.get(node.outputs[0]);
    const elements = info?.elements;
    if (!info || node.outputs.length !== 1 || !elements?.every((dim) => typeof dim === "number")) continue;
    if (!isInteger(info.dtype) && info.dtype !== "bool") continue;
    const output = node.outputs[0] as Value;
    if (output.isGraphOutput) continue;
    const shape = (info.shape ?? [elements.length]) as readonly number[];
    graph.replaceAllUses(
      output,
      graph.addInitializer(graph.freshName(output.name), tensorOf(info.dtype, shape, elements as number[])),
    );
  }
  for (const node of [...graph.nodesReversed()])
    if (node.outputs.every((output) => output.uses.size === 0 && !output.isGraphOutput)) graph.remove(node);
}

/** Concatenates tensors to one float32 vector. */
export function flatten(tensors: readonly Tensor[]): Float32Array {
  const flat = new Float32Array(tensors.reduce((sum, { size }) => sum + size, 0));
  let at = 0;
  for (const tensor of tensors) {
    flat.set(toFloat32(tensor), at);
    at += tensor.size;
  }
  return flat;
}
